"""What the Triton kernels share: tiles of features or centers, and products of them as exact as float32's own."""

# mypy: allow-untyped-defs
# Triton gives kernels their types, one by one for every call.

import os

import triton
import triton.language as tl
from torch import Tensor

# The interpreter multiplies the bits of bfloat16 numbers, so there they become float32 first.
_INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def load_tile(base, rows, columns, row_stride, column_stride, keep):
    """A tile of a matrix; what is not kept is 0. Triton reads it in the order of the smaller stride."""
    return tl.load(base + rows[:, None] * row_stride + columns[None, :] * column_stride, mask=keep, other=0.0)


@triton.jit
def split(x):
    """A float32 tile as three bfloat16 tiles that add up to it: 8 bits of its 24 each."""
    high = x.to(tl.bfloat16)
    rest = x - high.to(tl.float32)
    middle = rest.to(tl.bfloat16)
    low = (rest - middle.to(tl.float32)).to(tl.bfloat16)
    return high, middle, low


@triton.jit
def dot(a, b, total):
    """``total + a @ b`` for bfloat16 tiles, in float32."""
    if _INTERPRETED:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision="ieee")
    return tl.dot(a, b, total)


@triton.jit
def exact_dot(a, b, large, small):
    """``large + small + a @ b``, with ``b`` float32 and ``a`` float32 (exact to about 2^-23) or bfloat16 (2^-17).

    Six products of bfloat16 parts cost what three of TF32 do, and the operands may lie in shared memory in any order.
    The small ones are summed apart, for tensor cores cut sums off instead of rounding them: that many steps would show.
    """
    b_high, b_middle, b_low = split(b)
    if a.dtype == tl.bfloat16:
        small = dot(a, b_middle, small)
        large = dot(a, b_high, large)
    else:
        a_high, a_middle, a_low = split(a)
        small = dot(a_low, b_high, small)
        small = dot(a_middle, b_middle, small)
        small = dot(a_high, b_low, small)
        small = dot(a_middle, b_high, small)
        small = dot(a_high, b_middle, small)
        large = dot(a_high, b_high, large)
    return large, small


def pixel_strides(x_BCHW: Tensor) -> dict[str, int]:
    """Steps in memory from one image, channel and pixel to the next, as the kernels name them."""
    image, channel, row, pixel = x_BCHW.stride()
    # The stride of a size of 1 says nothing; the other one is how far a pixel is.
    return {"image_stride": image, "channel_stride": channel, "pixel_stride": pixel if x_BCHW.shape[3] > 1 else row}
