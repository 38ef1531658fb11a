from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.data import EvalTransform, TrainTransform
from classaware.data.transforms import resize_image, resize_label

SIDE = st.integers(1, 20)


def coordinates(height: int, width: int) -> tuple[Tensor, Tensor]:
    """An image whose red and green say row and column, and a label with both: row * 16 + column."""
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    image = torch.stack(
        [(rows * 10).expand(height, width), (columns * 10).expand(height, width), rows * 0 + columns * 0]
    )
    return image.to(torch.uint8), rows * 16 + columns


def transformed(
    image: Tensor, label: Tensor, seed: int, crop_size: tuple[int, int] | None = None, **options: Any
) -> tuple[Tensor, Tensor]:
    plain: dict[str, Any] = {"scales": (1.0,), "flip": False, "brightness": False}
    transform = TrainTransform(crop_size=crop_size, **(plain | options))
    return transform(image, label, torch.Generator().manual_seed(seed))


@given(SIDE, SIDE, SIDE, SIDE)
def test_labels_follow_the_rule_of_aligned_corners(height: int, width: int, new_height: int, new_width: int) -> None:
    label = torch.arange(height * width).view(height, width)
    resized = resize_label(label, (new_height, new_width))

    def source(i: int, old: int, new: int) -> int:
        return (2 * i * (old - 1) + new - 1) // (2 * (new - 1)) if new > 1 else 0

    for i in range(new_height):
        for j in range(new_width):
            assert resized[i, j] == label[source(i, height, new_height), source(j, width, new_width)]


@settings(max_examples=30)
@given(SIDE, SIDE, SIDE, SIDE)
def test_images_are_interpolated_with_aligned_corners(h: int, w: int, new_h: int, new_w: int) -> None:
    image = torch.rand(3, h, w, generator=torch.Generator().manual_seed(h * 20 + w))
    resized = resize_image(image, (new_h, new_w))
    for i in range(new_h):
        for j in range(new_w):
            y = i * (h - 1) / (new_h - 1) if new_h > 1 else 0.0
            x = j * (w - 1) / (new_w - 1) if new_w > 1 else 0.0
            top, left = min(int(y), h - 1), min(int(x), w - 1)
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            upper = image[:, top, left] * (left + 1 - x) + image[:, top, right] * (x - left)
            lower = image[:, bottom, left] * (left + 1 - x) + image[:, bottom, right] * (x - left)
            torch.testing.assert_close(resized[:, i, j], upper * (top + 1 - y) + lower * (y - top), atol=1e-5, rtol=0)


def test_nothing_asked_nothing_done() -> None:
    image, label = coordinates(9, 13)
    out, out_label = transformed(image, label, 0)
    assert out.dtype == torch.float32
    assert out_label.dtype == torch.int64
    assert type(out) is type(out_label) is Tensor
    torch.testing.assert_close(out * 255, image.float())
    assert torch.equal(out_label, label)


@given(st.integers(0, 10_000))
def test_image_and_label_are_cropped_and_flipped_together(seed: int) -> None:
    out, label = transformed(*coordinates(12, 15), seed, crop_size=(5, 7), flip=True)
    assert out.shape == (3, 5, 7)
    assert torch.equal((out[0] * 25.5).round().long() * 16 + (out[1] * 25.5).round().long(), label)


def test_every_window_and_both_directions_occur() -> None:
    seen = set()
    for seed in range(600):
        label = transformed(*coordinates(6, 7), seed, crop_size=(4, 4), flip=True)[1]
        seen.add((int(label.min()), bool(label[0, 0] > label[0, 1])))
    assert seen == {(top * 16 + left, flip) for top in range(3) for left in range(4) for flip in (False, True)}


@given(st.integers(0, 1000))
def test_padding_is_gray_and_ignored_on_the_bottom_and_right(seed: int) -> None:
    image, label = coordinates(4, 5)
    out, out_label = transformed(image, label, seed, crop_size=(6, 8), ignore_index=199)
    torch.testing.assert_close(out[:, :4, :5] * 255, image.float())
    assert torch.equal(out_label[:4, :5], label)
    padded = torch.ones(6, 8, dtype=torch.bool)
    padded[:4, :5] = False
    assert (out[:, padded] == 0.5).all()
    assert (out_label[padded] == 199).all()


def test_scales_are_drawn_evenly_and_sides_rounded_down() -> None:
    image, label = coordinates(11, 13)
    areas = []
    for seed in range(400):
        out_label = transformed(image, label, seed, crop_size=(30, 30), scales=(0.5, 1.25, 2.0), ignore_index=-1)[1]
        areas.append(((out_label[:, 0] >= 0).sum().item(), (out_label[0] >= 0).sum().item()))
    values, counts = np.unique(areas, axis=0, return_counts=True)
    assert values.tolist() == [[5, 6], [13, 16], [22, 26]]
    assert counts.min() > 100


def test_brightness_is_one_shift_of_all_pixels_in_half_of_the_cases() -> None:
    image = torch.full((3, 4, 4), 128, dtype=torch.uint8)
    image[0, 0, 0], image[0, 0, 1] = 0, 255
    label = torch.zeros(4, 4, dtype=torch.int64)
    shifts = []
    for seed in range(400):
        out = transformed(image, label, seed, brightness=True)[0] * 255
        shift = float(out[2, 3, 3]) - 128
        torch.testing.assert_close(out, (image.float() + shift).clamp(0, 255), atol=1e-3, rtol=0)
        shifts.append(shift)
    moved = [shift for shift in shifts if abs(shift) > 1e-4]
    assert 150 < len(moved) < 250
    assert -32 - 1e-3 <= min(moved) < -28
    assert 28 < max(moved) < 32 + 1e-3


def test_the_generator_decides_everything() -> None:
    image, label = coordinates(12, 15)
    options: dict[str, Any] = {"crop_size": (8, 8), "scales": (0.5, 1.0, 2.0), "flip": True, "brightness": True}
    torch.manual_seed(1)
    first = transformed(image, label, 5, **options)
    torch.manual_seed(2)
    second = transformed(image, label, 5, **options)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert any(not torch.equal(first[0], transformed(image, label, seed, **options)[0]) for seed in range(5))


def test_without_crop_size_the_size_stays() -> None:
    for seed in range(20):
        for image_size, expected in ((None, (12, 15)), ((10, 9), (10, 9))):
            out, label = transformed(*coordinates(12, 15), seed, image_size=image_size, scales=(0.5, 1.0, 2.0))
            assert out.shape[1:] == label.shape == expected


def test_the_input_is_not_changed() -> None:
    image, label = coordinates(12, 15)
    before = image.clone(), label.clone()
    for seed in range(10):
        transformed(image, label, seed, flip=True, brightness=True)
    assert torch.equal(image, before[0])
    assert torch.equal(label, before[1])


@pytest.mark.parametrize("image_size", [None, (24, 10)])
def test_evaluation_keeps_the_label(image_size: tuple[int, int] | None) -> None:
    image, label = coordinates(12, 15)
    out, out_label = EvalTransform(image_size)(image, label)
    assert torch.equal(out_label, label)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, resize_image(image.float() / 255, image_size or (12, 15)))
