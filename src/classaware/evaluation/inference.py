"""From the logits of a network to a label map of full size."""

import torch
from torch import Tensor
from torch.nn import functional

from classaware.errors import InputError


def resize_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring logits to the size of the image, bilinear with aligned corners.

    Args:
        logits: (B, K, h, w), any float type.
        size: (H, W).

    Returns:
        (B, K, H, W) float32, whatever the type of the logits: half precision would make ties between classes.

    Raises:
        InputError: logits that are not (B, K, h, w), or a size below 1.
    """
    if logits.ndim != 4:
        raise InputError(f"The logits have shape {tuple(logits.shape)}. Give (images, classes, height, width).")
    if min(size) < 1:
        raise InputError(f"The size (height, width) = {tuple(size)} is empty. Both must be at least 1.")
    return functional.interpolate(logits.float(), size=tuple(size), mode="bilinear", align_corners=True)


@torch.no_grad()
def predict_labels(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Predict the class of every pixel: resize the logits, take the largest.

    Works image by image, so at most one image's full-size logits (K·H·W float32) are in memory.

    Args:
        logits: (B, K, h, w), any float type.
        size: (H, W).

    Returns:
        (B, H, W) int64.

    Raises:
        InputError: as in `resize_logits`.
    """
    labels = torch.empty((logits.shape[0], *size), dtype=torch.int64, device=logits.device)
    for index in range(logits.shape[0]):
        labels[index] = resize_logits(logits[index : index + 1], size)[0].argmax(dim=0)
    return labels
