"""Scores of parts of the images, of one or two groups of runs, with intervals from the same resamples of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from classaware.evaluation.statistics import (
    Floats,
    Interval,
    TTest,
    image_weights,
    nan_mean,
    or_none,
    percentile_interval,
    t_test,
)

Mask = NDArray[np.bool_]

ENOUGH = 5  # images; an interval from fewer is chance itself


@dataclass(frozen=True)
class Estimate:
    """A number, mean over the runs, and its 95 % bootstrap interval over images; None where undefined."""

    value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Measure:
    """One number of one side or two.

    Attributes:
        ours: of our runs.
        theirs: of the others; None without a second side, as ``difference``.
        difference: ours minus theirs, in the same resamples.
        our_runs: value of each run; None where undefined.
        their_runs: the same of the others.
        test: t-test over the runs, paired by seed where both sides have the same seeds.
    """

    ours: Estimate
    theirs: Estimate | None
    difference: Estimate | None
    our_runs: tuple[float | None, ...]
    their_runs: tuple[float | None, ...]
    test: TTest | None


class SideBySide:
    """Counts of one or two groups of runs on the same n images and K classes.

    Every number is taken with the same draws of images, so that differences of numbers are paired too.

    Attributes:
        weights: (1 + S, n): how often each image counts; the first row counts each once, the others are resamples.

    Args:
        ours: arrays (n, K, 3) of true positives, false positives and false negatives, one a run.
        theirs: of the second group; may be empty.
        paired: the groups' runs are pairs, in this order.
        resamples: how many, S.
    """

    def __init__(
        self, ours: Sequence[NDArray[np.int64]], theirs: Sequence[NDArray[np.int64]], paired: bool, resamples: int
    ) -> None:
        self.runs = [*ours, *theirs]
        self.weights = _weights(len(ours[0]), resamples)
        self._split, self._paired = len(ours), paired

    def iou(self, mask: Mask) -> Floats:
        """IoU of each class over its marked images, (R, 1 + S, K); nan where they hold no true pixel of the class.

        Args:
            mask: (n, K), the images in which each class is counted.
        """
        rows = mask.any(axis=1)
        weights = self.weights[:, rows].astype(np.float64)
        marked = mask[rows]
        result = np.empty((len(self.runs), len(weights), mask.shape[1]))
        for index, run in enumerate(self.runs):
            counts = np.where(marked[..., None], run[rows], 0).astype(np.float64)
            right, union, truth = (weights @ part for part in (counts[..., 0], counts.sum(2), counts[..., ::2].sum(2)))
            result[index] = np.divide(right, union, out=np.full_like(right, np.nan), where=truth > 0)
        return result

    def mean_iou(self, mask: Mask) -> Measure:
        """Mean over the classes that have true pixels in their marked images."""
        return self.measure(nan_mean(self.iou(mask), axis=2), images=int(mask.any(axis=1).sum()))

    def measure(self, values: Floats, images: int) -> Measure:
        """Summary of a number of each run and resample, (R, 1 + S).

        Args:
            values: nan where undefined.
            images: from how many it comes; there are no intervals for fewer than ``ENOUGH``.
        """
        enough, split = images >= ENOUGH, self._split
        ours, theirs = nan_mean(values[:split], axis=0), nan_mean(values[split:], axis=0)
        one, other = values[:split, 0].tolist(), values[split:, 0].tolist()
        two = len(values) > split
        defined = two and not np.isnan(one + other).any()
        return Measure(
            ours=_estimate(ours, enough),
            theirs=_estimate(theirs, enough) if two else None,
            difference=_estimate(ours - theirs, enough) if two else None,
            our_runs=tuple(map(or_none, one)),
            their_runs=tuple(map(or_none, other)),
            test=t_test(one, other, self._paired) if defined else None,
        )


def pair_seeds(ours: Sequence[int | None], theirs: Sequence[int | None]) -> list[int] | None:
    """Places of our seeds among theirs; None unless both sides have the same seeds, each once."""
    if None in ours or len(set(ours)) < len(ours) or len(ours) != len(theirs) or set(ours) != set(theirs):
        return None
    return [list(theirs).index(seed) for seed in ours]


def side_names(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, str]:
    """Of one network its name, of several what their names begin with; "ours" and "theirs" where that says nothing."""
    one, other = (side[0] if len(side) == 1 else _beginning(side) for side in (ours, theirs))
    return (one, other) if one and other and one != other else ("ours", "theirs")


def _beginning(names: Sequence[str]) -> str:
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike).rstrip(" -_./0123456789")


def _weights(images: int, resamples: int) -> NDArray[np.int32]:
    draws = [chunk.astype(np.int32) for chunk in image_weights(images, resamples)]
    return np.concatenate([np.ones((1, images), dtype=np.int32), *draws])


def _estimate(values: Floats, enough: bool) -> Estimate:
    value = or_none(values[0])
    return Estimate(value, percentile_interval(values[1:]) if enough and value is not None else None)
