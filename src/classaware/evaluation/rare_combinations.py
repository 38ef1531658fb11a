"""Does a network depend on familiar combinations of classes? Its scores by how familiar training made them.

A unit is an image or a region, which is one class in one image. Its least familiar pair of classes decides: familiar,
rare or never seen together in the training labels, or alone where nothing stands with it. Fractions throughout; a
difference is ours minus theirs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from classaware.errors import InputError
from classaware.evaluation.combinations import Combinations, aligned_combinations
from classaware.evaluation.comparable import aligned_counts, find_warnings, pair_by_seed
from classaware.evaluation.comparison import RESAMPLES, Side, make_side
from classaware.evaluation.description import describe
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.familiarity_groups import GROUPS, Group, Units, score_bins, units
from classaware.evaluation.matched_gap import MatchedGap, matched_gap
from classaware.evaluation.pair_effects import PairEffect, pair_effects
from classaware.evaluation.record import EvaluationRecord
from classaware.evaluation.side_by_side import Mask, Measure, SideBySide

Unit = Literal["image", "region"]

HEAD: dict[str, Any] = {"format": "classaware-combinations", "version": 1}


@dataclass(frozen=True)
class GroupScore:
    """The units of one group.

    Attributes:
        unit: image or region.
        group: how familiar their combinations are.
        units: their number.
        images: number of images in which they are.
        classes: number of classes over which the mean is taken, those that have true pixels there.
        mean_iou: of an image's classes, or of the regions.
    """

    unit: Unit
    group: Group
    units: int
    images: int
    classes: int
    mean_iou: Measure


@dataclass(frozen=True)
class BinScore:
    """Units of about equal scores, a point of the curve.

    Attributes:
        unit: image or region.
        lowest: smallest score, a smoothed lift, see `Familiarity.score_KK`.
        middle: median.
        highest: greatest.
        units: number of units.
        mean_iou: as in `GroupScore`.
    """

    unit: Unit
    lowest: float
    middle: float
    highest: float
    units: int
    mean_iou: Measure


@dataclass(frozen=True)
class RareCombinations:
    """What `rare_combinations` finds.

    Attributes:
        ours: the runs.
        theirs: those that they are compared against, or None.
        descriptions: data set, split and way of inference, see `describe`; several where runs differ.
        paired_by: "seed" if both sides have the same seeds, else None.
        images: number of images.
        training_images: number of images whose labels say what is familiar.
        together: "image" or "touching".
        min_pixels: from how many pixels on an image holds a class.
        rare: lift below which a pair is rare.
        resamples: number of the bootstrap's resamples of images.
        gap: the matched gap; None where no class has regions in both.
        groups: first of images, then of regions; without units where there are none.
        curve: bins from the rarest to the most familiar, first of images, then of regions.
        pairs: see `pair_effects`.
        warnings: what makes the numbers incomparable.
    """

    ours: Side
    theirs: Side | None
    descriptions: tuple[str, ...]
    paired_by: str | None
    images: int
    training_images: int
    together: str
    min_pixels: int
    rare: float
    resamples: int
    gap: MatchedGap | None
    groups: tuple[GroupScore, ...]
    curve: tuple[BinScore, ...]
    pairs: tuple[PairEffect, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return HEAD | asdict(self)


def rare_combinations(
    ours: Sequence[EvaluationRecord],
    theirs: Sequence[EvaluationRecord] | None,
    combinations: Combinations,
    familiarity: Familiarity,
    names: Sequence[str] = ("first", "second"),
    resamples: int = RESAMPLES,
) -> RareCombinations:
    """Score runs by the familiarity of what stands together; the same input gives the same numbers.

    Args:
        ours: evaluations of one split.
        theirs: evaluations of the same images to compare against, or None.
        combinations: of that split's labels, see `read_combinations`.
        familiarity: of the training labels.
        names: of the sides.
        resamples: of the images, for the intervals.

    Raises:
        InputError: no run, or runs, combinations and training labels of other classes, images or labels.
    """
    if not ours:
        raise InputError("There is nothing to score. Give at least one evaluation.")
    others = list(theirs or ())
    pairing = pair_by_seed(ours, others) if others else None
    others = others if pairing is None else list(pairing)
    runs = [*ours, *others]
    counts = aligned_counts(runs)
    found = aligned_combinations(combinations, runs[0])
    by = units(found, familiarity)
    scores = SideBySide(counts[: len(ours)], counts[len(ours) :], pairing is not None, resamples)
    return RareCombinations(
        ours=make_side(names[0], ours),
        theirs=make_side(names[1], others) if others else None,
        descriptions=tuple(dict.fromkeys(map(describe, runs))),
        paired_by=None if pairing is None else "seed",
        images=len(found.names),
        training_images=familiarity.pairs.images,
        together=found.together,
        min_pixels=found.min_pixels,
        rare=familiarity.rare,
        resamples=resamples,
        gap=matched_gap(scores, by, found.class_names),
        groups=tuple(_groups(scores, by, found)),
        curve=tuple(_curve(scores, by, found)),
        pairs=tuple(pair_effects(scores, found, familiarity)),
        warnings=find_warnings(ours, others),
    )


def _of_images(chosen: Mask, size: int) -> Mask:
    """(n,) -> (n, K): all classes of the chosen images."""
    return np.repeat(chosen[:, None], size, axis=1)


def _groups(scores: SideBySide, by: Units, found: Combinations) -> list[GroupScore]:
    size = len(found.class_names)
    result = []
    for number, group in enumerate(GROUPS):
        chosen, marked = by.image_groups_n == number, by.region_groups_nK == number
        held = (found.pixels_nK[chosen] > 0).any(axis=0)
        count, classes = int(chosen.sum()), int(marked.any(axis=0).sum())
        mean = scores.mean_iou(_of_images(chosen, size))
        result.append(GroupScore("image", group, count, count, int(held.sum()), mean))
        result.append(
            GroupScore(
                "region", group, int(marked.sum()), int(marked.any(axis=1).sum()), classes, scores.mean_iou(marked)
            )
        )
    return sorted(result, key=lambda item: item.unit)


def _curve(scores: SideBySide, by: Units, found: Combinations) -> list[BinScore]:
    size, result = len(found.class_names), []
    of_images, of_regions = score_bins(by.image_scores_n), score_bins(by.region_scores_nK)
    for number in range(int(of_images.max(initial=-1)) + 1):
        chosen = of_images == number
        mean = scores.mean_iou(_of_images(chosen, size))
        result.append(BinScore("image", *_spread(by.image_scores_n[chosen]), int(chosen.sum()), mean))
    for number in range(int(of_regions.max(initial=-1)) + 1):
        marked = of_regions == number
        mean = scores.mean_iou(marked)
        result.append(BinScore("region", *_spread(by.region_scores_nK[marked]), int(marked.sum()), mean))
    return result


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float]:
    return float(values.min()), float(np.median(values)), float(values.max())
