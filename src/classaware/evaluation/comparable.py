"""Whether evaluations may be compared: what must be the same, and what is worth telling if it is not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord


@dataclass(frozen=True)
class Unequal:
    """A setting in which runs differ: the values on either side, one a run, and whether it decides the numbers."""

    setting: str
    ours: tuple[Any, ...]
    theirs: tuple[Any, ...]
    loud: bool


def aligned_counts(runs: Sequence[EvaluationRecord]) -> list[NDArray[np.int64]]:
    """Counts (n, K, 3) of every run, images in the order of the first.

    Raises:
        InputError: other classes, images, labels or splits than the first run, or nothing that was counted.
    """
    first = runs[0]
    if first.counts.sum() == 0:
        raise InputError(f"{first.path} counts no pixel. Evaluate on images with labels.")
    return [_aligned(first, run) for run in runs]


def _aligned(first: EvaluationRecord, run: EvaluationRecord) -> NDArray[np.int64]:
    def refuse(what: str, cure: str) -> InputError:
        return InputError(f"{run.path} and {first.path} {what}. {cure}")

    same = "Evaluate both on the same data."
    if run.class_names != first.class_names:
        raise refuse(f"have other classes: {_first_difference(first.class_names, run.class_names)}", same)
    one, other = first.data.get("split"), run.data.get("split")
    if one != other:
        raise refuse(f"are of the splits {other!r} and {one!r}", "Evaluate both on one split.")
    places = {name: index for index, name in enumerate(run.names)}
    if places.keys() != set(first.names):
        odd = sorted(places.keys() ^ set(first.names))
        raise refuse(f"have other images ({len(odd)}, such as {odd[0]!r})", same)
    counts = run.counts[[places[name] for name in first.names]]
    # The true pixels of a class: true positives + false negatives.
    wrong = (counts[..., 0] + counts[..., 2] != first.counts[..., 0] + first.counts[..., 2]).any(axis=1)
    if wrong.any():
        image = first.names[int(wrong.argmax())]
        raise refuse(f"have other labels ({int(wrong.sum())} images, such as {image!r})", same)
    if math.isnan(run.mean_iou):
        raise InputError(f"{run.path} counts no pixel. Evaluate on images with labels.")
    return counts


def _first_difference(one: Sequence[str], other: Sequence[str]) -> str:
    if len(one) != len(other):
        return f"{len(other)} and {len(one)}"
    place = next(index for index, names in enumerate(zip(one, other, strict=True)) if names[0] != names[1])
    return f"number {place} is {other[place]!r} and {one[place]!r}"


def find_unequal(ours: Sequence[EvaluationRecord], theirs: Sequence[EvaluationRecord]) -> tuple[Unequal, ...]:
    """Settings of data, inference, training and software that are not the same in all runs; those of inference loud."""
    left, right = ([_settings(run) for run in side] for side in (ours, theirs))
    names = sorted({name for settings in (*left, *right) for name in settings})
    found = []
    for name in names:
        rows = [tuple(settings.get(name) for settings in side) for side in (left, right)]
        if any(value != rows[0][0] for row in rows for value in row):
            found.append(Unequal(name, rows[0], rows[1], name.startswith("inference.")))
    return tuple(found)


def _settings(run: EvaluationRecord) -> dict[str, Any]:
    """By dotted name; without what runs differ in on purpose, the seed and the network."""
    training = {name: value for name, value in run.training.items() if name not in ("seed", "network")}
    parts = {
        "data": {name: run.data.get(name) for name in ("name", "manifest")},
        "inference": run.inference,
        "training": training,
        "checkpoint": {"step": run.checkpoint.get("step")},
        "versions": run.versions,
    }
    return _flat(parts) | {"commit": run.commit, "device": run.device}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def find_warnings(ours: Sequence[EvaluationRecord], theirs: Sequence[EvaluationRecord]) -> tuple[str, ...]:
    """Sentences on what spoils a comparison: other inference settings, one checkpoint counted as two runs."""
    found = []
    loud = [row.setting for row in find_unequal(ours, theirs) if row.loud]
    if loud:
        found.append(
            f"The runs were not evaluated in the same way ({', '.join(loud)}): the difference mixes networks and "
            "inference. Evaluate all with the same settings."
        )
    for side in (ours, theirs):
        for one, other in combinations(side, 2):
            checksum = one.checkpoint.get("sha256")
            if checksum is not None and checksum == other.checkpoint.get("sha256"):
                found.append(
                    f"{one.path} and {other.path} are one checkpoint: two runs of one side are no two trainings."
                )
    return tuple(found)
