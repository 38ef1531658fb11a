"""Class dependency of two groups of trainings, such as several seeds with CAR and without."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from classaware.evaluation.side_by_side import pair_seeds
from classaware.evaluation.statistics import TTest, sd, t_test
from classaware.insight.dependency import Form
from classaware.insight.dependency_numbers import changed_pairs, estimate, strongest_pairs
from classaware.insight.dependency_summary import (
    Change,
    Dependency,
    DependencySummary,
    Estimate,
    Floats,
    FormSummary,
    change_dicts,
    estimate_dict,
    map_rows,
    strongest_dicts,
)


class Side(NamedTuple):
    """A group of networks: its name, theirs, and the seeds of their trainings (None where unknown)."""

    name: str
    networks: tuple[str, ...]
    seeds: tuple[int | None, ...]


@dataclass(frozen=True)
class SideNumbers:
    """One side in one form of the map.

    Attributes:
        runs: mean dependency of each network.
        mean: over the networks; the interval is over images.
        sd: over the networks; None for one.
        map: float64 (K, K), mean of the networks' maps.
        strongest: its ten strongest pairs.
    """

    runs: tuple[float, ...]
    mean: Estimate
    sd: float | None
    map: Floats
    strongest: list[Dependency]


@dataclass(frozen=True)
class SideContrast:
    """Both sides in one form.

    Attributes:
        ours: our side.
        theirs: the other one.
        difference: mean of ours minus that of theirs; the interval is over images, the same left out in all networks.
        difference_sd: of the pairs' differences; None without two pairs.
        test: t-test over the networks, paired by seed where both sides have the same seeds.
        up: the ten pairs whose mean is greater in ours than in theirs by most; their ``first`` is theirs.
        down: the ten whose mean is smaller by most.
    """

    ours: SideNumbers
    theirs: SideNumbers
    difference: Estimate
    difference_sd: float | None
    test: TTest
    up: list[Change]
    down: list[Change]


@dataclass(frozen=True)
class DependencySides:
    """Two sides in all forms.

    Attributes:
        ours: the first side.
        theirs: the second; in the order of the first by seeds where it is paired.
        paired_by: "seed", or None.
        class_names: K names.
        forms: one contrast a form.
    """

    ours: Side
    theirs: Side
    paired_by: str | None
    class_names: tuple[str, ...]
    forms: dict[Form, SideContrast]

    def maps(self, form: Form) -> dict[str, Floats]:
        """Name of the side -> mean map (K, K)."""
        return {self.ours.name: self.forms[form].ours.map, self.theirs.name: self.forms[form].theirs.map}

    def to_dict(self) -> dict[str, Any]:
        """For JSON: nan becomes null, classes are named."""
        return {
            "ours": self.ours._asdict(),
            "theirs": self.theirs._asdict(),
            "paired_by": self.paired_by,
            "forms": {form: self._contrast_dict(contrast) for form, contrast in self.forms.items()},
        }

    def _contrast_dict(self, contrast: SideContrast) -> dict[str, Any]:
        keys = ("theirs", "ours")
        return {
            "difference": estimate_dict(contrast.difference) | {"sd": contrast.difference_sd},
            "test": asdict(contrast.test),
            "ours": self._side_dict(contrast.ours),
            "theirs": self._side_dict(contrast.theirs),
            "more_than_theirs": change_dicts(contrast.up, self.class_names, keys),
            "less_than_theirs": change_dicts(contrast.down, self.class_names, keys),
        }

    def _side_dict(self, side: SideNumbers) -> dict[str, Any]:
        return {
            "runs": [None if math.isnan(value) else value for value in side.runs],
            "mean": estimate_dict(side.mean),
            "sd": side.sd,
            "strongest": strongest_dicts(side.strongest, self.class_names),
            "map": map_rows(side.map),
        }


def compare_sides(summary: DependencySummary, ours: Side, theirs: Side) -> DependencySides:
    """Ours against theirs.

    Args:
        summary: of the networks of both sides; the same image groups are left out in all of them.
        ours: networks of ``summary``, at least one.
        theirs: other networks of it.
    """
    order = pair_seeds(ours.seeds, theirs.seeds)
    if order is not None:
        names, seeds = tuple(theirs.networks[place] for place in order), tuple(theirs.seeds[place] for place in order)
        theirs = Side(theirs.name, names, seeds)
    return DependencySides(
        ours=ours,
        theirs=theirs,
        paired_by=None if order is None else "seed",
        class_names=summary.class_names,
        forms={
            form: _contrast(part, form, ours.networks, theirs.networks, order is not None)
            for form, part in summary.forms.items()
        },
    )


def _contrast(part: FormSummary, form: Form, ours: Sequence[str], theirs: Sequence[str], paired: bool) -> SideContrast:
    one, other = _numbers(part, form, ours), _numbers(part, form, theirs)
    left, right = (_mean([part.replicates[name] for name in side]) for side in (ours, theirs))
    up, down = changed_pairs(other.map, one.map, form)
    return SideContrast(
        ours=one,
        theirs=other,
        difference=estimate(one.mean.value - other.mean.value, left - right),
        difference_sd=_spread(np.subtract(one.runs, other.runs).tolist()) if paired else None,
        test=_test(one.runs, other.runs, paired),
        up=up,
        down=down,
    )


def _numbers(part: FormSummary, form: Form, names: Sequence[str]) -> SideNumbers:
    runs = tuple(part.means[name].value for name in names)
    square = _mean([part.maps[name] for name in names])
    mean = estimate(float(np.mean(runs)), _mean([part.replicates[name] for name in names]))
    return SideNumbers(runs, mean, _spread(runs), square, strongest_pairs(square, form))


def _mean(values: Sequence[Floats]) -> Floats:
    mean: Floats = np.mean(values, axis=0)
    return mean


def _spread(values: Sequence[float]) -> float | None:
    return None if np.isnan(values).any() else sd(values)


def _test(ours: Sequence[float], theirs: Sequence[float], paired: bool) -> TTest:
    if np.isnan([*ours, *theirs]).any():
        return TTest("paired" if paired else "Welch", undefined="not defined: a network has no mean")
    return t_test(ours, theirs, paired)
