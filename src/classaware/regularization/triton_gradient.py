"""Gradient of the features from the slopes that the pixel pass left."""

# mypy: allow-untyped-defs
# Triton gives kernels their types, one by one for every call.

import torch
import triton
import triton.language as tl
from torch import Tensor

from classaware.regularization.triton_tiles import dot, exact_dot, load_tile, pixel_strides

_PIXELS, _CLASSES = 64, 32  # of a tile


@triton.jit
def gradient_kernel(
    x_ptr, y_ptr, mu_ptr, slope_ptr, dsums_ptr, coefs_ptr, live_ptr, gradient_ptr,
    C, P, K, image_stride, channel_stride, pixel_stride, groups,
    SQUARES: tl.constexpr, T_PIXELS: tl.constexpr, T_CHANNELS: tl.constexpr, T_CLASSES: tl.constexpr,
):  # fmt: skip
    """One tile of pixels and one block of channels."""
    tiles = tl.cdiv(P, T_PIXELS)
    image = (tl.program_id(0) // tiles).to(tl.int64)
    start = (tl.program_id(0) % tiles) * T_PIXELS
    pixels, inside = tl.arange(0, T_PIXELS), start + tl.arange(0, T_PIXELS) < P
    first_channel = tl.program_id(1) * T_CHANNELS
    channels, exists = tl.arange(0, T_CHANNELS), first_channel + tl.arange(0, T_CHANNELS) < C
    centers = image % groups * K * C + first_channel
    mu_ptr, dsums_ptr = mu_ptr + centers, dsums_ptr + centers
    offset = image * image_stride + start.to(tl.int64) * pixel_stride + first_channel.to(tl.int64) * channel_stride
    y = tl.load(y_ptr + image * P + start + pixels, mask=inside, other=K)
    keep = inside[:, None] & exists[None, :]
    labelled = (y < K)[:, None] & exists[None, :]
    live = tl.load(live_ptr)
    slope_ptr += (image * P + start) * K
    large = tl.zeros((T_PIXELS, T_CHANNELS), tl.float32)
    small = tl.zeros((T_PIXELS, T_CHANNELS), tl.float32)
    for first in range(0, live, T_CLASSES):
        k = first + tl.arange(0, T_CLASSES)
        slope = load_tile(slope_ptr, pixels, k, K, 1, inside[:, None] & (k < live)[None, :])
        mu = load_tile(mu_ptr, k, channels, C, 1, (k < live)[:, None] & exists[None, :])
        if slope.dtype == tl.bfloat16:  # so is the gradient
            large = dot(slope, mu.to(tl.bfloat16), large)
        else:
            large, small = exact_dot(slope, mu, large, small)
    x = load_tile(x_ptr + offset, pixels, channels, pixel_stride, channel_stride, keep)
    away = x.to(tl.float32) - load_tile(mu_ptr, y, channels, C, 1, labelled)
    if not SQUARES:
        away = (away > 0).to(tl.float32) - (away < 0).to(tl.float32)
    dsums = load_tile(dsums_ptr, y, channels, C, 1, labelled)
    own = tl.where(labelled, tl.load(coefs_ptr) * away + dsums, 0.0)
    gradient = tl.load(coefs_ptr + 1) * (large + small) + own
    out = gradient_ptr + offset + pixels[:, None] * pixel_stride + channels[None, :] * channel_stride
    tl.store(out, gradient.to(gradient_ptr.dtype.element_ty), mask=keep)


def gradient_pass(
    x_BCHW: Tensor,
    y_BP: Tensor,
    mu_GKC: Tensor,
    slope_BPK: Tensor,
    dsums_GKC: Tensor,
    coefs_2: Tensor,
    live: Tensor,
    *,
    squares: bool,
) -> Tensor:
    """Gradient of the features: pixels off the other classes' centers, to their own, and through the class sums.

    Args:
        x_BCHW: float32, bfloat16 or float16, contiguous or channels_last.
        y_BP: int32 labels in [0, K], K for none.
        mu_GKC: float32 centers of each image (G = B) or of all (G = 1).
        slope_BPK: from the pixel pass.
        dsums_GKC: float32, gradient of the class sums.
        coefs_2: float32, factors of the derivative of the distance and of slope @ mu.
        live: int32 scalar; classes from there on have no center.
        squares: the distance is the squared one.

    Returns:
        gradient_BCHW in dtype and layout of the features.
    """
    B, C, H, W = x_BCHW.shape
    G, K, _ = mu_GKC.shape
    gradient_BCHW = torch.empty_like(x_BCHW)
    # Wide blocks read the slopes, which many classes make large, less often; narrow ones hide more of memory's latency.
    T_CHANNELS = 32 if K <= 64 else 64
    with torch.cuda.device_of(x_BCHW):
        gradient_kernel[(B * triton.cdiv(H * W, _PIXELS), triton.cdiv(C, T_CHANNELS))](
            x_BCHW, y_BP, mu_GKC, slope_BPK, dsums_GKC, coefs_2, live, gradient_BCHW,
            C=C, P=H * W, K=K, **pixel_strides(x_BCHW), groups=G,
            SQUARES=squares, T_PIXELS=_PIXELS, T_CHANNELS=T_CHANNELS, T_CLASSES=_CLASSES, num_warps=4, num_stages=2,
        )  # fmt: skip
    return gradient_BCHW
