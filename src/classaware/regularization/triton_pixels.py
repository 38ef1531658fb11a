"""One look at every pixel: its distance to its own center, and what its softmax gives to the other classes."""

# mypy: allow-untyped-defs
# Triton gives kernels their types, one by one for every call.

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from classaware.regularization.triton_softmax import softmax_rows
from classaware.regularization.triton_tiles import exact_dot, load_tile, pixel_strides

_IN_REGISTERS = 64  # classes; a row of more goes through memory
_PIXELS, _CLASSES = 64, 128  # of a tile; with these, and the warps below, no kernel spills registers on capability 9.0


@triton.jit
def _distances(x, mu_ptr, y, labelled, channels, C, SQUARES: tl.constexpr):
    """What a block of channels adds to each pixel's distance to its own center."""
    away = tl.where(labelled, load_tile(mu_ptr, y, channels, C, 1, labelled) - x.to(tl.float32), 0.0)
    return tl.sum(away * away if SQUARES else tl.abs(away), 1)


@triton.jit
def _similarities(
    x_ptr, mu_ptr, y, inside, k, live, C, K, channel_stride, pixel_stride,
    DISTANCES: tl.constexpr, SQUARES: tl.constexpr,
    T_PIXELS: tl.constexpr, T_CHANNELS: tl.constexpr, T_CLASSES: tl.constexpr,
):  # fmt: skip
    """Inner products of a tile of pixels and the centers of the classes k, and distances to the own center."""
    pixels, channels = tl.arange(0, T_PIXELS), tl.arange(0, T_CHANNELS)
    large = tl.zeros((T_PIXELS, T_CLASSES), tl.float32)
    small = tl.zeros((T_PIXELS, T_CLASSES), tl.float32)
    distances = tl.zeros((T_PIXELS,), tl.float32)
    for first in range(0, C, T_CHANNELS):
        exists = first + channels < C
        base = x_ptr + tl.cast(first, tl.int64) * channel_stride
        x = load_tile(base, pixels, channels, pixel_stride, channel_stride, inside[:, None] & exists[None, :])
        if x.dtype == tl.float16:
            x = x.to(tl.float32)  # bfloat16 would not have its digits
        mu = load_tile(mu_ptr + first, channels, k, 1, C, exists[:, None] & (k < live)[None, :])
        large, small = exact_dot(x, mu, large, small)
        if DISTANCES:
            distances += _distances(x, mu_ptr + first, y, (y < K)[:, None] & exists[None, :], channels, C, SQUARES)
    return large + small, distances


@triton.jit
def few_kernel(
    x_ptr, y_ptr, mu_ptr, ideal_ptr, part_ptr, rest_ptr, share_ptr, live_ptr, distances_ptr, terms_ptr, slope_ptr,
    scale, C, P, K, image_stride, channel_stride, pixel_stride, groups,
    SQUARES: tl.constexpr, COUNT_UNLABELLED: tl.constexpr,
    T_PIXELS: tl.constexpr, T_CHANNELS: tl.constexpr, T_CLASSES: tl.constexpr,
):  # fmt: skip
    """Few classes: one tile of pixels, whose similarities to all classes stay in registers."""
    tiles = tl.cdiv(P, T_PIXELS)
    image, start = (tl.program_id(0) // tiles).to(tl.int64), (tl.program_id(0) % tiles) * T_PIXELS
    group = image % groups
    k, pixels = tl.arange(0, T_CLASSES), tl.arange(0, T_PIXELS)
    inside = start + pixels < P
    y = tl.load(y_ptr + image * P + start + pixels, mask=inside, other=K)
    live = tl.load(live_ptr)
    similarity, distances = _similarities(
        x_ptr + image * image_stride + start.to(tl.int64) * pixel_stride, mu_ptr + group * K * C,
        y, inside, k, live, C, K, channel_stride, pixel_stride, True, SQUARES, T_PIXELS, T_CHANNELS, T_CLASSES,
    )  # fmt: skip
    tl.store(distances_ptr + tl.program_id(0), tl.sum(distances, 0))
    softmax_rows(
        similarity, y, inside, k, K, ideal_ptr + group * K, part_ptr + group * K, tl.load(rest_ptr + group),
        tl.load(share_ptr + group), live, terms_ptr + tl.program_id(0), slope_ptr + (image * P + start) * K, scale,
        SQUARES, COUNT_UNLABELLED,
    )  # fmt: skip


@triton.jit
def similarities_kernel(
    x_ptr, y_ptr, mu_ptr, live_ptr, distances_ptr, similarity_ptr,
    C, P, K, image_stride, channel_stride, pixel_stride, groups,
    SQUARES: tl.constexpr, T_PIXELS: tl.constexpr, T_CHANNELS: tl.constexpr, T_CLASSES: tl.constexpr,
):  # fmt: skip
    """Many classes, first half: the similarities of one tile of pixels and one block of classes, or the distances."""
    tiles, jobs = tl.cdiv(P, T_PIXELS), 1 + tl.cdiv(K, T_CLASSES)
    tile, job = tl.program_id(0) // jobs, tl.program_id(0) % jobs
    image, start = (tile // tiles).to(tl.int64), (tile % tiles) * T_PIXELS
    pixels, live = tl.arange(0, T_PIXELS), tl.load(live_ptr)
    inside = start + pixels < P
    y = tl.load(y_ptr + image * P + start + pixels, mask=inside, other=K)
    x_ptr += image * image_stride + start.to(tl.int64) * pixel_stride
    mu_ptr += image % groups * K * C
    first_class = (job - 1) * T_CLASSES
    if job == 0:
        distances = tl.zeros((T_PIXELS,), tl.float32)
        for first in range(0, C, T_CHANNELS):
            channels = tl.arange(0, T_CHANNELS)
            labelled = (y < K)[:, None] & (first + channels < C)[None, :]
            base = x_ptr + tl.cast(first, tl.int64) * channel_stride
            x = load_tile(base, pixels, channels, pixel_stride, channel_stride, labelled)
            distances += _distances(x, mu_ptr + first, y, labelled, channels, C, SQUARES)
        tl.store(distances_ptr + tile, tl.sum(distances, 0))
    elif first_class < live:
        k = first_class + tl.arange(0, T_CLASSES)
        similarity, _ = _similarities(
            x_ptr, mu_ptr, y, inside, k, live, C, K, channel_stride, pixel_stride,
            False, SQUARES, T_PIXELS, T_CHANNELS, T_CLASSES,
        )  # fmt: skip
        at = similarity_ptr + (image * P + start) * K + pixels[:, None] * K + k[None, :]
        tl.store(at, similarity, mask=inside[:, None] & (k < live)[None, :])


@triton.jit
def rows_kernel(
    y_ptr, ideal_ptr, part_ptr, rest_ptr, share_ptr, live_ptr, terms_ptr, similarity_ptr, slope_ptr,
    scale, P, K, groups,
    SQUARES: tl.constexpr, COUNT_UNLABELLED: tl.constexpr, T_PIXELS: tl.constexpr, T_CLASSES: tl.constexpr,
):  # fmt: skip
    """Many classes, second half: whole rows of similarities of a few pixels. Slopes may overwrite similarities."""
    tiles = tl.cdiv(P, T_PIXELS)
    image, start = (tl.program_id(0) // tiles).to(tl.int64), (tl.program_id(0) % tiles) * T_PIXELS
    group = image % groups
    k, pixels, live = tl.arange(0, T_CLASSES), tl.arange(0, T_PIXELS), tl.load(live_ptr)
    inside = start + pixels < P
    y = tl.load(y_ptr + image * P + start + pixels, mask=inside, other=K)
    at = (image * P + start) * K
    similarity = load_tile(similarity_ptr + at, pixels, k, K, 1, inside[:, None] & (k < live)[None, :])
    softmax_rows(
        similarity, y, inside, k, K, ideal_ptr + group * K, part_ptr + group * K, tl.load(rest_ptr + group),
        tl.load(share_ptr + group), live, terms_ptr + tl.program_id(0), slope_ptr + at, scale,
        SQUARES, COUNT_UNLABELLED,
    )  # fmt: skip


def pixel_pass(
    x_BCHW: Tensor,
    y_BP: Tensor,
    mu_GKC: Tensor,
    ideal_GK: Tensor,
    part_GK: Tensor,
    rest_G: Tensor,
    share_G: Tensor,
    live: Tensor,
    *,
    scale: float,
    squares: bool,
    count_unlabelled: bool,
) -> tuple[Tensor, Tensor]:
    """Distances of pixels to their own center, and what they give to other classes (Eqs. 3 and 8 to 13).

    Args:
        x_BCHW: float32, bfloat16 or float16, contiguous or channels_last.
        y_BP: int32 labels in [0, K], K for none.
        mu_GKC: float32 centers of each image (G = B) or of all (G = 1), zero where a class has none.
        ideal_GK: float32, what stands in for the similarity to the own class, already scaled.
        part_GK: bool, classes in the softmax.
        rest_G: float32, how many classes without a center (from ``live`` on) are in it as well.
        share_G: float32, margin of one class.
        live: int32 scalar; classes from there on have no center, and similarity 0 to everything.
        scale: factor of the similarities.
        squares: squared distances and squared row sums.
        count_unlabelled: unlabelled pixels have a row too.

    Returns:
        totals_2: float32, sum of the distances and of the rows' terms, in one order whatever the device does first.
        slope_BPK: derivative of each pixel's term by its inner products with the centers, undefined from ``live`` on;
            bfloat16 for bfloat16 features, else float32.
    """
    B, _, H, W = x_BCHW.shape
    slopes = torch.bfloat16 if x_BCHW.dtype == torch.bfloat16 else torch.float32
    slope_BPK = torch.empty((B, H * W, mu_GKC.shape[1]), dtype=slopes, device=x_BCHW.device)
    knobs = {"scale": scale, "SQUARES": squares, "COUNT_UNLABELLED": count_unlabelled}
    launch = _few if mu_GKC.shape[1] <= _IN_REGISTERS else _many
    with torch.cuda.device_of(x_BCHW):
        totals_2 = launch(x_BCHW, y_BP, mu_GKC, (ideal_GK, part_GK, rest_G, share_G, live), slope_BPK, knobs)
    return totals_2, slope_BPK


def _few(
    x_BCHW: Tensor, y_BP: Tensor, mu_GKC: Tensor, softmax: tuple[Tensor, ...], slope_BPK: Tensor, knobs: dict[str, Any]
) -> Tensor:
    B, P, K = slope_BPK.shape
    totals_2N = x_BCHW.new_empty((2, B * triton.cdiv(P, _PIXELS)), dtype=torch.float32)
    few_kernel[totals_2N.shape[1:]](
        x_BCHW, y_BP, mu_GKC, *softmax, *totals_2N, slope_BPK,
        C=x_BCHW.shape[1], P=P, K=K, groups=mu_GKC.shape[0], **pixel_strides(x_BCHW), **knobs,
        T_PIXELS=_PIXELS, T_CHANNELS=32, T_CLASSES=max(16, triton.next_power_of_2(K)), num_warps=4, num_stages=3,
    )  # fmt: skip
    return totals_2N.sum(1)


def _many(
    x_BCHW: Tensor, y_BP: Tensor, mu_GKC: Tensor, softmax: tuple[Tensor, ...], slope_BPK: Tensor, knobs: dict[str, Any]
) -> Tensor:
    B, P, K = slope_BPK.shape
    sizes = {"P": P, "K": K, "groups": mu_GKC.shape[0]}
    # A similarity needs more digits than bfloat16 has.
    similarity_BPK = slope_BPK if slope_BPK.dtype == torch.float32 else torch.empty_like(slope_BPK, dtype=torch.float32)
    tiles = B * triton.cdiv(P, _PIXELS)
    distances_N = x_BCHW.new_empty(tiles, dtype=torch.float32)
    similarities_kernel[(tiles * (1 + triton.cdiv(K, _CLASSES)),)](
        x_BCHW, y_BP, mu_GKC, softmax[-1], distances_N, similarity_BPK,
        C=x_BCHW.shape[1], **sizes, **pixel_strides(x_BCHW), SQUARES=knobs["SQUARES"],
        T_PIXELS=_PIXELS, T_CHANNELS=16, T_CLASSES=_CLASSES, num_warps=8, num_stages=3,
    )  # fmt: skip
    row = triton.next_power_of_2(K)
    rows = max(1, 4096 // row)
    terms_N = x_BCHW.new_empty(B * triton.cdiv(P, rows), dtype=torch.float32)
    rows_kernel[terms_N.shape](
        y_BP, *softmax, terms_N, similarity_BPK, slope_BPK, **sizes, **knobs,
        T_PIXELS=rows, T_CLASSES=row, num_warps=min(32, max(4, row // 1024)),
    )  # fmt: skip
    return torch.stack((distances_N.sum(), terms_N.sum()))
