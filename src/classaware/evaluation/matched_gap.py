"""What unfamiliar company costs: the same classes beside what training showed with them, and beside what it did not.

Familiar is here what is together in training at least as often as by chance, unfamiliar what is rare or was never seen;
regions between the two are left out, for which side they are on is decided by the noise of the training labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classaware.evaluation.familiarity import FAMILIAR
from classaware.evaluation.familiarity_groups import ALONE, Units
from classaware.evaluation.side_by_side import Mask, Measure, SideBySide
from classaware.evaluation.statistics import Floats, nan_mean


@dataclass(frozen=True)
class ClassGap:
    """A class in familiar company and in unfamiliar one, which is rare or never.

    Attributes:
        name: of the class.
        familiar_regions: number of regions in familiar company.
        unfamiliar_regions: number of the others.
        familiar: IoU.
        unfamiliar: IoU.
        gap: familiar minus unfamiliar.
    """

    name: str
    familiar_regions: int
    unfamiliar_regions: int
    familiar: Measure
    unfamiliar: Measure
    gap: Measure


@dataclass(frozen=True)
class MatchedGap:
    """What unfamiliar company costs: means over the same classes, those that have regions in both.

    Attributes:
        familiar: mean IoU in familiar company.
        unfamiliar: mean IoU in rare company or one never seen.
        gap: familiar minus unfamiliar; 0 for a network that does not care for company.
        weighted_gap: the same with each class weighted by its number of unfamiliar regions; it hangs less on classes
            that have one or two of them.
        classes: each of them.
    """

    familiar: Measure
    unfamiliar: Measure
    gap: Measure
    weighted_gap: Measure
    classes: tuple[ClassGap, ...]


def matched_gap(scores: SideBySide, by: Units, class_names: Sequence[str]) -> MatchedGap | None:
    """The gap over the classes that have regions in familiar company and in unfamiliar one; None without any.

    Args:
        scores: of runs on n images.
        by: of the same images.
        class_names: K names.
    """
    groups = by.region_groups_nK
    familiar, unfamiliar = (groups == FAMILIAR) & by.region_often_nK, (groups > FAMILIAR) & (groups < ALONE)
    both = familiar.any(axis=0) & unfamiliar.any(axis=0)
    if not both.any():
        return None
    familiar, unfamiliar = familiar & both, unfamiliar & both
    one, other = scores.iou(familiar), scores.iou(unfamiliar)
    # A resample of images can lack one of the two: then the class is in neither of its means.
    missing = np.isnan(one) | np.isnan(other)
    one, other = np.where(missing, np.nan, one), np.where(missing, np.nan, other)
    images = min(_images(familiar), _images(unfamiliar))
    means = nan_mean(one, axis=2), nan_mean(other, axis=2)
    regions = np.where(missing, 0, scores.weights @ unfamiliar.astype(np.int32))
    total = regions.sum(axis=2)
    weighted = np.where(missing, 0, (one - other) * regions).sum(axis=2)
    weighted = np.divide(weighted, total, out=np.full(total.shape, np.nan), where=total > 0)
    return MatchedGap(
        familiar=scores.measure(means[0], images),
        unfamiliar=scores.measure(means[1], images),
        gap=scores.measure(means[0] - means[1], images),
        weighted_gap=scores.measure(weighted, images),
        classes=tuple(
            _class_gap(scores, class_names[k], (one[..., k], other[..., k]), (familiar[:, [k]], unfamiliar[:, [k]]))
            for k in np.flatnonzero(both).tolist()
        ),
    )


def _class_gap(scores: SideBySide, name: str, iou: tuple[Floats, Floats], marked: tuple[Mask, Mask]) -> ClassGap:
    regions = (_images(marked[0]), _images(marked[1]))  # one an image
    return ClassGap(
        name,
        *regions,
        scores.measure(iou[0], regions[0]),
        scores.measure(iou[1], regions[1]),
        scores.measure(iou[0] - iou[1], min(regions)),
    )


def _images(mask: Mask) -> int:
    return int(mask.any(axis=1).sum())
