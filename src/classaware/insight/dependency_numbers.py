"""Class-dependency maps in numbers: how means, intervals and the telling pairs are computed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
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
    changed = {name: changed_pairs(maps[first], maps[name], form) for name in others}
    return FormSummary(
        maps=maps,
        replicates=replicates,
        means={name: estimate(values[name], replicates[name]) for name in maps},
        differences={
            name: estimate(values[name] - values[first], replicates[name] - replicates[first]) for name in others
        },
        strongest={name: strongest_pairs(square, form) for name, square in maps.items()},
        up={name: up for name, (up, _) in changed.items()},
        down={name: down for name, (_, down) in changed.items()},
    )


def strongest_pairs(square: Floats, form: Form) -> list[Dependency]:
    """The ten greatest values of a (K, K) map off its diagonal, greatest first."""
    found = (Dependency(a, b, square[a, b]) for a, b in _pairs(square, form))
    return sorted(found, key=lambda pair: (-pair.value, pair.of, pair.on))[:_SHOWN]


def changed_pairs(first: Floats, other: Floats, form: Form) -> tuple[list[Change], list[Change]]:
    """The ten pairs that are stronger in ``other`` than in ``first`` by most, and the ten that are weaker by most."""
    found = [Change(a, b, first[a, b], other[a, b]) for a, b in _pairs(first, form)]
    found.sort(key=lambda change: (-change.difference, change.of, change.on))
    up = [change for change in found[:_SHOWN] if change.difference > 0]
    return up, [change for change in found[: -_SHOWN - 1 : -1] if change.difference < 0]


def _pairs(square: Floats, form: Form) -> list[tuple[int, int]]:
    """Off the diagonal, of present classes; each pair once where the map is symmetric."""
    wanted = ~np.isnan(square) & ~np.eye(len(square), dtype=bool)
    return [(int(a), int(b)) for a, b in np.argwhere(np.triu(wanted) if form == "cosine" else wanted)]


def estimate(value: float, replicates: Floats) -> Estimate:
    """A number with its `jackknife_interval`."""
    return Estimate(value, jackknife_interval(value, replicates))


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
