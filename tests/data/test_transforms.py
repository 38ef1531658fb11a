from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from classaware.data import TrainTransform
from classaware.errors import InputError


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


def test_scale_jitter_draws_evenly_between_its_ends() -> None:
    image, label = torch.zeros(3, 40, 60, dtype=torch.uint8), torch.zeros(40, 60, dtype=torch.int64)
    sides = []
    for seed in range(600):
        out = transformed(image, label, seed, crop_size=(130, 130), scale_range=(0.5, 2.0), scales=(9.0,))[1]
        height, width = int((out[:, 0] == 0).sum()), int((out[0] == 0).sum())
        assert abs(height / 40 - width / 60) < 1 / 40
        sides.append(height)
    counts = np.histogram(sides, bins=6, range=(20, 80))[0]
    assert min(sides) >= 20
    assert max(sides) <= 80
    assert counts.min() > 60


def halves() -> tuple[Tensor, Tensor]:
    """A narrow strip of class 1 in a picture of class 0."""
    label = torch.zeros(8, 40, dtype=torch.int64)
    label[:, 19:21] = 1
    return torch.zeros(3, 8, 40, dtype=torch.uint8), label


def test_category_ratio_crops_are_drawn_anew_ten_times() -> None:
    image, label = halves()
    mixed = dict.fromkeys((1.0, 0.75), 0)
    for seed in range(300):
        for share in mixed:
            out = transformed(image, label, seed, crop_size=(8, 6), max_class_share=share)[1]
            mixed[share] += int(out.float().mean() > 0.25)
    # 5 of the 35 windows hold both columns of the strip, and other than 3/4 of them is class 0: 1/7, 79 % of ten draws.
    assert 25 < mixed[1.0] < 62
    assert 212 < mixed[0.75] < 260
    before = torch.Generator().manual_seed(0)
    TrainTransform(crop_size=(8, 6), scales=(1.0,), max_class_share=0.75)(image, label * 0, before)
    once = torch.Generator().manual_seed(0)
    TrainTransform(crop_size=(8, 6), scales=(1.0,))(image, label * 0, once)
    assert not torch.equal(before.get_state(), once.get_state())


def test_unlabeled_pixels_have_no_share() -> None:
    image, label = torch.zeros(3, 4, 4, dtype=torch.uint8), torch.full((4, 4), 255)
    label[0, 0], label[0, 1] = 0, 1
    generator, once = (torch.Generator().manual_seed(0) for _ in range(2))
    TrainTransform(crop_size=(4, 4), scales=(1.0,), max_class_share=0.6)(image, label, generator)
    TrainTransform(crop_size=(4, 4), scales=(1.0,))(image, label, once)
    assert torch.equal(generator.get_state(), once.get_state())  # half of two labeled pixels: the first window is taken


def test_photometric_distortion_changes_each_property_in_half_of_the_cases() -> None:
    generator = torch.Generator().manual_seed(3)
    image = torch.randint(60, 190, (3, 9, 11), generator=generator, dtype=torch.uint8)
    label = torch.arange(99).view(9, 11)
    same = hue = 0
    for seed in range(400):
        out, out_label = transformed(image, label, seed, photometric=True)
        assert torch.equal(out_label, label)
        assert 0 <= float(out.min()) <= float(out.max()) <= 1
        same += int(torch.allclose(out * 255, image.float(), atol=1e-3))
        order = out.argmax(0) == image.argmax(0)
        hue += int(order.float().mean() < 0.9)
    assert 25 < same < 80  # an eighth
    assert 60 < hue < 220  # half, of which small turns move few maxima


def test_photometric_distortion_leaves_padding_alone() -> None:
    image, label = torch.full((3, 4, 4), 90, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.int64)
    image[0] = 200
    for seed in range(40):
        out, out_label = transformed(image, label, seed, crop_size=(7, 9), photometric=True, flip=True)
        assert (out[:, out_label == 255] == 0.5).all()
        assert (out_label == 0).sum() == 16


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (1.0, -2.0)}, "scales"),
        ({"scale_range": (2.0, 0.5)}, "scale_range"),
        ({"scale_range": (0.0, 0.5)}, "scale_range"),
        ({"max_class_share": 0.0}, "max_class_share"),
        ({"max_class_share": 1.5}, "max_class_share"),
        ({"crop_size": (0, 5)}, "crop_size"),
        ({"image_size": (5, -1)}, "image_size"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        TrainTransform(**options)
