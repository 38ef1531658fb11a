"""Class-dependency maps in numbers: how means, intervals and the telling pairs are computed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from classaware.errors import InputError
from classaware.insight.centers import CenterAccumulator
from classaware.insight.dependency import FORMS, Form, mean_cosine, mean_dependency, similarity_map
from classaware.insight.dependency_summary import (
    Change,
    Dependency,
    DependencySummary,
    Estimate,
    Floats,
    FormSummary,
    Interval,
)

_SHOWN = 10


def summarize_dependency(
    accumulators: Mapping[str, CenterAccumulator], class_names: Sequence[str]
) -> DependencySummary:
    """Maps in all forms, and their numbers.

    Intervals: delete-one-group jackknife over 20 groups of images, with Student's t (B. Efron and R. Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapter 11). They hold for these networks and images drawn independently;
    those of differences leave out the same images in both networks.

    Args:
        accumulators: name of the network -> centers, of the same images.
        class_names: K names.

    Raises:
        InputError: no network, different numbers of images or classes, or no labeled pixel.
    """
    _check(accumulators, class_names)
    every = list(accumulators.values())
    present = every[0].present
    for accumulator in every[1:]:
        present = present & accumulator.present
    if not bool(present.any()):
        raise InputError("no pixel of these images is labeled, so there is no class center: choose other images.")
    return DependencySummary(
        class_names=tuple(class_names),
        present_K=present.numpy(),
        images=every[0].images,
        channels={name: accumulator.channels for name, accumulator in accumulators.items()},
        scales={name: accumulator.scale() for name, accumulator in accumulators.items()},
        forms={form: _summarize(accumulators, form, present) for form in FORMS},
    )


def _check(accumulators: Mapping[str, CenterAccumulator], class_names: Sequence[str]) -> None:
    if not accumulators:
        raise InputError("There is no network to summarize. Give at least one.")
    first, one = next(iter(accumulators.items()))
    for name, accumulator in accumulators.items():
        if accumulator.num_classes != len(class_names):
            raise InputError(
                f"network {name!r} has {accumulator.num_classes} classes and there are {len(class_names)} class names: "
                "give one name a class."
            )
        if accumulator.images != one.images:
            raise InputError(
                f"network {first!r} saw {one.images} images and {name!r} {accumulator.images}: measure both on "
                "the same."
            )


def _summarize(accumulators: Mapping[str, CenterAccumulator], form: Form, present: Tensor) -> FormSummary:
    mean = mean_cosine if form == "cosine" else mean_dependency
    maps, values, replicates = {}, {}, {}
    for name, accumulator in accumulators.items():
        square = similarity_map(accumulator, form, present)
        maps[name], values[name] = square.numpy(), mean(square)
        replicates[name] = np.array(
            [mean(similarity_map(accumulator, form, present, group)) for group in range(accumulator.groups)]
        )
    first, *others = accumulators
    pairs = list(zip(*np.nonzero(_pairs(maps[first], form)), strict=True))
    changes = {
        name: sorted((Change(int(a), int(b), maps[first][a, b], maps[name][a, b]) for a, b in pairs), key=_by_rise)
        for name in others
    }
    return FormSummary(
        maps=maps,
        means={name: Estimate(values[name], jackknife_interval(values[name], replicates[name])) for name in maps},
        differences={
            name: Estimate(
                values[name] - values[first],
                jackknife_interval(values[name] - values[first], replicates[name] - replicates[first]),
            )
            for name in others
        },
        strongest={
            name: sorted((Dependency(int(a), int(b), square[a, b]) for a, b in pairs), key=_by_value)[:_SHOWN]
            for name, square in maps.items()
        },
        up={name: [c for c in changes[name][:_SHOWN] if c.difference > 0] for name in others},
        down={name: [c for c in changes[name][: -_SHOWN - 1 : -1] if c.difference < 0] for name in others},
    )


def _pairs(square: Floats, form: Form) -> NDArray[np.bool_]:
    """(K, K): off the diagonal, of present classes; each pair once where the map is symmetric."""
    wanted = ~np.isnan(square) & ~np.eye(len(square), dtype=bool)
    return np.triu(wanted) if form == "cosine" else wanted


def _by_value(pair: Dependency) -> tuple[float, int, int]:
    return -pair.value, pair.of, pair.on


def _by_rise(change: Change) -> tuple[float, int, int]:
    return -change.difference, change.of, change.on


def jackknife_interval(value: float, replicates: Floats) -> Interval | None:
    """95 % interval of a number from its values without each of g groups, with g - 1 degrees of freedom.

    Args:
        value: of all groups.
        replicates: (g,), without group 0, 1, ...

    Returns:
        The interval; None for fewer than two groups or a value that is nan.
    """
    groups = len(replicates)
    if groups < 2 or math.isnan(value):
        return None
    error = math.sqrt((groups - 1) / groups * float(((replicates - replicates.mean()) ** 2).sum()))
    reach = float(stats.t.ppf(0.975, groups - 1)) * error
    return value - reach, value + reach
