"""The file that ``classaware evaluate --json`` writes and ``classaware compare`` reads.

Everything that is needed to compare two results: integer counts of the whole set and of every image, the settings of
inference and training, and where the numbers come from. All scores in it follow from the counts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classaware.errors import InputError
from classaware.evaluation.iou import SegmentationScores, scores
from classaware.evaluation.record_text import as_csv, as_json
from classaware.files import write_atomically

FORMAT = "classaware-evaluation"
VERSION = 1
_PARTS = ("data", "inference", "checkpoint", "training", "versions")


def class_counts(confusion: torch.Tensor) -> NDArray[np.int64]:
    """(K, 3) int64 of one (K, K) confusion matrix: true positives, false positives, false negatives of each class."""
    right = confusion.diagonal()
    return torch.stack((right, confusion.sum(0) - right, confusion.sum(1) - right), 1).cpu().numpy().astype(np.int64)


@dataclass(frozen=True, eq=False)
class EvaluationRecord:
    """One network evaluated on one split.

    Attributes:
        class_names: K names.
        confusion: (K, K) int64, rows are the truth.
        names: the n images.
        counts: (n, K, 3) int64, of each image and class: true positives, false positives, false negatives.
        data: "name", "dataset", "split", "images", "num_classes", ... of what it was evaluated on.
        inference: settings of inference.
        checkpoint: "path", "sha256", "step".
        training: "seed", "crop_size", "steps", "weights", "network", ... as far as they are known.
        versions: of the packages.
        commit: of the source, or None.
        device: where it ran.
        date: when, ISO 8601.
        boundary: (K, 3) int64, summed counts of `boundary_counts`, or None if they were not taken.
        path: the file it was read from.

    Raises:
        InputError: counts of another shape, below 0, or of images that do not sum up to the confusion matrix; an
            image named twice.
    """

    class_names: tuple[str, ...]
    confusion: NDArray[np.int64]
    names: tuple[str, ...]
    counts: NDArray[np.int64]
    data: dict[str, Any]
    inference: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    device: str = ""
    date: str = ""
    boundary: NDArray[np.int64] | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        fault = _fault(self)
        if fault is not None:
            source = "The evaluation" if self.path is None else f"{self.path}: the evaluation"
            raise InputError(f"{source} contradicts itself: {fault}. Evaluate again.")

    @cached_property
    def scores(self) -> SegmentationScores:
        """All scores that follow from the counts."""
        boundary = None if self.boundary is None else torch.from_numpy(self.boundary)
        return scores(torch.from_numpy(self.confusion), self.class_names, boundary=boundary)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur, as a fraction."""
        return self.scores.mean_iou

    @property
    def iou(self) -> tuple[float, ...]:
        """K fractions, nan for a class that is in neither truth nor prediction."""
        return self.scores.iou

    def to_dict(self) -> dict[str, Any]:
        """The content of the file."""
        images = []
        for name, counts in zip(self.names, self.counts, strict=True):
            kept = np.flatnonzero(counts.any(axis=1))
            rows = np.column_stack((kept, counts[kept])).tolist()
            images.append({"name": name, "counts": rows})
        result: dict[str, Any] = {"format": FORMAT, "version": VERSION}
        result |= self.scores.to_dict() | {name: getattr(self, name) for name in _PARTS}
        result |= {"commit": self.commit, "device": self.device, "date": self.date}
        result["boundary"] = None if self.boundary is None else self.boundary.tolist()
        return result | {"confusion": self.confusion.tolist(), "per_image": images}


def write_record(path: Path, record: EvaluationRecord) -> None:
    """Write ``record`` as JSON, one class, row of the confusion matrix and image a line."""
    write_atomically(path, as_json(record.to_dict()).encode())


def write_csv(path: Path, record: EvaluationRecord) -> None:
    """Write one row a class, a row of means, and a row a score of the whole set; fractions, empty where undefined."""
    write_atomically(path, as_csv(record.scores).encode())


def read_record(path: Path) -> EvaluationRecord:
    """Read what `write_record` wrote.

    Raises:
        InputError: the file is missing, damaged, of another format or version, or contradicts itself.
    """
    content = _read(path)
    try:
        classes = tuple(_typed(row["name"], str) for row in content["classes"])
        images = content["per_image"]
        record = EvaluationRecord(
            class_names=classes,
            confusion=_integers(content["confusion"]),
            names=tuple(_typed(image["name"], str) for image in images),
            counts=_dense(images, len(classes)),
            boundary=None if content["boundary"] is None else _integers(content["boundary"]),
            commit=None if content["commit"] is None else _typed(content["commit"], str),
            device=_typed(content["device"], str),
            date=_typed(content["date"], str),
            path=path,
            **{name: _typed(content[name], dict) for name in _PARTS},
        )
        stated = content["mean_iou"]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} is a damaged evaluation ({detail}): run 'classaware evaluate' again.") from error
    if stated != record.scores.to_dict()["mean_iou"] and not _near(stated, record.mean_iou):
        raise InputError(
            f"{path} says mIoU {stated}, its counts say {record.mean_iou}: it was changed. Evaluate again."
        )
    return record


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"the evaluation {path} does not exist: 'classaware evaluate CHECKPOINT --json FILE' writes one."
        )
    try:
        content = json.loads(path.read_bytes(), parse_constant=_no_constant)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON ({error}): it is damaged or cut short. Evaluate again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f'{path} is not what \'classaware evaluate --json\' writes (no "format": "{FORMAT}").')
    if content.get("version") != VERSION:
        raise InputError(
            f"{path} has version {content.get('version')!r} of the format, this classaware reads {VERSION}: "
            "evaluate again with one version of classaware for all runs."
        )
    return content


def _no_constant(name: str) -> None:
    raise ValueError(f"it holds {name}")


def _dense(images: list[dict[str, Any]], size: int) -> NDArray[np.int64]:
    counts = np.zeros((len(images), size, 3), dtype=np.int64)
    for place, image in enumerate(images):
        if not image["counts"]:
            continue
        rows = _integers(image["counts"])
        if rows.ndim != 2 or rows.shape[1] != 4:
            raise ValueError(f"the counts of image {image['name']!r} are not rows of class, tp, fp, fn")
        index = rows[:, 0]
        if index.min() < 0 or index.max() >= size or len(set(index.tolist())) < len(index):
            raise ValueError(f"the counts of image {image['name']!r} name a class twice or one beyond 0..{size - 1}")
        counts[place, index] = rows[:, 1:]
    return counts


def _integers(values: Any) -> NDArray[np.int64]:
    array = np.array(values)
    if array.dtype.kind != "i":
        raise ValueError("counts that are no integers")
    return array.astype(np.int64)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{value!r:.40} where {kind.__name__} belongs")
    return value


def _near(stated: Any, computed: float) -> bool:
    return isinstance(stated, float | int) and abs(stated - computed) < 1e-9


def _fault(record: EvaluationRecord) -> str | None:
    size, images = len(record.class_names), len(record.names)
    shapes: Mapping[str, tuple[Any, tuple[int, ...]]] = {
        "confusion": (record.confusion, (size, size)),
        "per_image": (record.counts, (images, size, 3)),
        "boundary": (record.boundary, (size, 3)),
    }
    for name, (array, shape) in shapes.items():
        if array is None:
            continue
        if array.shape != shape:
            return f"{name} has shape {array.shape} with {size} classes and {images} images"
        if array.size and int(array.min()) < 0:
            return f"{name} has a count below 0"
    if len(set(record.names)) < images:
        return "two images have one name"
    if record.data.get("images", images) != images:
        return f"data.images is {record.data['images']} and there are {images} images"
    if not np.array_equal(record.counts.sum(axis=0), class_counts(torch.from_numpy(record.confusion))):
        return "the counts of the images do not sum up to the confusion matrix"
    return None
