"""Confusion matrix over a data set and the scores that follow from it.

One matrix for the whole set, never a mean of per-image values. The counting is plain ``torch.bincount`` on integers,
which gives the same numbers in every order, on every device and in deterministic mode.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torchmetrics import Metric

from classaware.errors import InputError


def confusion_matrix(prediction: Tensor, label: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Count pixels by true and by predicted class.

    Args:
        prediction: (B, H, W), any integer type; its values where the label is ignored do not matter.
        label: (B, H, W), any integer type, classes 0..K-1 or ``ignore_index``.
        num_classes: K.
        ignore_index: label of the pixels that take no part.

    Returns:
        (K, K) int64, on the device of ``label``; entry (t, p) counts the pixels of class t that were predicted as p.

    Raises:
        InputError: different shapes, a type that is not an integer, or a value that is no class.
    """
    if prediction.shape != label.shape:
        raise InputError(
            f"The prediction has shape {tuple(prediction.shape)}, the label {tuple(label.shape)}. "
            "Resize the logits to the size of the label before taking the largest."
        )
    truth, guess = _as_int64(label, "label"), _as_int64(prediction, "prediction")
    kept = truth != ignore_index
    _check_classes(truth, kept, num_classes, "label", f"or the ignore value {ignore_index}")
    _check_classes(guess, kept, num_classes, "prediction", "where the label is not ignored")
    pairs = truth[kept] * num_classes + guess[kept]
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _as_int64(values: Tensor, name: str) -> Tensor:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise InputError(f"The {name} has type {values.dtype}. Give class numbers in an integer type.")
    return values.long()


def _check_classes(values: Tensor, kept: Tensor, num_classes: int, name: str, also: str) -> None:
    wrong = kept & ((values < 0) | (values >= num_classes))
    if bool(wrong.any()):
        place = tuple(wrong.nonzero()[0].tolist())
        value = int(values[place])
        raise InputError(
            f"The {name} at (image, row, column) = {place} is {value}. "
            f"Only the classes 0..{num_classes - 1} are allowed, {also}: check num_classes and the label map."
        )


class ConfusionMatrix(Metric):
    """The confusion matrix as a metric: summed over batches and, when computed, over processes.

    Args:
        num_classes: K, at least 2.
        ignore_index: label of the pixels that take no part.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    confusion: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 2:
            raise InputError(f"num_classes is {num_classes}. A confusion matrix needs at least 2 classes.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        zeros = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state("confusion", default=zeros, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, label: Tensor) -> None:
        """Add a batch: ``prediction`` and ``label`` are (B, H, W) of an integer type; see `confusion_matrix`."""
        counts = confusion_matrix(prediction, label, self.num_classes, self.ignore_index)
        # Not in place: what compute() returned earlier must not change.
        self.confusion = self.confusion + counts.to(self.confusion.device)

    def compute(self) -> Tensor:
        """Return the (K, K) int64 counts; rows are the truth, columns the prediction."""
        return self.confusion


@dataclass(frozen=True)
class SegmentationScores:
    """Scores of one confusion matrix, as fractions (not percent).

    Attributes:
        class_names: K names.
        iou: K values TP / (TP + FP + FN); nan for a class that is in neither truth nor prediction.
        accuracy: K values TP / (TP + FN); nan for a class that is not in the truth.
        pixels: K counts of pixels in the truth.
        mean_iou: mean of ``iou`` over the classes that have one and are not left out.
        mean_accuracy: mean of ``accuracy`` over the classes that have one and are not left out.
        pixel_accuracy: share of right pixels among those whose true class is not left out.
    """

    class_names: tuple[str, ...]
    iou: tuple[float, ...]
    accuracy: tuple[float, ...]
    pixels: tuple[int, ...]
    mean_iou: float
    mean_accuracy: float
    pixel_accuracy: float

    def mean_iou_over(self, classes: Sequence[int]) -> float:
        """Mean IoU over some classes (things, for example); nan if none of them has an IoU.

        Raises:
            InputError: a number that is no class.
        """
        _check_indices(classes, len(self.iou), "classes")
        return _mean([self.iou[index] for index in classes])

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, ready for JSON; nan becomes None."""
        rows = zip(self.class_names, self.iou, self.accuracy, self.pixels, strict=True)
        return {
            "mean_iou": _or_none(self.mean_iou),
            "mean_accuracy": _or_none(self.mean_accuracy),
            "pixel_accuracy": _or_none(self.pixel_accuracy),
            "classes": [
                {"name": name, "iou": _or_none(iou), "accuracy": _or_none(accuracy), "pixels": pixels}
                for name, iou, accuracy, pixels in rows
            ],
        }

    def table(self) -> Table:
        """Return a table for the terminal: one row a class, the means in the footer, in percent."""
        table = Table(title=f"mIoU {_percent(self.mean_iou)}", show_footer=True)
        table.add_column("class", footer="mean")
        table.add_column("IoU %", footer=_percent(self.mean_iou), justify="right")
        table.add_column("accuracy %", footer=_percent(self.mean_accuracy), justify="right")
        table.add_column("pixels", footer=f"{_percent(self.pixel_accuracy)} % right", justify="right")
        for name, iou, accuracy, pixels in zip(self.class_names, self.iou, self.accuracy, self.pixels, strict=True):
            # Text: square brackets in a class name are no markup.
            table.add_row(Text(name), _percent(iou), _percent(accuracy), f"{pixels:,}")
        return table


def scores(confusion: Tensor, class_names: Sequence[str], ignore: Sequence[int] = ()) -> SegmentationScores:
    """Compute the scores of a confusion matrix in float64.

    Args:
        confusion: (K, K) integer counts, rows are the truth.
        class_names: K names.
        ignore: classes to leave out of the means (a background class, for example). Their own values are still given,
            and pixels of other classes that were predicted as one of them stay errors.

    Raises:
        InputError: a matrix that is not square or not of an integer type, a wrong number of names, or no such class.
    """
    size = len(class_names)
    if confusion.shape != (size, size):
        raise InputError(
            f"The confusion matrix has shape {tuple(confusion.shape)} and there are {size} class names. "
            "Give one name a class."
        )
    _check_indices(ignore, size, "ignore")
    counts = _as_int64(confusion, "confusion matrix").cpu()
    right, truth, guess = counts.diagonal(), counts.sum(1), counts.sum(0)
    iou = _ratios(right, truth + guess - right)
    accuracy = _ratios(right, truth)
    counted = [index for index in range(size) if index not in set(ignore)]
    return SegmentationScores(
        class_names=tuple(class_names),
        iou=iou,
        accuracy=accuracy,
        pixels=tuple(truth.tolist()),
        mean_iou=_mean([iou[index] for index in counted]),
        mean_accuracy=_mean([accuracy[index] for index in counted]),
        pixel_accuracy=_ratios(right[counted].sum()[None], truth[counted].sum()[None])[0],
    )


def _ratios(numerator: Tensor, denominator: Tensor) -> tuple[float, ...]:
    # 0 / 0 in float64 is the nan that is wanted.
    return tuple((numerator.double() / denominator.double()).tolist())


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _check_indices(indices: Sequence[int], size: int, name: str) -> None:
    for index in indices:
        if not 0 <= index < size:
            raise InputError(f"{name} names class {index}. The classes are 0..{size - 1}.")


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f}"
