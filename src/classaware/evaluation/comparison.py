"""Two groups of evaluations side by side: are the ones better, and how sure is that?

Fractions throughout; a difference is ours minus theirs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classaware.errors import InputError
from classaware.evaluation.comparable import (
    Unequal,
    aligned_counts,
    all_configured,
    find_unequal,
    find_warnings,
    pair_by_seed,
    seed_of,
)
from classaware.evaluation.description import describe, evaluation_days
from classaware.evaluation.record import EvaluationRecord
from classaware.evaluation.statistics import (
    Floats,
    Interval,
    TTest,
    nan_mean,
    or_none,
    percentile_interval,
    resampled_groups,
    resampled_iou,
    sd,
    t_test,
)

RESAMPLES = 2000


@dataclass(frozen=True)
class Side:
    """One group of runs: its name, files, seeds (None where unknown) and mIoU of each run, their mean and sd."""

    name: str
    paths: tuple[str, ...]
    seeds: tuple[Any, ...]
    mean_ious: tuple[float, ...]
    mean: float
    sd: float | None


@dataclass(frozen=True)
class ClassDifference:
    """One class: mean IoU of each side over its runs, their difference, and how much it varies.

    None where the class is in neither truth nor prediction of a side; ``sd`` is that of the pairs' differences and
    None without two pairs; ``interval`` is the bootstrap's over images.
    """

    name: str
    ours: float | None
    theirs: float | None
    difference: float | None
    sd: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds.

    Attributes:
        ours: the runs.
        theirs: what they are compared against.
        images: number of images.
        descriptions: data set, split and way of inference, see `describe`; several where runs differ.
        evaluated: days of the first and the last evaluation, None where they are not recorded.
        paired_by: "seed" if both sides have the same seeds, else None.
        difference: of the mean mIoU.
        difference_sd: of the pairs' differences; None without two pairs.
        test: t-test over the runs.
        image_interval: 95 % bootstrap interval of the difference over images, for these very networks; None for one
            image.
        run_and_image_interval: the same with the runs drawn anew as well; None unless both sides have two runs.
        resamples: number of the bootstrap's resamples.
        classes: every class, in the data set's order.
        unequal: settings in which the runs differ.
        configured: whether all runs record their training's whole configuration; if not, ``unequal`` may lack some.
        warnings: what makes the numbers incomparable or the spread too small.
    """

    ours: Side
    theirs: Side
    images: int
    descriptions: tuple[str, ...]
    evaluated: tuple[str, str] | None
    paired_by: str | None
    difference: float
    difference_sd: float | None
    test: TTest
    image_interval: Interval | None
    run_and_image_interval: Interval | None
    resamples: int
    classes: tuple[ClassDifference, ...]
    unequal: tuple[Unequal, ...]
    configured: bool
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": "classaware-comparison", "version": 1} | asdict(self)


def compare(
    ours: Sequence[EvaluationRecord],
    theirs: Sequence[EvaluationRecord],
    names: tuple[str, str] = ("first", "second"),
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare evaluations of the same images; the same input gives the same numbers.

    A class that is in neither truth nor prediction of a run has no IoU and is left out of that run's mean, as in
    `scores`; in a resample of images that lacks a class it is left out of that resample's mean.

    Raises:
        InputError: an empty side, or runs with other classes, images, labels or splits.
    """
    if not ours or not theirs:
        raise InputError("There is nothing to compare. Give at least one run a side.")
    pairing = pair_by_seed(ours, theirs)
    paired = pairing is not None
    theirs = theirs if pairing is None else pairing
    runs = [*ours, *theirs]
    counts = aligned_counts(runs)
    sides = (make_side(names[0], ours), make_side(names[1], theirs))
    pairs = np.subtract(sides[0].mean_ious, sides[1].mean_ious).tolist() if paired else None
    iou = resampled_iou(counts, resamples)
    means = nan_mean(iou, axis=2)
    split, images = len(ours), len(counts[0])
    several, many = min(split, len(theirs)) > 1, images > 1
    by_image = means[:split].mean(axis=0) - means[split:].mean(axis=0)
    by_both = resampled_groups(means[:split], means[split:], paired)
    return Comparison(
        ours=sides[0],
        theirs=sides[1],
        images=images,
        descriptions=tuple(dict.fromkeys(map(describe, runs))),
        evaluated=evaluation_days(runs),
        paired_by="seed" if paired else None,
        difference=sides[0].mean - sides[1].mean,
        difference_sd=None if pairs is None else sd(pairs),
        test=t_test(sides[0].mean_ious, sides[1].mean_ious, paired),
        image_interval=percentile_interval(by_image) if many else None,
        run_and_image_interval=percentile_interval(by_both) if many and several else None,
        resamples=resamples,
        classes=_classes(ours, theirs, paired, iou if many else np.full_like(iou, np.nan)),
        unequal=find_unequal(ours, theirs),
        configured=all_configured(runs),
        warnings=find_warnings(ours, theirs),
    )


def make_side(name: str, runs: Sequence[EvaluationRecord]) -> Side:
    """Summary of one group of runs."""
    values = tuple(run.mean_iou for run in runs)
    return Side(
        name=name,
        paths=tuple(str(run.path) for run in runs),
        seeds=tuple(seed_of(run) for run in runs),
        mean_ious=values,
        mean=float(np.mean(values)),
        sd=sd(values),
    )


def _classes(
    ours: Sequence[EvaluationRecord], theirs: Sequence[EvaluationRecord], paired: bool, resampled: Floats
) -> tuple[ClassDifference, ...]:
    one, other = np.array([run.iou for run in ours]), np.array([run.iou for run in theirs])
    left, right = nan_mean(one, axis=0), nan_mean(other, axis=0)
    spread = nan_mean(resampled[: len(ours)], axis=0) - nan_mean(resampled[len(ours) :], axis=0)
    pairs = one - other if paired else np.full((0, len(left)), np.nan)
    return tuple(
        ClassDifference(
            name=name,
            ours=or_none(left[index]),
            theirs=or_none(right[index]),
            difference=or_none(left[index] - right[index]),
            sd=sd(pairs[~np.isnan(pairs[:, index]), index].tolist()),
            interval=percentile_interval(spread[:, index]),
        )
        for index, name in enumerate(ours[0].class_names)
    )
