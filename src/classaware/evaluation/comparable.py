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
from classaware.evaluation.side_by_side import pair_seeds

# What a comparison of methods is about; everything else should be equal.
_METHOD = ("network", "regularizer", "rival", "training")
_OF_WEIGHTS = ("network.backbone.pretrained", "network.backbone.weights", "network.num_classes")
_INDIFFERENT = ("data.num_workers",)  # what decides no number


@dataclass(frozen=True)
class Unequal:
    """A setting in which runs differ.

    Attributes:
        setting: its dotted name.
        ours: its value in each run, None where it is not recorded or not there.
        theirs: the same of the other side.
        loud: it is one of the evaluation's inference, so that the numbers do not mean the same.
        method: it is one of network, regularizer, rival or training in the recorded configurations.
    """

    setting: str
    ours: tuple[Any, ...]
    theirs: tuple[Any, ...]
    loud: bool
    method: bool


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


def pair_by_seed(
    ours: Sequence[EvaluationRecord], theirs: Sequence[EvaluationRecord]
) -> Sequence[EvaluationRecord] | None:
    """Theirs in the order of ours by their seeds; None unless both sides have the same seeds, each once."""
    order = pair_seeds([seed_of(run) for run in ours], [seed_of(run) for run in theirs])
    return None if order is None else [theirs[place] for place in order]


def seed_of(run: EvaluationRecord) -> int | None:
    """Seed of the training, None where it is not recorded."""
    seed = run.training.get("seed")
    return seed if isinstance(seed, int) else None


def all_configured(runs: Sequence[EvaluationRecord]) -> bool:
    """Whether every run records the whole configuration of its training."""
    return all(isinstance(run.training.get("configuration"), dict) for run in runs)


def find_unequal(ours: Sequence[EvaluationRecord], theirs: Sequence[EvaluationRecord]) -> tuple[Unequal, ...]:
    """Settings of data, inference, training and software that are not the same in all runs.

    They have the names of their options where all runs record the configuration of their training; else the names of
    the record's summary, where a setting that only some runs record counts as one that differs.
    """
    configured = all_configured([*ours, *theirs])
    left, right = ([_settings(run, configured) for run in side] for side in (ours, theirs))
    names = {name for settings in (*left, *right) for name in settings}
    found = []
    for name in sorted(names):
        rows = [tuple(settings.get(name) for settings in side) for side in (left, right)]
        if any(value != rows[0][0] for row in rows for value in row):
            method = configured and name.split(".")[0] in _METHOD
            found.append(Unequal(name, rows[0], rows[1], name.startswith("inference."), method))
    return tuple(found)


def _settings(run: EvaluationRecord, configured: bool) -> dict[str, Any]:
    """By dotted name; without what runs differ in on purpose, the seed."""
    evaluation = {
        "data": {name: run.data.get(name) for name in ("name", "manifest")},
        "inference": run.inference,
        "checkpoint": {"step": run.checkpoint.get("step")},
        "versions": run.versions,
    }
    training = _configuration(run.training) if configured else _summary(run.training)
    return training | flat(evaluation) | {"commit": run.commit, "device": run.device}


def _configuration(training: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `classaware fit`, and "fit.versions.torch", "fit.commit", ... of the software it ran with."""
    options = {name: value for name, value in training["configuration"].items() if name not in ("seed", "inference")}
    settings = flat(options) | {"processes": training.get("processes")}
    settings |= flat({"fit": {name: training.get(name) for name in ("versions", "commit")}})
    return {name: value for name, value in settings.items() if not (name.endswith(".root") or name in _INDIFFERENT)}


def _summary(training: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in training.items() if name not in ("seed", "network", "configuration")}
    network = training.get("network") or training.get("configuration", {}).get("network") or {}
    settings = flat({"network": network, "training": rest})
    # A card says where the weights are, not where they came from; training.weights says that.
    return {name: value for name, value in settings.items() if name not in _OF_WEIGHTS}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
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
    absent = [[math.isnan(iou) for iou in run.iou] for run in (*ours, *theirs)]
    partly = [
        name for name, runs in zip(ours[0].class_names, zip(*absent, strict=True), strict=True) if any(runs) > all(runs)
    ]
    if partly:
        found.append(
            f"Not every run has an IoU of {', '.join(partly)} (in its images neither present nor predicted), so the "
            "means of the runs are over different classes."
        )
    for side in (ours, theirs):
        for one, other in combinations(side, 2):
            checksum = one.checkpoint.get("sha256")
            if checksum is not None and checksum == other.checkpoint.get("sha256"):
                found.append(
                    f"{one.path} and {other.path} are one checkpoint: two runs of one side are no two trainings."
                )
    return tuple(found)
