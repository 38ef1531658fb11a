"""IoU and accuracy, from a confusion matrix of a whole data set."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text
from torch import Tensor

from classaware.errors import InputError


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
    if confusion.is_floating_point():
        raise InputError(f"The confusion matrix has type {confusion.dtype}. Give integer counts: floats lose pixels.")
    if confusion.shape != (size, size):
        raise InputError(
            f"The confusion matrix has shape {tuple(confusion.shape)} and there are {size} class names. "
            "Give one name a class."
        )
    _check_indices(ignore, size, "ignore")
    counts = confusion.cpu()
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
