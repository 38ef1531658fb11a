"""Class-dependency maps (Fig. 4 of the CAR paper): how much a class looks like every other class.

The map is Eq. 4 with the centers of a whole data set instead of those of a batch.
"""

import math

import torch
from torch import Tensor

from classaware.errors import InputError
from classaware.regularization import resize_labels


class CenterAccumulator:
    """Class centers over a data set, exact and one batch at a time.

    Sums are float64, counts int64, both on the CPU. Every image is added on its own, so how the images are split into
    batches does not change a bit of the result.

    Args:
        num_classes: K.
        ignore_index: label of the pixels that take no part.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        if num_classes < 1:
            raise InputError(f"num_classes is {num_classes}. Class centers need at least 1 class.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self._sums_KC: Tensor | None = None
        self._counts_K = torch.zeros(num_classes, dtype=torch.int64)

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            features: (B, C, h, w), any float type.
            labels: (B, H, W) of an integer type, classes 0..K-1 or ``ignore_index``; brought to (h, w) by the nearest
                neighbor with aligned corners.

        Raises:
            InputError: shapes that do not fit, a label that is no class, or features that are not finite.
        """
        self._check(features, labels)
        small_BHW = resize_labels(labels, (features.shape[2], features.shape[3])).to(features.device).long()
        for x_CHW, y_HW in zip(features, small_BHW, strict=True):
            self._add(x_CHW.flatten(1).T, y_HW.flatten())

    def _add(self, x_PC: Tensor, y_P: Tensor) -> None:
        kept_P = y_P != self.ignore_index
        y_P, x_PC = y_P[kept_P], x_PC[kept_P].double()
        if bool(((y_P < 0) | (y_P >= self.num_classes)).any()):
            wrong = int(y_P[(y_P < 0) | (y_P >= self.num_classes)][0])
            raise InputError(
                f"The labels hold the value {wrong}. Only the classes 0..{self.num_classes - 1} and the ignore value "
                f"{self.ignore_index} are allowed: check num_classes and the label map."
            )
        # A matrix product, not index_add_, whose order of additions on CUDA is not fixed.
        one_hot_KP = (y_P[None] == torch.arange(self.num_classes, device=y_P.device)[:, None]).double()
        sums_KC = (one_hot_KP @ x_PC).cpu()
        self._sums_KC = sums_KC if self._sums_KC is None else self._sums_KC + sums_KC
        self._counts_K += torch.bincount(y_P, minlength=self.num_classes).cpu()

    def _check(self, features: Tensor, labels: Tensor) -> None:
        if features.ndim != 4 or labels.ndim != 3 or features.shape[0] != labels.shape[0]:
            raise InputError(
                f"The features have shape {tuple(features.shape)}, the labels {tuple(labels.shape)}. "
                "Give (B, C, h, w) and (B, H, W) of the same images."
            )
        if self._sums_KC is not None and features.shape[1] != self._sums_KC.shape[1]:
            raise InputError(
                f"The features have {features.shape[1]} channels, earlier ones had {self._sums_KC.shape[1]}. "
                "Use one accumulator a network."
            )
        if not bool(torch.isfinite(features).all()):
            raise InputError("The features hold nan or infinity. The training has diverged: use an earlier checkpoint.")

    @property
    def present(self) -> Tensor:
        """(K,) bool: the classes that have at least one pixel at the features' size."""
        return self._counts_K > 0

    def centers(self) -> Tensor:
        """Return the (K, C) float64 means of the features; zero for a class that is absent.

        Raises:
            InputError: nothing was added yet.
        """
        if self._sums_KC is None:
            raise InputError("There are no class centers yet. Call update() with at least one image first.")
        return self._sums_KC / self._counts_K.clamp(min=1)[:, None]


def dependency_map(centers: Tensor, present: Tensor) -> Tensor:
    """Softmax over the present classes of the scaled dot products of the class centers (Eq. 4 of the paper).

    Args:
        centers: (K, C) of a float type.
        present: (K,) bool.

    Returns:
        (K, K) float64; rows of present classes sum to 1, rows and columns of absent classes are nan.

    Raises:
        InputError: shapes that do not fit.
    """
    if centers.ndim != 2 or present.shape != centers.shape[:1]:
        raise InputError(
            f"The centers have shape {tuple(centers.shape)}, present has {tuple(present.shape)}. Give (K, C) and (K,)."
        )
    index = present.nonzero().flatten()
    mu_KC = centers[index].double()
    similarity = torch.softmax(mu_KC @ mu_KC.T / math.sqrt(centers.shape[1]), dim=1)
    result = centers.new_full((len(centers), len(centers)), math.nan, dtype=torch.float64)
    result[index[:, None], index] = similarity
    return result


def mean_dependency(dependency: Tensor) -> float:
    """Mean over the present classes of how much they depend on the others: the row sum without the diagonal.

    Between 0 (no dependency) and nearly 1. Only maps with the same present classes can be compared.

    Args:
        dependency: (K, K) as `dependency_map` returns it.

    Returns:
        The mean; nan if no class is present.
    """
    present = ~dependency.diagonal().isnan()
    square = dependency[present][:, present]
    # Summed, not 1 - diagonal: that would lose every digit of a small dependency.
    others = square.masked_fill(torch.eye(len(square), dtype=torch.bool, device=square.device), 0.0).sum(dim=1)
    return float(others.mean())
