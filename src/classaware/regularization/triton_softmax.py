"""What a row of similarities says of its pixel: the softmax over classes, shared by the kernels that make such rows."""

# mypy: allow-untyped-defs
# Triton gives kernels their types, one by one for every call.

import triton
import triton.language as tl

_LOWEST = tl.constexpr(-3e38)  # of a class that takes no part; finite, for infinities make NaN
_CLIP = tl.constexpr(1e-7)  # of every row sum


@triton.jit
def softmax_rows(
    similarity, y, inside, k, K, ideal_ptr, part_ptr, rest, share, live, terms_ptr, slope_ptr, scale,
    SQUARES: tl.constexpr, COUNT_UNLABELLED: tl.constexpr,
):  # fmt: skip
    """Softmax over one row of similarities per pixel, the sum of the rows' terms, and the slopes."""
    ideal = tl.load(ideal_ptr + k, mask=k < live, other=0.0)
    part = (tl.load(part_ptr + k, mask=k < live, other=0) != 0) & (k < live)
    other = k[None, :] != y[:, None]
    logits = tl.where(part[None, :], tl.where(other, similarity * scale, ideal[None, :]), _LOWEST)
    peak = tl.maximum(tl.max(logits, 1), tl.where(rest > 0, 0.0, _LOWEST))
    powers = tl.where(part[None, :], tl.exp(logits - peak[:, None]), 0.0)
    zero = tl.where(rest > 0, tl.exp(-peak), 0.0)  # of each class without a center
    z = tl.sum(powers, 1) + rest * zero
    z = tl.where(z == 0, 1.0, z)  # nothing takes part
    attention, zero = powers * (1 / z)[:, None], zero / z
    above = other & (attention > share)
    others = tl.where(zero > share, rest - ((y >= live) & (y < K)).to(tl.float32), 0.0)
    row = tl.sum(tl.where(above, attention - share, 0.0), 1) + others * (zero - share)
    row = tl.where(z == z, row, z)  # maxima and comparisons lose NaN: the loss has to say what the gradient is
    q = tl.sum(tl.where(above, attention, 0.0), 1) + others * zero
    counted = (inside if COUNT_UNLABELLED else inside & (y < K)).to(tl.float32)
    if SQUARES:
        term, factor = row * row, 2 * row
    else:
        term = tl.where(row == row, tl.minimum(tl.maximum(row, _CLIP), 1 - _CLIP), row)
        factor = ((row >= _CLIP) & (row <= 1 - _CLIP)).to(tl.float32)
    tl.store(terms_ptr, tl.sum(term * counted, 0))
    slope = (scale * factor * counted)[:, None] * attention * (above.to(tl.float32) - q[:, None])
    at = slope_ptr + tl.arange(0, similarity.shape[0])[:, None] * K + k[None, :]
    slope = tl.where(other, slope, 0.0).to(slope_ptr.dtype.element_ty)
    tl.store(at, slope, mask=inside[:, None] & (k < live)[None, :])
