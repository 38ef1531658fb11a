"""Confusion matrix over a data set.

One matrix for the whole set, never a mean of per-image values. The counting is plain ``torch.bincount`` on integers,
which gives the same numbers in every order, on every device and in deterministic mode.
"""

from typing import Any

import torch
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
