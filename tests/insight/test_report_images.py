"""Which images a report shows, against plain loops."""

import math

import numpy as np
import pytest
from fake_records import fake_record
from hypothesis import given
from hypothesis import strategies as st

from classaware.insight.report_images import UNLABELED, choose_images, image_scores, sample_row

PALETTE = [(255, 0, 0), (0, 255, 0)]


def test_score_of_an_image_is_the_mean_over_its_classes() -> None:
    counts = fake_record(3).counts.copy()
    counts[5] = 0  # nothing labeled, nothing counted
    scores = image_scores(counts)
    for image, of_image in enumerate(counts.tolist()):
        ious = [right / (right + false + missed) for right, false, missed in of_image if right + false + missed]
        expected = sum(ious) / len(ious) if ious else math.nan
        assert scores[image] == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert np.isnan(scores[5])


def test_gained_and_lost_against_the_first_then_worst_and_best() -> None:
    scores = np.array([[0.5, 0.5, 0.1, 0.9, 0.5, 0.5], [0.9, 0.5, 0.1, 0.9, 0.1, 0.4], [0.5, 0.7, 0.1, 0.9, 0.5, 0.0]])
    chosen = choose_images(scores, 6)
    assert [tuple(entry) for entry in chosen] == [
        (0, "most gained"),
        (1, "most gained"),
        (5, "most lost"),
        (4, "most lost"),
        (2, "worst"),
        (3, "best"),
    ]


def test_of_one_run_the_worst_and_the_best() -> None:
    scores = np.array([[0.5, math.nan, 0.1, 0.9, 0.4]])
    assert [tuple(entry) for entry in choose_images(scores, 3)] == [(2, "worst"), (4, "worst"), (3, "best")]


@given(
    st.integers(1, 3).flatmap(
        lambda runs: st.lists(
            st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0, math.nan]), min_size=runs, max_size=runs),
            min_size=1,
            max_size=9,
        )
    ),
    st.integers(0, 12),
)
def test_each_image_once_and_as_many_as_there_are(rows: list[list[float]], count: int) -> None:
    scores = np.array(rows, dtype=np.float64).reshape(len(rows), -1).T
    known = {i for i, row in enumerate(rows) if not any(map(math.isnan, row))}
    chosen = choose_images(scores, count)
    assert len(chosen) == len({entry.image for entry in chosen}) == min(count, len(known))
    assert {entry.image for entry in chosen} <= known
    for image, reason in chosen:
        changes = [value - rows[image][0] for value in rows[image][1:]]
        if reason == "most gained":
            assert max(changes) > 0
        if reason == "most lost":
            assert min(changes) < 0


def test_pictures_are_fitted_and_labels_keep_their_colors() -> None:
    image = np.random.default_rng(0).integers(0, 256, (600, 1200, 3), dtype=np.uint8)
    label = np.zeros((600, 1200), dtype=np.int64)
    label[:, 600:] = 1
    row = sample_row("c", image, [label, np.full((600, 1200), 255)], PALETTE)
    assert [picture.shape for picture in row.images] == [(240, 480, 3)] * 3
    assert (row.images[1][:, :240] == PALETTE[0]).all()
    assert (row.images[1][:, 240:] == PALETTE[1]).all()
    assert {tuple(color) for color in row.images[2].reshape(-1, 3).tolist()} == set(UNLABELED)
    small = sample_row("c", image[:20, :30], [label[:20, :30]], PALETTE)
    assert np.array_equal(small.images[0], image[:20, :30])


@given(st.integers(0, 1000), st.sampled_from([(9, 13), (500, 700)]))
def test_what_has_no_label_is_striped_and_nothing_else(seed: int, size: tuple[int, int]) -> None:
    """Even where classes have the stripes' colors, or black: the stripes change along a row, a class does not."""
    palette = [(0, 0, 0), *UNLABELED]
    label = np.repeat(np.random.default_rng(seed).choice([0, 1, 2, 255], (size[0], 1)), size[1], axis=1)
    picture = sample_row("c", np.zeros((*size, 3), dtype=np.uint8), [label], palette).images[1]
    rows = np.minimum((np.arange(len(picture)) + 0.5) * size[0] / len(picture), size[0] - 1).astype(int)
    for row, value in zip(picture.tolist(), label[rows, 0].tolist(), strict=True):
        assert {tuple(color) for color in row} == ({palette[value]} if value < 3 else set(UNLABELED))
