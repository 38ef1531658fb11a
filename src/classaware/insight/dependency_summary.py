"""What is known of class-dependency maps: means with intervals, strongest pairs, and what differs between networks."""

import math
from collections.abc import Sequence
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

_VALUES: dict[Form, str] = {
    "paper": "softmax of the scaled dot products of the class centers",
    "unit": "softmax of the scaled dot products of the class centers, of features of unit scale",
    "cosine": "cosine of the class centers",
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
        replicates: float64 (g,), the mean without the images of group 0, 1, ...; the same groups in all networks.
        means: mean dependency on all other classes (``cosine``: mean cosine of two classes).
        differences: mean of a network minus that of the first, of the same images; without the first.
        strongest: the ten strongest pairs.
        up: the ten pairs that are stronger than in the first network by most; without the first.
        down: the ten that are weaker by most.
    """

    maps: dict[str, Floats]
    replicates: dict[str, Floats]
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

    @property
    def comparable_form(self) -> Form:
        """The form in which these networks may be compared."""
        # Between different numbers of channels only cosines mean the same.
        return "unit" if len(set(self.channels.values())) == 1 else "cosine"

    def present_maps(self, form: Form) -> dict[str, Floats]:
        """The maps without the classes that are absent."""
        return {name: self.without_absent(square) for name, square in self.forms[form].maps.items()}

    def without_absent(self, square: Floats) -> Floats:
        """Rows and columns of the present classes of a (K, K) map."""
        index = np.flatnonzero(self.present_K)
        return square[np.ix_(index, index)]

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
                "mean": estimate_dict(summary.means[name]),
                "strongest": strongest_dicts(summary.strongest[name], self.class_names),
            }
            if name in summary.differences:
                entry["difference_to_first"] = estimate_dict(summary.differences[name])
                entry["more_than_first"] = change_dicts(summary.up[name], self.class_names, ("first", "value"))
                entry["less_than_first"] = change_dicts(summary.down[name], self.class_names, ("first", "value"))
            entry["map"] = map_rows(summary.maps[name])
            result["networks"].append(entry)
        return result


def estimate_dict(estimate: Estimate) -> dict[str, Any]:
    """For JSON: "value" and "interval"."""
    interval = None if estimate.interval is None else list(estimate.interval)
    return {"value": _plain(estimate.value), "interval": interval}


def strongest_dicts(pairs: Sequence[Dependency], names: Sequence[str]) -> list[dict[str, Any]]:
    """For JSON: "class", "on" and "value"."""
    return [{"class": names[pair.of], "on": names[pair.on], "value": pair.value} for pair in pairs]


def change_dicts(changes: Sequence[Change], names: Sequence[str], keys: tuple[str, str]) -> list[dict[str, Any]]:
    """For JSON: "class", "on", both values by their keys, and "difference"."""
    return [
        {"class": names[c.of], "on": names[c.on], keys[0]: c.first, keys[1]: c.other, "difference": c.difference}
        for c in changes
    ]


def map_rows(square: Floats) -> list[list[float | None]]:
    """For JSON: the rows of a map."""
    return [[_plain(value) for value in row] for row in square.tolist()]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def values_note(form: Form) -> str:
    """One sentence: what the values of a map are, and between which networks they may be compared."""
    return f"Values: {_VALUES[form]} ({COMPARABLE[form]})."
