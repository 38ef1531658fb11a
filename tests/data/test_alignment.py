"""Image and label through scaling, padding, cropping and flipping together, against loops over single pixels."""

from fractions import Fraction
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from classaware.data import SCALES, TrainTransform
from classaware.resizing import resize_label_window as resize_label

IGNORED = 255
GRAY = 0.5


def source(i: int, size_in: int, size_out: int) -> int:
    """floor(i (in - 1) / (out - 1) + 1/2) of exact fractions; the corner 0 where one pixel is asked."""
    return int(Fraction(i * (size_in - 1), max(size_out - 1, 1)) + Fraction(1, 2))


@given(st.integers(1, 600), st.integers(1, 600))
def test_the_index_rule_in_exact_fractions(size_in: int, size_out: int) -> None:
    rows = resize_label(torch.arange(size_in).view(-1, 1), (size_out, 1)).flatten().tolist()
    assert rows == [source(i, size_in, size_out) for i in range(size_out)]
    assert rows[0] == 0
    assert rows[-1] == (size_in - 1 if size_out > 1 else 0)


def test_513_to_65_takes_every_8th() -> None:
    assert resize_label(torch.arange(513).view(1, -1), (1, 65)).flatten().tolist() == list(range(0, 513, 8))


def quartered(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Red goes up with the row and green with the column; the label numbers the pixels (up to 250 of them)."""
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    image = torch.stack([rows * 4 + 0 * columns, columns * 4 + 0 * rows, 200 + 0 * (rows + columns)])
    return image.to(torch.uint8), rows * width + columns


def apply(
    image: Tensor, label: Tensor, seed: int, scale: float, crop: tuple[int, int], **options: Any
) -> tuple[Tensor, Tensor]:
    plain: dict[str, Any] = {"flip": True, "brightness": False, "ignore_index": IGNORED}
    transform = TrainTransform(crop_size=crop, scales=(scale,), **(plain | options))
    return transform(image, label, Generator().manual_seed(seed))


def by_hand(label: Tensor, scale: float, crop: tuple[int, int]) -> list[list[list[int]]]:
    """Every label that may come out: scaled, padded on the bottom and right, all windows, both directions."""
    height, width = label.shape
    new = max(int(height * scale), 1), max(int(width * scale), 1)
    padded = [[IGNORED] * max(new[1], crop[1]) for _ in range(max(new[0], crop[0]))]
    for i, j in product(range(new[0]), range(new[1])):
        padded[i][j] = int(label[source(i, height, new[0]), source(j, width, new[1])])
    windows = []
    for top, left in product(range(len(padded) - crop[0] + 1), range(len(padded[0]) - crop[1] + 1)):
        window = [row[left : left + crop[1]] for row in padded[top : top + crop[0]]]
        windows += [window, [row[::-1] for row in window]]
    return windows


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 14),
    st.integers(1, 14),
    st.sampled_from(SCALES),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(0),
)
def test_labels_are_those_of_a_loop_and_the_image_lies_on_them(
    height: int, width: int, scale: float, crop_height: int, crop_width: int, seed: int
) -> None:
    image, label = quartered(height, width)
    out, out_label = apply(image, label, seed % 2**40, scale, (crop_height, crop_width))
    assert out.shape == (3, crop_height, crop_width)
    assert out_label.tolist() in by_hand(label, scale, (crop_height, crop_width))
    padded = out_label == IGNORED
    torch.testing.assert_close(out[2] * 255, torch.where(padded, GRAY * 255, 200.0))
    # Bilinear red and green say the exact place in the source; nearest rounds it, so they are at most 1/2 apart.
    rows, columns = out[0] * 255 / 4, out[1] * 255 / 4
    away = torch.maximum((rows - out_label // width).abs(), (columns - out_label % width).abs())
    tolerance = 1e-3 if scale == 1 else 0.5 + 1e-3
    if min(height * scale, width * scale) >= 2:  # a side of one pixel is a corner, not a mean
        assert (away[~padded] <= tolerance).all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("crop", [None, (8, 8), (33, 7), (64, 64)])
@pytest.mark.parametrize("size", [(33, 47), (48, 9), (1, 1), (16, 2)])
def test_the_size_that_comes_out(size: tuple[int, int], crop: tuple[int, int] | None, scale: float) -> None:
    transform = TrainTransform(crop_size=crop, scales=(scale,))
    image, label = torch.zeros(3, *size, dtype=torch.uint8), torch.zeros(size, dtype=torch.int64)
    out, out_label = transform(image, label, Generator().manual_seed(0))
    assert out.shape[1:] == out_label.shape == (crop or size)
    assert out.is_contiguous()
    assert out_label.is_contiguous()


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_brightness_stays_within_its_range_and_in_0_to_1(seed: int, value: int) -> None:
    image = torch.full((3, 5, 5), value, dtype=torch.uint8)
    label = torch.zeros(5, 5, dtype=torch.int64)
    out = apply(image, label, seed, 1.0, (5, 5), brightness=True)[0]
    assert out.min() == out.max()
    assert max(0, value - 32) - 1e-3 <= float(out[0, 0, 0]) * 255 <= min(255, value + 32) + 1e-3
    assert 0 <= out.min() <= out.max() <= 1


def test_padding_is_not_brightened() -> None:
    image, label = torch.full((3, 4, 4), 50, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.int64)
    moved = 0
    for seed in range(30):
        out, out_label = apply(image, label, seed, 1.0, (8, 8), brightness=True)
        assert (out[:, out_label == IGNORED] == GRAY).all()
        moved += int(abs(float(out[:, out_label == 0].mean()) * 255 - 50) > 0.01)
    assert 5 < moved < 25
