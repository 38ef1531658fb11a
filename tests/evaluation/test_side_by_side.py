"""Intervals of parts of the images, where resamples lack what is measured."""

import numpy as np
import pytest

from classaware.evaluation.familiarity_groups import Units
from classaware.evaluation.matched_gap import matched_gap
from classaware.evaluation.side_by_side import ENOUGH, SideBySide, pair_seeds, side_names
from classaware.evaluation.statistics import image_weights

N, K, S = 12, 3, 60


def counts(seed: int) -> np.ndarray:
    """(N, K, 3); the same truth for all seeds, 100 pixels of each class in each image."""
    rng = np.random.default_rng(seed)
    right = rng.integers(20, 100, (N, K))
    return np.stack((right, rng.integers(0, 50, (N, K)), 100 - right), axis=2)


@pytest.mark.parametrize("images", [ENOUGH - 1, ENOUGH])
def test_intervals_need_images(images: int) -> None:
    mask = np.zeros((N, K), dtype=bool)
    mask[:images, 0] = True
    found = SideBySide([counts(0)], [counts(1)], False, S).mean_iou(mask)
    for estimate in (found.ours, found.theirs, found.difference):
        assert estimate is not None
        assert estimate.value is not None
        assert (estimate.interval is None) == (images < ENOUGH)


def test_a_class_of_which_a_resample_lacks_one_side_is_in_neither_mean() -> None:
    groups = np.zeros((N, K), dtype=np.int8)
    groups[0, 0] = 2  # class 0: a single unfamiliar region
    groups[3:7, 1] = 1
    groups[7:, 2] = 2
    groups[2, 2] = 3  # alone: in neither
    nothing = np.zeros(N)
    by = Units(nothing.astype(np.int8), groups, nothing, np.zeros((N, K)), groups == 0)
    found = matched_gap(SideBySide([counts(0)], [], False, S), by, ("a", "b", "c"))
    assert found is not None
    lows: list[tuple[float, float]] = []
    for weights in np.concatenate(list(image_weights(N, S))):
        pairs = []
        for k in range(K):
            sides = [[i for i in range(N) if groups[i, k] in kinds and weights[i]] for kinds in ((0,), (1, 2))]
            if not all(sides):
                continue
            sums = [sum(weights[i] * counts(0)[i, k] for i in side) for side in sides]
            pairs.append([one[0] / one.sum() for one in sums])
        lows.append((float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs]))))
    assert any(weights[0] == 0 for weights in np.concatenate(list(image_weights(N, S))))
    for measure, values in (
        (found.familiar, [a for a, _ in lows]),
        (found.unfamiliar, [b for _, b in lows]),
        (found.gap, [a - b for a, b in lows]),
    ):
        assert measure.ours.interval == pytest.approx([np.quantile(values, q) for q in (0.025, 0.975)], abs=1e-12)
    assert found.classes[0].unfamiliar_regions == 1
    assert found.classes[0].gap.ours.interval is None
    assert found.classes[2].familiar_regions == 6


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((0, 1, 2), (2, 0, 1), [1, 2, 0]),
        ((5,), (5,), [0]),
        ((0, 1), (0, 2), None),
        ((0, 1), (0, 1, 2), None),
        ((0, 0), (0, 0), None),
        ((0, None), (0, None), None),
    ],
)
def test_seeds_pair_if_both_sides_have_them_once(
    ours: tuple[int | None, ...], theirs: tuple[int | None, ...], expected: list[int] | None
) -> None:
    assert pair_seeds(ours, theirs) == expected


def test_sides_are_named_by_what_their_names_begin_with() -> None:
    assert side_names(["msrc-car-0", "msrc-car-12"], ["msrc-base-0", "msrc-base-1"]) == ("msrc-car", "msrc-base")
    assert side_names(["car-0"], ["base-0", "base-1"]) == ("car-0", "base")
    assert side_names(["x-1", "x-2"], ["x-3", "x-4"]) == ("ours", "theirs")
    assert side_names(["a", "b"], ["c", "d"]) == ("ours", "theirs")
