"""Boundary IoU: how well the edges of the classes are met.

Cheng, Girshick, Dollár, Berg and Kirillov, "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation",
CVPR 2021, for a label map: every class is one mask, and counts are summed over the images of the set as those of mIoU
are. The width of the band and the treatment of the image's edge follow the authors' ``mask_to_boundary``.
"""

import math

import torch
from torch import Tensor

from classaware.errors import InputError

BOUNDARY_RATIO = 0.02  # of the diagonal; the paper's for images of COCO's size


def boundary_counts(
    prediction: Tensor, label: Tensor, num_classes: int, ignore_index: int = 255, ratio: float = BOUNDARY_RATIO
) -> Tensor:
    """Count the pixels near the edges of each class; sums over images are the counts of the set.

    A pixel is in the band of its class when within d pixels in rows and columns lies a pixel of another class or the
    outside of the image: what d erosions of the class's mask by 3x3 take away. d is ``ratio`` of the image's diagonal,
    at least 1. Pixels with an ignored label are not counted, in the prediction neither, and make no edge.

    Args:
        prediction: (B, H, W) or (H, W), any integer type; its values where the label is ignored do not matter.
        label: the same shape, any integer type, classes 0..K-1 or ``ignore_index``.
        num_classes: K.
        ignore_index: label of the pixels that take no part.
        ratio: d as a share of the diagonal; the paper's 0.02 for images of COCO's size.

    Returns:
        (K, 3) int64 on the device of ``label``: pixels in both bands and of the class in both, pixels in the
        prediction's band, pixels in the truth's band. Boundary IoU = both / (prediction + truth - both).

    Raises:
        InputError: different shapes, a type that is not an integer, a value that is no class, or a bad ratio.
    """
    truth, guess = _neutral(prediction, label, num_classes, ignore_index)
    width = band_width((label.shape[-2], label.shape[-1]), ratio)
    near_truth, near_guess = _band(truth, num_classes, width), _band(guess, num_classes, width)
    both = near_truth & near_guess & (truth == guess)
    parts = ((truth, both), (guess, near_guess), (truth, near_truth))
    # Times the band rather than indexed by it, which takes ten times as long; 0 is no class.
    return torch.stack([torch.bincount((m * near).flatten(), minlength=num_classes + 1)[1:] for m, near in parts], 1)


def band_width(size: tuple[int, int], ratio: float = BOUNDARY_RATIO) -> int:
    """Width d of the band in an image of (height, width): ``ratio`` of the diagonal, rounded, at least 1.

    Raises:
        InputError: a ratio that is not above 0.
    """
    if not 0 < ratio < math.inf:
        raise InputError(f"The boundary ratio is {ratio}. Give a share of the diagonal above 0, such as 0.02.")
    return max(1, round(ratio * math.sqrt(size[0] ** 2 + size[1] ** 2)))


def _neutral(prediction: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    # Class k becomes k + 1 and what takes no part 0, in one byte where that is enough: the filters are memory-bound.
    if prediction.shape != label.shape or label.ndim not in (2, 3):
        raise InputError(
            f"The prediction has shape {tuple(prediction.shape)}, the label {tuple(label.shape)}. "
            "Give both as (images, height, width) or (height, width)."
        )
    for name, values in (("prediction", prediction), ("label", label)):
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            raise InputError(f"The {name} has type {values.dtype}. Give class numbers in an integer type.")
    guess = prediction.to(label.device)
    ignored = label == ignore_index
    for name, values in (("label", label), ("prediction", guess)):
        if bool((((values < 0) | (values >= num_classes)) & ~ignored).any()):
            raise InputError(f"The {name} has a value that is no class: only 0..{num_classes - 1} are allowed.")
    kind = torch.uint8 if num_classes < 255 else torch.int32
    both = [(values.to(kind) + 1).masked_fill(ignored, 0) for values in (label, guess)]
    return both[0], both[1]


def _band(labels: Tensor, num_classes: int, width: int) -> Tensor:
    """Pixels, bool, within ``width`` of another class or of the outside; ``labels`` has 0 where nothing counts."""
    height, length = labels.shape[-2:]
    inner = (..., slice(width, height - width), slice(width, length - width))
    band = labels > 0
    if min(height, length) > 2 * width:
        # One class around a pixel: the largest and the smallest class in its window are its own.
        largest = _window_maximum(labels, 2 * width + 1)
        # Negated, the smallest becomes the largest; 0 stays below all classes.
        turned = torch.where(labels > 0, num_classes + 1 - labels, labels)
        smallest = num_classes + 1 - _window_maximum(turned, 2 * width + 1)
        band[inner] &= largest != smallest
    return band


def _window_maximum(values: Tensor, size: int) -> Tensor:
    """Maximum of every whole ``size`` x ``size`` window; two overlapping windows of half the size make one."""
    for axis in (-2, -1):
        reach = 1
        while reach < size:
            step = min(reach, size - reach)
            rest = values.shape[axis] - step
            values = torch.maximum(values.narrow(axis, 0, rest), values.narrow(axis, step, rest))
            reach += step
    return values
