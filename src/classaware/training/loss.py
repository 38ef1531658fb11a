"""Cross-entropy that is exact about ignored pixels."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from classaware.regularization.distributed import sum_over_processes
from classaware.regularization.precision import at_least_float32

Average = Literal["valid", "all"]


def cross_entropy(
    logits: Tensor, labels: Tensor, ignore_index: int, average: Average = "valid", weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy over the pixels that have a label.

    In a distributed run it is that of the joint batch, in all processes, which all have to call it: one collective of
    two numbers. Under the averaging of gradients over processes (DDP, FSDP) the joint batch's gradient comes out, also
    where they hold different numbers of labelled pixels or of images, or none.

    Args:
        logits: float (B, K, H, W).
        labels: int64 (B, H, W), classes or ``ignore_index``.
        ignore_index: label of pixels that take no part.
        average: ``valid`` divides the sum by the labelled pixels; ``all`` by all pixels, ignored and padded ones
            included, as the authors' code does.
        weights: float (B, H, W), of the pixels' terms; what is divided by stays. None: all 1.

    Returns:
        A scalar; zero with a graph where nothing is labelled.
    """
    # reduction="none" and a sum: the reduced form has no deterministic kernel on CUDA.
    loss_BHW = F.cross_entropy(at_least_float32(logits), labels, ignore_index=ignore_index, reduction="none")
    if weights is not None:
        loss_BHW = loss_BHW * weights
    pixels = loss_BHW.new_full((), labels.numel()) if average == "all" else (labels != ignore_index).sum()
    total, count = sum_over_processes(torch.stack([loss_BHW.sum(), pixels.to(loss_BHW.dtype)]))
    return total / count.clamp(min=1)
