"""The passes over the features as operators: opaque to autograd and compilation, done as fits the device.

Shapes: labels are int32 (B, P) with P = H * W, and K for none. Classes that have a center come first, ``live`` (int32,
on the device) of them; the others' rows of ``mu_GKC`` are zero. G is 1 where the batch shares its centers, else B.
"""

from functools import cache
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from classaware.regularization import chunked


@torch.library.custom_op("classaware::class_sums", mutates_args=())
def class_sums(x_BCHW: Tensor, y_BP: Tensor, num_classes: int, per_image: bool) -> Tensor:
    """Sums of the features of each class, (G, K, C) in at least float32."""
    return _passes(x_BCHW).class_sums(dense(x_BCHW), y_BP, num_classes, per_image)


@torch.library.custom_op("classaware::class_counts", mutates_args=())
def class_counts(y_BP: Tensor, num_classes: int) -> Tensor:
    """Number of pixels of each class in each image, int64 (B, K)."""
    return chunked.class_counts(y_BP, num_classes)


@torch.library.custom_op("classaware::centers_pass", mutates_args=())
def centers_pass(
    mu_GKC: Tensor, part_GK: Tensor, rest_G: Tensor, share_G: Tensor, live: Tensor, scale: float, squares: bool
) -> tuple[Tensor, Tensor]:
    """Sum of inter_c2c's rows (Eqs. 4 to 6), and its derivative to the centers as queries, (G, K, C)."""
    return chunked.centers_pass(mu_GKC, part_GK, rest_G, share_G, live, scale, squares)


@torch.library.custom_op("classaware::pixel_pass", mutates_args=())
def pixel_pass(
    x_BCHW: Tensor,
    y_BP: Tensor,
    mu_GKC: Tensor,
    ideal_GK: Tensor,
    part_GK: Tensor,
    rest_G: Tensor,
    share_G: Tensor,
    live: Tensor,
    scale: float,
    squares: bool,
    count_unlabelled: bool,
    drop_max: bool,
    width: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of intra_c2p's distances and inter_c2p's rows, and what their gradient needs.

    Args:
        x_BCHW: features.
        y_BP: labels.
        mu_GKC: centers.
        ideal_GK: similarity of a class's pixels to their own center (Eq. 9), scaled.
        part_GK: bool, whether the class takes part.
        rest_G: how many classes behind ``live`` take part.
        share_G: of the margin, for one class.
        live: number of classes with a center.
        scale: of the similarities.
        squares: sum squares (``mean_of_squares``).
        count_unlabelled: pixels without a label have a row that counts.
        drop_max: leave the largest distance of each image and channel out.
        width: columns of the slopes that are returned, ``live`` or more; K on a GPU.

    Returns:
        Totals (2,); the derivative of the second one to the similarities before scaling, (B, P, width), of which the
        first ``live`` columns are filled; and the pixels whose distances were left out, (B, C), or (0,).
    """
    tensors = (dense(x_BCHW), y_BP, mu_GKC, ideal_GK, part_GK, rest_G, share_G, live)
    passes = _passes(x_BCHW)
    if passes is chunked or drop_max:
        return chunked.pixel_pass(
            *tensors,
            scale=scale,
            squares=squares,
            count_unlabelled=count_unlabelled,
            drop_max=drop_max,
            width=width,
        )
    totals_2, slope_BPK = passes.pixel_pass(*tensors, scale=scale, squares=squares, count_unlabelled=count_unlabelled)
    return totals_2, slope_BPK, y_BP.new_empty(0)


@torch.library.custom_op("classaware::gradient_pass", mutates_args=())
def gradient_pass(
    x_BCHW: Tensor,
    y_BP: Tensor,
    mu_GKC: Tensor,
    slope_BPL: Tensor,
    dsums_GKC: Tensor,
    coefs_2: Tensor,
    live: Tensor,
    dropped_BC: Tensor,
    squares: bool,
) -> Tensor:
    """The gradient to the features: of the two totals times ``coefs_2``, and of the class sums."""
    x_BCHW = dense(x_BCHW)
    arguments = (x_BCHW, y_BP, mu_GKC, slope_BPL, dsums_GKC, coefs_2, live)
    if dropped_BC.numel():
        return chunked.gradient_pass(*arguments, squares=squares, dropped_BC=dropped_BC)
    return _passes(x_BCHW).gradient_pass(*arguments, squares=squares)


@class_sums.register_fake
def _(x_BCHW: Tensor, y_BP: Tensor, num_classes: int, per_image: bool) -> Tensor:
    B, C = x_BCHW.shape[:2]
    return x_BCHW.new_empty(B if per_image else 1, num_classes, C, dtype=chunked.wide_dtype(x_BCHW))


@class_counts.register_fake
def _(y_BP: Tensor, num_classes: int) -> Tensor:
    return y_BP.new_empty(y_BP.shape[0], num_classes, dtype=torch.long)


@centers_pass.register_fake
def _(mu_GKC: Tensor, *arguments: object) -> tuple[Tensor, Tensor]:
    return mu_GKC.new_empty(()), torch.empty_like(mu_GKC)


@pixel_pass.register_fake
def _(
    x_BCHW: Tensor,
    y_BP: Tensor,
    mu_GKC: Tensor,
    ideal_GK: Tensor,
    part_GK: Tensor,
    rest_G: Tensor,
    share_G: Tensor,
    live: Tensor,
    scale: float,
    squares: bool,
    count_unlabelled: bool,
    drop_max: bool,
    width: int,
) -> tuple[Tensor, Tensor, Tensor]:
    B, C = x_BCHW.shape[:2]
    slope_BPL = x_BCHW.new_empty(*y_BP.shape, width, dtype=chunked.slope_dtype(x_BCHW))
    return mu_GKC.new_empty(2), slope_BPL, y_BP.new_empty((B, C) if drop_max else (0,))


@gradient_pass.register_fake
def _(x_BCHW: Tensor, *arguments: object) -> Tensor:
    return torch.empty_like(dense(x_BCHW))


def dense(x_BCHW: Tensor) -> Tensor:
    """With one stride from pixel to pixel, as the passes need it: as it is where it can be, else contiguous."""
    if x_BCHW.is_contiguous() or x_BCHW.is_contiguous(memory_format=torch.channels_last):
        return x_BCHW
    return x_BCHW.contiguous()


def _passes(x_BCHW: Tensor) -> ModuleType:
    """The kernels on a GPU, for the types that they are made for; chunks of torch operations elsewhere."""
    if x_BCHW.is_cuda and x_BCHW.dtype != torch.float64 and _has_triton():
        from classaware.regularization import fused_triton

        return fused_triton
    return chunked


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
