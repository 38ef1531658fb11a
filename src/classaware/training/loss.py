"""Cross-entropy that is exact about ignored pixels."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Average = Literal["valid", "all"]


def cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int, average: Average = "valid") -> Tensor:
    """Cross-entropy over the pixels that have a label.

    Args:
        logits: float (B, K, H, W).
        labels: int64 (B, H, W), classes or ``ignore_index``.
        ignore_index: label of pixels that take no part.
        average: ``valid`` divides the sum by the labelled pixels; ``all`` by all pixels, ignored and padded ones
            included, as the authors' code does.

    Returns:
        A scalar; zero with a graph where nothing is labelled.
    """
    # reduction="none" and a sum: the reduced form has no deterministic kernel on CUDA.
    loss_BHW = F.cross_entropy(logits.float(), labels, ignore_index=ignore_index, reduction="none")
    if average == "all":
        return loss_BHW.mean()
    return loss_BHW.sum() / (labels != ignore_index).sum().clamp(min=1)
