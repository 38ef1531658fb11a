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
        frequency_weighted_iou: sum of share in the truth x ``iou`` over the classes that are not left out; the shares
            are of their own pixels, so that they sum up to 1.
        boundary_iou: K values from `classaware.evaluation.boundary.boundary_counts`, nan for a class that is in neither
            truth nor prediction; None if it was not measured.
        mean_boundary_iou: its mean, as ``mean_iou``; None if it was not measured.
    """

    class_names: tuple[str, ...]
    iou: tuple[float, ...]
    accuracy: tuple[float, ...]
    pixels: tuple[int, ...]
    mean_iou: float
    mean_accuracy: float
    pixel_accuracy: float
    frequency_weighted_iou: float
    boundary_iou: tuple[float, ...] | None = None
    mean_boundary_iou: float | None = None

    def mean_iou_over(self, classes: Sequence[int]) -> float:
        """Mean IoU over some classes (things, for example); nan if none of them has an IoU.

        Raises:
            InputError: a number that is no class.
        """
        _check_indices(classes, len(self.iou), "classes")
        return _mean([self.iou[index] for index in classes])

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, ready for JSON; nan, and what was not measured, becomes None."""
        boundary = self.boundary_iou or (None,) * len(self.iou)
        rows = zip(self.class_names, self.iou, self.accuracy, boundary, self.pixels, strict=True)
        return {
            "mean_iou": _or_none(self.mean_iou),
            "mean_accuracy": _or_none(self.mean_accuracy),
            "pixel_accuracy": _or_none(self.pixel_accuracy),
            "frequency_weighted_iou": _or_none(self.frequency_weighted_iou),
            "mean_boundary_iou": _or_none(self.mean_boundary_iou),
            "classes": [
                {
                    "name": name,
                    "iou": _or_none(iou),
                    "accuracy": _or_none(accuracy),
                    "boundary_iou": _or_none(near_edges),
                    "pixels": pixels,
                }
                for name, iou, accuracy, near_edges, pixels in rows
            ],
        }

    def table(self) -> Table:
        """Return a table for the terminal: one row a class, the means in the footer, in percent."""
        title = f"mIoU {_percent(self.mean_iou)}, frequency-weighted {_percent(self.frequency_weighted_iou)}"
        table = Table(title=title, show_footer=True)
        table.add_column("class", footer="mean")
        table.add_column("IoU %", footer=_percent(self.mean_iou), justify="right")
        table.add_column("accuracy %", footer=_percent(self.mean_accuracy), justify="right")
        if self.boundary_iou is not None:
            table.add_column("boundary IoU %", footer=_percent(self.mean_boundary_iou), justify="right")
        table.add_column("pixels", footer=f"{_percent(self.pixel_accuracy)} % right", justify="right")
        for index, name in enumerate(self.class_names):
            columns = (self.iou, self.accuracy, self.boundary_iou)
            values = [_percent(column[index]) for column in columns if column is not None]
            # Text: square brackets in a class name are no markup.
            table.add_row(Text(name), *values, f"{self.pixels[index]:,}")
        return table


def scores(
    confusion: Tensor, class_names: Sequence[str], ignore: Sequence[int] = (), boundary: Tensor | None = None
) -> SegmentationScores:
    """Compute the scores of a confusion matrix in float64.

    Args:
        confusion: (K, K) integer counts, rows are the truth.
        class_names: K names.
        ignore: classes to leave out of the means (a background class, for example). Their own values are still given,
            and pixels of other classes that were predicted as one of them stay errors.
        boundary: (K, 3) integer counts of `classaware.evaluation.boundary.boundary_counts`, summed over the set.

    Raises:
        InputError: counts of another shape or not of an integer type, a wrong number of names, or no such class.
    """
    size = len(class_names)
    counts = _integers(confusion, (size, size), "confusion matrix")
    _check_indices(ignore, size, "ignore")
    right, truth, guess = counts.diagonal(), counts.sum(1), counts.sum(0)
    iou = _ratios(right, truth + guess - right)
    accuracy = _ratios(right, truth)
    counted = [index for index in range(size) if index not in set(ignore)]
    near_edges = None if boundary is None else boundary_iou(_integers(boundary, (size, 3), "boundary counts"))
    return SegmentationScores(
        class_names=tuple(class_names),
        iou=iou,
        accuracy=accuracy,
        pixels=tuple(truth.tolist()),
        mean_iou=_mean([iou[index] for index in counted]),
        mean_accuracy=_mean([accuracy[index] for index in counted]),
        pixel_accuracy=_ratios(right[counted].sum()[None], truth[counted].sum()[None])[0],
        frequency_weighted_iou=_weighted([iou[index] for index in counted], truth[counted].tolist()),
        boundary_iou=near_edges,
        mean_boundary_iou=None if near_edges is None else _mean([near_edges[index] for index in counted]),
    )


def boundary_iou(counts: Tensor) -> tuple[float, ...]:
    """Boundary IoU of every class from (K, 3) counts: both / (prediction + truth - both); nan without a boundary."""
    both, guess, truth = counts.unbind(1)
    return _ratios(both, guess + truth - both)


def _integers(counts: Tensor, shape: tuple[int, int], name: str) -> Tensor:
    if counts.is_floating_point():
        raise InputError(f"The {name} has type {counts.dtype}. Give integer counts: floats lose pixels.")
    if counts.shape != shape:
        raise InputError(
            f"The {name} has shape {tuple(counts.shape)} and there are {shape[0]} class names. "
            f"Give shape {shape}, one name a class."
        )
    return counts.cpu()


def _ratios(numerator: Tensor, denominator: Tensor) -> tuple[float, ...]:
    # 0 / 0 in float64 is the nan that is wanted.
    return tuple((numerator.double() / denominator.double()).tolist())


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _weighted(values: Sequence[float], weights: Sequence[int]) -> float:
    # A class that is not in the truth has frequency 0, whatever its IoU.
    present = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight > 0]
    return math.fsum(v * w for v, w in present) / sum(weights) if present else math.nan


def _check_indices(indices: Sequence[int], size: int, name: str) -> None:
    for index in indices:
        if not 0 <= index < size:
            raise InputError(f"{name} names class {index}. The classes are 0..{size - 1}.")


def _or_none(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _percent(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:.2f}"
