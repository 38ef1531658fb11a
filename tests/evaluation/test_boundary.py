"""Boundary IoU against the paper's procedure: each class's mask, eroded by 3x3 again and again."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.errors import InputError
from classaware.evaluation.boundary import band_width, boundary_counts
from classaware.evaluation.iou import scores


def eroded(mask: list[list[bool]], neutral: list[list[bool]], times: int) -> list[list[bool]]:
    """``mask`` after erosions; ``neutral`` pixels begin as part of every mask, the outside is part of none."""
    height, width = len(mask), len(mask[0])
    now = [[mask[i][j] or neutral[i][j] for j in range(width)] for i in range(height)]
    for _ in range(times):
        now = [
            [
                all(
                    0 <= i + a < height and 0 <= j + b < width and now[i + a][j + b]
                    for a in (-1, 0, 1)
                    for b in (-1, 0, 1)
                )
                for j in range(width)
            ]
            for i in range(height)
        ]
    return now


def reference(
    prediction: torch.Tensor, label: torch.Tensor, num_classes: int, ignore: int, times: int
) -> list[list[int]]:
    neutral = (label == ignore).tolist()
    counts = []
    for index in range(num_classes):
        bands = []
        for values in (prediction, label):
            mask = ((values == index) & (label != ignore)).tolist()
            inner = eroded(mask, neutral, times)
            bands.append({(i, j) for i, row in enumerate(mask) for j, m in enumerate(row) if m and not inner[i][j]})
        guess, truth = bands
        counts.append([len(guess & truth), len(guess), len(truth)])
    return counts


@st.composite
def scenes(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int, float]:
    height, width, cell = draw(st.integers(1, 13)), draw(st.integers(1, 13)), draw(st.integers(1, 6))
    classes, ignored = draw(st.integers(2, 4)), draw(st.sampled_from([0.0, 0.1, 0.5]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    coarse = torch.randint(classes, (2, height, width), generator=generator)
    fine = coarse.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :height, :width]
    prediction, label = fine[0], fine[1].clone()
    label[torch.rand(height, width, generator=generator) < ignored] = 255
    prediction = torch.where(torch.rand(height, width, generator=generator) < 0.7, label, prediction)
    prediction[label == 255] = draw(st.sampled_from([0, 1, 255, 77]))
    return prediction, label, classes, draw(st.sampled_from([0.02, 0.1, 0.17, 0.4]))


@settings(deadline=None, max_examples=80)
@given(scenes())
def test_equals_repeated_erosions(scene: tuple[torch.Tensor, torch.Tensor, int, float]) -> None:
    prediction, label, classes, ratio = scene
    times = max(1, round(ratio * math.hypot(*label.shape)))
    expected = reference(prediction, label, classes, 255, times)
    assert boundary_counts(prediction, label, classes, ratio=ratio).tolist() == expected
    wide = boundary_counts(prediction.int(), label.int(), 300, ratio=ratio)  # more classes than a byte holds
    assert wide[:classes].tolist() == expected
    assert wide[classes:].sum() == 0


@pytest.mark.parametrize("shift", [0, 1, 3, 5, 20])
def test_shifted_squares(shift: int) -> None:
    """Two rings of width d of a square of side s, ``shift`` columns apart: areas of rectangles alone."""
    side, d = 20, 4
    label = torch.zeros(100, 173, dtype=torch.uint8)  # diagonal 199.8
    label[30 : 30 + side, 50 : 50 + side] = 1
    prediction = label.roll(shift, 1)
    assert band_width((100, 173)) == d
    ring = side**2 - (side - 2 * d) ** 2
    hole = side - 2 * d

    outer = max(0, side - shift) * side
    # Square with the other's hole (which begins d further in), on either side; hole with hole.
    left = max(0, min(side, shift + d + hole) - max(0, shift + d)) * hole
    right = max(0, min(shift + side, d + hole) - max(shift, d)) * hole
    holes = max(0, hole - shift) * hole
    both = outer - left - right + holes
    counts = boundary_counts(prediction, label, 2)
    assert counts[1].tolist() == [both, ring, ring]
    if shift == 0:
        assert both == ring
    background = 100 * 173 - (100 - 2 * d) * (173 - 2 * d) + (side + 2 * d) ** 2 - side**2
    assert counts[0, 1:].tolist() == [background, background]
    result = scores(torch.eye(2, dtype=torch.int64), ["a", "b"], boundary=counts)
    assert result.boundary_iou is not None
    assert result.boundary_iou[1] == both / (2 * ring - both)


def test_batches_and_types_give_one_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(3, (4, 9, 7), generator=generator)
    prediction = torch.randint(3, (4, 9, 7), generator=generator)
    total = boundary_counts(prediction, label, 3)
    assert total.dtype == torch.int64
    singles = [boundary_counts(p, t, 3) for p, t in zip(prediction.byte(), label.int(), strict=True)]
    assert torch.equal(total, torch.stack(singles).sum(0))


def test_what_is_ignored_does_not_matter() -> None:
    label = torch.full((40, 40), 255)
    label[:, :20] = 1
    counts = boundary_counts(torch.ones_like(label), label, 2, ratio=0.05)
    # Width 3: the three outer sides of the half, none along the ignored half.
    assert counts.tolist() == [[0, 0, 0], [40 * 20 - 34 * 17] * 3]
    everything = boundary_counts(label, torch.full_like(label, 255), 2)
    assert everything.sum() == 0


@pytest.mark.parametrize(
    ("size", "ratio", "width"),
    [((1, 1), 0.02, 1), ((480, 640), 0.02, 16), ((1024, 2048), 0.02, 46), ((30, 40), 0.05, 2), ((10, 10), 1.0, 14)],
)
def test_width_of_the_band(size: tuple[int, int], ratio: float, width: int) -> None:
    assert band_width(size, ratio) == width


LABEL = torch.zeros(2, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("prediction", "label", "ratio", "words"),
    [
        (LABEL[:1], LABEL, 0.02, r"\(1, 3\).*\(2, 3\)"),
        (LABEL[0], LABEL[0], 0.02, "images, height, width"),
        (LABEL.float(), LABEL, 0.02, "prediction has type torch.float32"),
        (LABEL, LABEL + 2, 0.02, r"label has a value.*0\.\.1"),
        (LABEL - 1, LABEL, 0.02, "prediction has a value"),
        (LABEL, LABEL, 0.0, "ratio is 0"),
        (LABEL, LABEL, math.nan, "ratio is nan"),
    ],
)
def test_bad_input_is_named(prediction: torch.Tensor, label: torch.Tensor, ratio: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        boundary_counts(prediction, label, 2, ratio=ratio)
