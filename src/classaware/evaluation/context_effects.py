"""The effect of an object's context on its scores, with intervals over the images that objects come from.

Objects of one image are not independent, so the bootstrap draws images, each with all of its objects (A. Davison and
D. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). The hosts are not drawn anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classaware.evaluation.side_by_side import ENOUGH
from classaware.evaluation.statistics import (
    Floats,
    Interval,
    TTest,
    image_weights,
    percentile_interval,
    resampled_groups,
    sd,
    t_test,
)

HOME, FAMILIAR_PLACE, UNFAMILIAR_PLACE = range(3)


class Measured(NamedTuple):
    """Scores of R networks for n objects at home, in the familiar and in the unfamiliar place, float64 (R, n, 3).

    Attributes:
        iou_Rn3: of the object's class in its region.
        recall_Rn3: share of the core that is predicted as the object's class.
        flips_Rn3: share of the core that is predicted as another class than at home.
    """

    iou_Rn3: Floats
    recall_Rn3: Floats
    flips_Rn3: Floats

    def mean(self, networks: Sequence[int]) -> "Measured":
        """Of some networks, as if they were one."""
        chosen = list(networks)
        return Measured(*(values[chosen].mean(axis=0, keepdims=True) for values in self))

    def sensitivity(self) -> Floats:
        """(R, n): IoU in the familiar minus IoU in the unfamiliar place."""
        difference: Floats = self.iou_Rn3[..., FAMILIAR_PLACE] - self.iou_Rn3[..., UNFAMILIAR_PLACE]
        return difference


@dataclass(frozen=True)
class AtPlaces:
    """A mean over objects in each of their places."""

    home: float
    familiar: float
    unfamiliar: float


@dataclass(frozen=True)
class Effect:
    """What context does to some objects.

    Attributes:
        objects: number of them.
        images: number of images that they come from.
        iou: mean IoU of the object's class around it.
        recall: mean share of its core that is recognized.
        flips: mean share of its core that is predicted otherwise than at home, where it is 0.
        sensitivity: context sensitivity, IoU in the familiar minus IoU in the unfamiliar place.
        interval: 95 % bootstrap interval of it over images; None for less than five images.
        moving_objects: number of objects whose place at home would do as their familiar one.
        moving: of these, IoU at home minus IoU in the familiar place: what edge and new place do by themselves; None
            without any.
        moving_interval: 95 % bootstrap interval of it over images; None for less than five images.
    """

    objects: int
    images: int
    iou: AtPlaces
    recall: AtPlaces
    flips: AtPlaces
    sensitivity: float
    interval: Interval | None
    moving_objects: int
    moving: float | None
    moving_interval: Interval | None


@dataclass(frozen=True)
class Group:
    """One network, or the mean over those of one side.

    Attributes:
        name: of the network or the side.
        networks: names.
        seeds: of their trainings, None where unknown.
        sensitivities: context sensitivity of each.
        sd: of these; None for one.
        effect: of the mean over the networks, object by object.
    """

    name: str
    networks: tuple[str, ...]
    seeds: tuple[int | None, ...]
    sensitivities: tuple[float, ...]
    sd: float | None
    effect: Effect


@dataclass(frozen=True)
class Contrast:
    """Ours minus theirs in one quantity.

    Attributes:
        quantity: what it is.
        ours: mean over our networks.
        theirs: mean over their networks.
        difference: of the two.
        difference_sd: of the pairs' differences; None without two pairs.
        test: t-test over the networks, paired by seed where the sides have the same seeds.
        image_interval: 95 % bootstrap interval over images for these very networks; None for less than five images.
        run_and_image_interval: the same with the networks drawn anew as well; None unless both sides have two.
    """

    quantity: str
    ours: float
    theirs: float
    difference: float
    difference_sd: float | None
    test: TTest
    image_interval: Interval | None
    run_and_image_interval: Interval | None


def resampled_means(values_Gn: Floats, source_n: NDArray[np.int64], resamples: int) -> Floats | None:
    """Mean over objects in resamples of the images that they come from, (G, S); None for less than five images."""
    sources, image_n = np.unique(source_n, return_inverse=True)
    if len(sources) < ENOUGH:
        return None
    sums = np.stack([np.bincount(image_n, weights=values, minlength=len(sources)) for values in values_Gn])
    counts = np.bincount(image_n).astype(np.float64)
    chunks = (weights.astype(np.float64) for weights in image_weights(len(sources), resamples))
    return np.concatenate([sums @ weights.T / (weights @ counts) for weights in chunks], axis=1)


def effect(
    measured: Measured,
    source_n: NDArray[np.int64],
    settled_n: NDArray[np.bool_],
    chosen_n: NDArray[np.bool_],
    resamples: int,
) -> Effect:
    """The effect on the chosen objects, by one network (R = 1).

    Args:
        measured: its scores.
        source_n: number of each object's image.
        settled_n: whether its place at home would do as its familiar one.
        chosen_n: which objects count; at least one.
        resamples: of the bootstrap.
    """
    sensitivity_1n = measured.sensitivity()
    moving_1n = measured.iou_Rn3[..., HOME] - measured.iou_Rn3[..., FAMILIAR_PLACE]
    settled_n = chosen_n & settled_n
    return Effect(
        objects=int(chosen_n.sum()),
        images=len(np.unique(source_n[chosen_n])),
        iou=_at_places(measured.iou_Rn3, chosen_n),
        recall=_at_places(measured.recall_Rn3, chosen_n),
        flips=_at_places(measured.flips_Rn3, chosen_n),
        sensitivity=float(sensitivity_1n[0, chosen_n].mean()),
        interval=mean_interval(sensitivity_1n, source_n, chosen_n, resamples),
        moving_objects=int(settled_n.sum()),
        moving=float(moving_1n[0, settled_n].mean()) if settled_n.any() else None,
        moving_interval=mean_interval(moving_1n, source_n, settled_n, resamples),
    )


def _at_places(values_1n3: Floats, chosen_n: NDArray[np.bool_]) -> AtPlaces:
    return AtPlaces(*values_1n3[0, chosen_n].mean(axis=0).tolist())


def mean_interval(
    values_1n: Floats, source_n: NDArray[np.int64], chosen_n: NDArray[np.bool_], resamples: int
) -> Interval | None:
    """95 % bootstrap interval over images of the mean over chosen objects; None for less than five images."""
    means = resampled_means(values_1n[:, chosen_n], source_n[chosen_n], resamples)
    return None if means is None else percentile_interval(means[0])


def contrasts(
    measured: Measured, split: int, paired: bool, source_n: NDArray[np.int64], resamples: int
) -> list[Contrast]:
    """Ours (the first ``split`` networks) minus theirs (the rest) in all quantities, context sensitivity first."""
    iou, flips = measured.iou_Rn3, measured.flips_Rn3
    quantities = {
        "context sensitivity": measured.sensitivity(),
        "IoU at home": iou[..., HOME],
        "IoU in familiar contexts": iou[..., FAMILIAR_PLACE],
        "IoU in unfamiliar contexts": iou[..., UNFAMILIAR_PLACE],
        "flips in familiar contexts": flips[..., FAMILIAR_PLACE],
        "flips in unfamiliar contexts": flips[..., UNFAMILIAR_PLACE],
    }
    return [_contrast(name, values, split, paired, source_n, resamples) for name, values in quantities.items()]


def _contrast(
    quantity: str, values_Rn: Floats, split: int, paired: bool, source_n: NDArray[np.int64], resamples: int
) -> Contrast:
    means = values_Rn.mean(axis=1)
    ours, theirs = means[:split].tolist(), means[split:].tolist()
    drawn = resampled_means(values_Rn, source_n, resamples)
    several = min(len(ours), len(theirs)) > 1
    by_image = by_both = None
    if drawn is not None:
        by_image = percentile_interval(drawn[:split].mean(axis=0) - drawn[split:].mean(axis=0))
        by_both = percentile_interval(resampled_groups(drawn[:split], drawn[split:], paired)) if several else None
    return Contrast(
        quantity=quantity,
        ours=float(np.mean(ours)),
        theirs=float(np.mean(theirs)),
        difference=float(np.mean(ours) - np.mean(theirs)),
        difference_sd=sd(np.subtract(ours, theirs).tolist()) if paired else None,
        test=t_test(ours, theirs, paired),
        image_interval=by_image,
        run_and_image_interval=by_both,
    )
