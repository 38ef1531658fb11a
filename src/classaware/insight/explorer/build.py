"""Building the explorer: two looks at every image, one to learn what must be kept and one to keep it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from classaware.data import FolderDataset, SegmentationDataset
from classaware.data.dataset import Sample
from classaware.data.parallel import Progress
from classaware.errors import InputError
from classaware.insight.explorer.budget import MEGABYTE, choose_components
from classaware.insight.explorer.pack import Blobs, pack_features, pack_image, pack_prediction
from classaware.insight.explorer.page import render_page
from classaware.insight.explorer.projection import Fidelity, SecondMoment, quantize
from classaware.insight.subject import Subject

_VERSION = 1


@dataclass(frozen=True)
class Explorer:
    """A page and how faithful its maps are.

    Attributes:
        page: the HTML file.
        fidelities: one a network.
    """

    page: bytes
    fidelities: tuple[Fidelity, ...]


def build_explorer(
    subjects: Sequence[Subject],
    dataset: SegmentationDataset,
    split: str,
    samples: Sequence[Sample],
    dependency: Mapping[str, ArrayLike] | None = None,
    limit_bytes: int = 25 * MEGABYTE,
    progress: Progress | None = None,
    dependency_note: str = "",
) -> Explorer:
    """One self-contained HTML file in which pixels of images are looked at through several networks.

    The features travel as their first components (those of the largest sums of squares over the images shown), 8 bits
    each: as many as ``limit_bytes`` allows and as are above the rounding.

    Args:
        subjects: networks, at least one, with different names.
        dataset: class names, colors, and the images.
        split: named on the page.
        samples: the images shown, at least one.
        dependency: name -> (K, K) class-dependency map, all on one scale of values; nan where a class is absent.
        limit_bytes: the page is not larger.
        progress: is told (done, all) after every look.
        dependency_note: a sentence on what the maps' values are.

    Raises:
        InputError: no network or image, names that are not different, a map of another size, features that are not
            finite, or a limit that is too small.
    """
    _check(subjects, samples, dependency, dataset.num_classes)
    report: Progress = progress or (lambda done, total: None)
    looks = _first_looks(subjects, dataset, samples, report)
    content = _content(subjects, dataset, split, looks.images, dependency) | {"note": dependency_note}
    title = f"classaware explorer – {split}"
    fixed = len(render_page(title, content, [])) + looks.blobs.size
    bases = [moment.basis() for moment in looks.moments]
    counts = choose_components(bases, looks.cells, fixed + _room(subjects, samples), limit_bytes)
    fidelities = tuple(
        Fidelity(subject.name, len(basis.energy_C), count, basis.kept(count))
        for subject, basis, count in zip(subjects, bases, counts, strict=True)
    )
    for i, (_, image, _) in enumerate(_read(dataset, samples)):
        for subject, basis, fidelity, view in zip(subjects, bases, fidelities, looks.images[i]["views"], strict=True):
            features = subject.look(image).features_CHW
            small = quantize(basis.project(features, fidelity.components))
            view["features"] = pack_features(looks.blobs, small)
            fidelity.add(features, small.values())
        report(len(samples) + i + 1, 2 * len(samples))
    for entry, fidelity in zip(content["networks"], fidelities, strict=True):
        entry.update(fidelity.to_dict())
    return Explorer(render_page(title, content, looks.blobs.texts), fidelities)


class _Looks(NamedTuple):
    """What the first look at all images leaves.

    Attributes:
        blobs: all but the features.
        images: the page's description of every image.
        moments: one a network.
        cells: by network, of every image's features.
    """

    blobs: Blobs
    images: list[dict[str, Any]]
    moments: list[SecondMoment]
    cells: list[list[int]]


def _first_looks(
    subjects: Sequence[Subject], dataset: SegmentationDataset, samples: Sequence[Sample], report: Progress
) -> _Looks:
    looks = _Looks(Blobs(), [], [SecondMoment(subject.name) for subject in subjects], [[] for _ in subjects])
    for i, (name, image, label) in enumerate(_read(dataset, samples)):
        entry = pack_image(looks.blobs, name, image, label, dataset.num_classes)
        entry["views"] = []
        for subject, moment, cells in zip(subjects, looks.moments, looks.cells, strict=True):
            look = subject.look(image)
            moment.add(look.features_CHW)
            cells.append(math.prod(look.features_CHW.shape[1:]))
            prediction = subject.predict(image)
            entry["views"].append(pack_prediction(looks.blobs, subject.name, look, prediction, dataset.num_classes))
        looks.images.append(entry)
        report(i + 1, 2 * len(samples))
    return looks


def _room(subjects: Sequence[Subject], samples: Sequence[Sample]) -> int:
    """Bytes for what the page says of features, but for the arrays."""
    return 500 * len(subjects) * (1 + len(samples))


def _read(dataset: SegmentationDataset, samples: Sequence[Sample]) -> Iterator[tuple[str, Tensor, Tensor]]:
    for sample in samples:
        image, label = dataset.read(sample)
        yield sample.name, image.as_subclass(Tensor), label.as_subclass(Tensor)


def _content(
    subjects: Sequence[Subject],
    dataset: SegmentationDataset,
    split: str,
    images: list[dict[str, Any]],
    dependency: Mapping[str, ArrayLike] | None,
) -> dict[str, Any]:
    return {
        "format": "classaware-explorer",
        "version": _VERSION,
        "dataset": dataset.root.absolute().name if isinstance(dataset, FolderDataset) else type(dataset).__name__,
        "split": split,
        "classes": [
            {"name": name, "color": [int(value) for value in color]}
            for name, color in zip(dataset.class_names, dataset.palette, strict=True)
        ],
        "networks": [{"name": subject.name} for subject in subjects],
        "images": images,
        "dependency": [{"name": name, "rows": _rows(square)} for name, square in (dependency or {}).items()],
    }


def _rows(square: ArrayLike) -> list[list[float | None]]:
    """Rows for JSON with six digits; nan becomes null."""
    rows = np.asarray(square, dtype=np.float64).tolist()
    return [[float(f"{value:.6g}") if math.isfinite(value) else None for value in row] for row in rows]


def _check(
    subjects: Sequence[Subject],
    samples: Sequence[Sample],
    dependency: Mapping[str, ArrayLike] | None,
    num_classes: int,
) -> None:
    if not subjects or not samples:
        raise InputError(f"there are {len(subjects)} networks and {len(samples)} images: give at least one of each.")
    names = [subject.name for subject in subjects]
    if len(set(names)) < len(names):
        raise InputError(f"the networks are named {', '.join(names)}: give them different names.")
    for subject in subjects:
        if subject.num_classes != num_classes:
            raise InputError(
                f"network {subject.name!r} predicts {subject.num_classes} classes, the data set has {num_classes}: "
                "use a data set with the classes of the training."
            )
    for name, square in (dependency or {}).items():
        if np.shape(square) != (num_classes, num_classes):
            raise InputError(
                f"the dependency map {name!r} has shape {np.shape(square)} and there are {num_classes} classes: give "
                "one row and one column a class."
            )
