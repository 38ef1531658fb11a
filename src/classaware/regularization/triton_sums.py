"""Sums of the features of each class: a matrix product with the one-hot labels."""

# mypy: allow-untyped-defs
# Triton gives kernels their types, one by one for every call.

import torch
import triton
import triton.language as tl
from torch import Tensor

from classaware.regularization.triton_tiles import dot, load_tile, pixel_strides, split

_PROGRAMS = 528  # four for each of an H100's 132 multiprocessors
_PIXELS, _CHANNELS = 32, 64  # of a tile


@triton.jit
def sums_kernel(
    x_ptr, y_ptr, sums_ptr, B, C, P, K, image_stride, channel_stride, pixel_stride, splits, tiles_per_split,
    T_PIXELS: tl.constexpr, T_CHANNELS: tl.constexpr, T_CLASSES: tl.constexpr, SKIP: tl.constexpr,
):  # fmt: skip
    """One block of classes and channels over one share of the pixels of one group of ``B`` images."""
    share, group = tl.program_id(0) % splits, tl.program_id(0) // splits
    first_channel = tl.program_id(1) * T_CHANNELS
    channels, exists = tl.arange(0, T_CHANNELS), first_channel + tl.arange(0, T_CHANNELS) < C
    x_ptr += first_channel.to(tl.int64) * channel_stride
    first_class = tl.program_id(2) * T_CLASSES
    classes = first_class + tl.arange(0, T_CLASSES)
    pixels = tl.arange(0, T_PIXELS)
    tiles = tl.cdiv(P, T_PIXELS)
    total = tl.zeros((T_CLASSES, T_CHANNELS), tl.float32)
    for tile in range(share * tiles_per_split, tl.minimum((share + 1) * tiles_per_split, B * tiles)):
        image = (group * B + tile // tiles).to(tl.int64)
        start = (tile % tiles) * T_PIXELS
        y = tl.load(y_ptr + image * P + start + pixels, mask=start + pixels < P, other=-1)
        # Most tiles of a label map hold few of many classes.
        if not SKIP or tl.max(((y >= first_class) & (y < first_class + T_CLASSES)).to(tl.int32), 0) > 0:
            keep = (start + pixels < P)[:, None] & exists[None, :]
            base = x_ptr + image * image_stride + start.to(tl.int64) * pixel_stride
            x = load_tile(base, pixels, channels, pixel_stride, channel_stride, keep)
            own = (classes[:, None] == y[None, :]).to(tl.float32).to(tl.bfloat16)
            if x.dtype == tl.bfloat16:
                total = dot(own, x, total)
            else:  # exact, for one factor is 0 or 1
                high, middle, low = split(x.to(tl.float32))
                total = dot(own, low, total)
                total = dot(own, middle, total)
                total = dot(own, high, total)
    inside = (classes < K)[:, None] & exists[None, :]
    out = sums_ptr + tl.program_id(0).to(tl.int64) * K * C + first_channel
    tl.store(out + classes[:, None] * C + channels[None, :], total, mask=inside)


def class_sums(x_BCHW: Tensor, y_BP: Tensor, num_classes: int, per_image: bool) -> Tensor:
    """Sum of the features of each class, in one order whatever the device does first.

    Args:
        x_BCHW: float32, bfloat16 or float16, contiguous or channels_last.
        y_BP: int32 labels in [0, K], K for none.
        num_classes: K.
        per_image: sums of each image, not of the whole batch.

    Returns:
        sums_GKC in float32, G being B or 1.
    """
    B, C, H, W = x_BCHW.shape
    P, K, G = H * W, num_classes, B if per_image else 1
    T_CLASSES = 64 if K <= 64 else 128
    blocks = triton.cdiv(C, _CHANNELS), triton.cdiv(K, T_CLASSES)
    tiles = B // G * triton.cdiv(P, _PIXELS)
    # The splits' own sums shall have at most a quarter of the features' elements.
    splits = min(tiles, triton.cdiv(_PROGRAMS, G * blocks[0] * blocks[1]), max(1, B * P // (4 * G * K)))
    tiles_per_split = triton.cdiv(tiles, splits)
    splits = triton.cdiv(tiles, tiles_per_split)
    sums_GSKC = torch.empty((G, splits, K, C), dtype=torch.float32, device=x_BCHW.device)
    with torch.cuda.device_of(x_BCHW):
        sums_kernel[(G * splits, *blocks)](
            x_BCHW, y_BP, sums_GSKC,
            B=B // G, C=C, P=P, K=K, **pixel_strides(x_BCHW), splits=splits, tiles_per_split=tiles_per_split,
            T_PIXELS=_PIXELS, T_CHANNELS=_CHANNELS, T_CLASSES=T_CLASSES, SKIP=blocks[1] > 1, num_warps=4, num_stages=3,
        )  # fmt: skip
    return sums_GSKC[:, 0] if splits == 1 else sums_GSKC.sum(1)
