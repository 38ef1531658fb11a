"""What each class gains or loses where it stands together with each other one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from classaware.evaluation.combinations import Combinations
from classaware.evaluation.familiarity import Familiarity, Rarity
from classaware.evaluation.side_by_side import ENOUGH, Estimate, Mask, SideBySide
from classaware.evaluation.statistics import Floats, or_none


@dataclass(frozen=True)
class Contrast:
    """One number of one side or two; `Measure` without the single runs."""

    ours: Estimate
    theirs: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True)
class PairEffect:
    """A class and one that stands with it.

    Attributes:
        name: of the class whose IoU it is.
        partner: name of the other one.
        category: of the pair, in the training labels.
        training: training images in which they are together.
        expected: how many there would be by chance.
        lift: training / expected; None where undefined.
        score: smoothed lift, see `Familiarity.score_KK`.
        images: evaluated images in which they are together.
        other_images: evaluated images that hold the class and not together with the partner.
        together: IoU of the class in the former.
        apart: IoU of the class in the latter.
        effect: together minus apart.
    """

    name: str
    partner: str
    category: Rarity
    training: int
    expected: float
    lift: float | None
    score: float
    images: int
    other_images: int
    together: Contrast
    apart: Contrast
    effect: Contrast


def pair_effects(scores: SideBySide, combinations: Combinations, familiarity: Familiarity) -> Iterator[PairEffect]:
    """Every ordered pair that is together in an evaluated image, by class and partner in the list's order.

    Args:
        scores: of runs on the images of ``combinations``, in their order.
        combinations: of the evaluated labels.
        familiarity: of the training labels.
    """
    names, pairs = combinations.class_names, familiarity.pairs
    expected, lift = pairs.expected(), pairs.lift()
    images_p, one_p, other_p = combinations.pairs_m3.T
    for a in range(len(names)):
        rows = np.flatnonzero(combinations.present_nK[:, a])
        beside = np.zeros((len(combinations.names), len(names)), dtype=bool)
        for held, partner in ((one_p, other_p), (other_p, one_p)):
            beside[images_p[held == a], partner[held == a]] = True
        partners = np.flatnonzero(beside.any(axis=0)).tolist()
        if not partners:
            continue
        joint = beside[rows][:, partners]
        together, apart = _iou(scores, a, rows, joint)
        for column, b in enumerate(partners):
            count = int(joint[:, column].sum())
            others = len(rows) - count
            pair = [values[..., column] for values in (together, apart)]
            yield PairEffect(
                names[a],
                names[b],
                familiarity.category(a, b),
                int(pairs.counts_KK[a, b]),
                float(expected[a, b]),
                or_none(lift[a, b]),
                float(familiarity.score_KK[a, b]),
                count,
                others,
                _contrast(scores, pair[0], count),
                _contrast(scores, pair[1], others),
                _contrast(scores, pair[0] - pair[1], min(count, others)),
            )


def _iou(scores: SideBySide, index: int, rows: np.ndarray, joint: Mask) -> tuple[Floats, Floats]:
    """IoU of one class in the images with each partner and in those without, two of (R, 1 + S, partners)."""
    weights = scores.weights[:, rows].astype(np.float64)
    parts = np.empty((2, 2, len(scores.runs), len(weights), joint.shape[1]))
    for place, run in enumerate(scores.runs):
        counts = run[rows, index].astype(np.float64)
        for part, values in enumerate((counts[:, 0], counts.sum(axis=1))):
            parts[0, part, place] = weights @ (joint * values[:, None])
            parts[1, part, place] = (weights @ values)[:, None] - parts[0, part, place]
    (right, union), (right_apart, union_apart) = parts
    return _ratio(right, union), _ratio(right_apart, union_apart)


def _ratio(right: Floats, union: Floats) -> Floats:
    return np.divide(right, union, out=np.full_like(right, np.nan), where=union > 0)


def _contrast(scores: SideBySide, values: Floats, images: int) -> Contrast:
    # Without resamples where they would not be used: there are thousands of pairs.
    found = scores.measure(values if images >= ENOUGH else values[:, :1], images)
    return Contrast(found.ours, found.theirs, found.difference)
