"""What is known of class-dependency maps: means with intervals, strongest pairs, and what differs between networks."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classaware.insight.dependency import Form

COMPARABLE: dict[Form, str] = {
    "paper": "compare only between networks whose features have the same scale",
    "unit": "any scale of the features; compare between networks with as many channels",
    "cosine": "compare between any networks",
}

Floats = NDArray[np.float64]
Interval = tuple[float, float]


class Estimate(NamedTuple):
    """A number and its 95 % interval over images; None for fewer than two images."""

    value: float
    interval: Interval | None


class Dependency(NamedTuple):
    """How much one class depends on another: indices of both, and the value."""

    of: int
    on: int
    value: float


class Change(NamedTuple):
    """The same in the first network and in another."""

    of: int
    on: int
    first: float
    other: float

    @property
    def difference(self) -> float:
        """Other minus first."""
        return self.other - self.first


@dataclass(frozen=True)
class FormSummary:
    """One form of the map; every mapping goes by the networks' names.

    Attributes:
        maps: float64 (K, K), see `similarity_map`.
        means: mean dependency on all other classes (``cosine``: mean cosine of two classes).
        differences: mean of a network minus that of the first, of the same images; without the first.
        strongest: the ten strongest pairs.
        up: the ten pairs that are stronger than in the first network by most; without the first.
        down: the ten that are weaker by most.
    """

    maps: dict[str, Floats]
    means: dict[str, Estimate]
    differences: dict[str, Estimate]
    strongest: dict[str, list[Dependency]]
    up: dict[str, list[Change]]
    down: dict[str, list[Change]]


@dataclass(frozen=True)
class DependencySummary:
    """Class dependency of one or several networks on the same images.

    Attributes:
        class_names: K names.
        present_K: bool, the classes that all networks have a center of; only they take part.
        images: number of images.
        channels: by network, C.
        scales: by network, root mean square of the features.
        forms: one summary a form.
    """

    class_names: tuple[str, ...]
    present_K: NDArray[np.bool_]
    images: int
    channels: dict[str, int]
    scales: dict[str, float]
    forms: dict[Form, FormSummary]

    @property
    def names(self) -> list[str]:
        """Of the networks."""
        return list(self.channels)

    def present_maps(self, form: Form) -> dict[str, Floats]:
        """The maps without the classes that are absent."""
        index = np.flatnonzero(self.present_K)
        return {name: square[np.ix_(index, index)] for name, square in self.forms[form].maps.items()}

    @property
    def present_names(self) -> list[str]:
        """Names of the classes in `present_maps`."""
        return [name for name, there in zip(self.class_names, self.present_K, strict=True) if there]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: nan becomes null, classes are named."""
        return {
            "images": self.images,
            "class_names": list(self.class_names),
            "present": [bool(there) for there in self.present_K],
            "networks": [
                {"name": n, "channels": self.channels[n], "scale": _plain(self.scales[n])} for n in self.names
            ],
            "forms": {form: self._form_dict(form) for form in self.forms},
        }

    def _form_dict(self, form: Form) -> dict[str, Any]:
        summary = self.forms[form]
        result: dict[str, Any] = {"comparable": COMPARABLE[form], "networks": []}
        for name in self.names:
            entry: dict[str, Any] = {
                "name": name,
                "mean": _estimate(summary.means[name]),
                "strongest": [self._pair(pair) | {"value": pair.value} for pair in summary.strongest[name]],
            }
            if name in summary.differences:
                entry["difference_to_first"] = _estimate(summary.differences[name])
                for key, changes in (("more_than_first", summary.up[name]), ("less_than_first", summary.down[name])):
                    entry[key] = [
                        self._pair(c) | {"first": c.first, "value": c.other, "difference": c.difference}
                        for c in changes
                    ]
            entry["map"] = [[_plain(value) for value in row] for row in summary.maps[name].tolist()]
            result["networks"].append(entry)
        return result

    def _pair(self, pair: Dependency | Change) -> dict[str, str]:
        return {"class": self.class_names[pair.of], "on": self.class_names[pair.on]}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    interval = None if estimate.interval is None else list(estimate.interval)
    return {"value": _plain(estimate.value), "interval": interval}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
