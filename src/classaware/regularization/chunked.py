"""The passes in torch operations, a chunk of pixels after the other, so that what lies between stays in the cache."""

from collections.abc import Iterator

import torch
from torch import Tensor

from classaware.regularization.losses import CLIP
from classaware.regularization.precision import at_least_float32

# Features in a chunk: half of the second-level cache of a common CPU core; elsewhere enough to fill the device.
_CHUNK_CPU = 2**19
_CHUNK = 2**24


def slope_dtype(x: Tensor) -> torch.dtype:
    """bfloat16 where the gradient is rounded to half precision anyway."""
    return x.dtype if x.dtype in (torch.float32, torch.float64) else torch.bfloat16


def class_sums(x_BCHW: Tensor, y_BP: Tensor, num_classes: int, per_image: bool) -> Tensor:
    """See :func:`classaware.regularization.passes.class_sums`."""
    K, C = num_classes, x_BCHW.shape[1]
    sums_GKC = x_BCHW.new_zeros(len(x_BCHW) if per_image else 1, K + 1, C, dtype=at_least_float32(x_BCHW[:0]).dtype)
    for b, start, stop, x_TC in _chunks(x_BCHW):
        sums_KC = sums_GKC[b if per_image else 0]
        y_T = y_BP[b, start:stop]
        if x_TC.device.type == "cpu":
            # Into a sum of its own: a long chain of additions would round away what the means need.
            sums_KC += torch.zeros_like(sums_KC).index_add_(0, y_T, x_TC)
        else:  # where additions have no fixed order
            sums_KC.addmm_((y_T == torch.arange(K + 1, device=y_T.device).unsqueeze(-1)).to(x_TC.dtype), x_TC)
    return sums_GKC[:, :K].contiguous()


def centers_pass(
    mu_GKC: Tensor, part_GK: Tensor, rest_G: Tensor, share_G: Tensor, live: Tensor, scale: float, squares: bool
) -> tuple[Tensor, Tensor]:
    """See :func:`classaware.regularization.passes.centers_pass`."""
    L = _leading(live, mu_GKC)
    total = mu_GKC.new_zeros((), dtype=torch.float64 if mu_GKC.device.type == "cpu" else mu_GKC.dtype)
    dmu_GKC = torch.zeros_like(mu_GKC)
    own_L = torch.arange(L, device=mu_GKC.device)
    for g in range(len(mu_GKC)):
        mu_LC, part_L = mu_GKC[g, :L], part_GK[g, :L] & (own_L < live)
        similarity = _similarity(mu_LC, mu_LC.t() * scale, rest_G[g])
        counted_L = part_L.to(mu_GKC.dtype)
        rows_L, slope_LL = _dependency(similarity, own_L, own_L >= L, part_L, rest_G[g], share_G[g], counted_L, squares)
        total += rows_L.sum()
        # A class without a center looks at all alike.
        taking_part = part_GK[g].sum().to(mu_GKC.dtype)
        alike = (1 / taking_part.clamp(min=1) - share_G[g]).relu() * (taking_part - 1)
        total += rest_G[g] * (alike.square() if squares else alike.clamp(CLIP, 1 - CLIP))
        torch.mm(slope_LL, mu_LC * scale, out=dmu_GKC[g, :L])
    return total.to(mu_GKC.dtype), dmu_GKC


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
    drop_max: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`classaware.regularization.passes.pixel_pass`."""
    B, C = x_BCHW.shape[:2]
    G, K = mu_GKC.shape[:2]
    L = _leading(live, mu_GKC)
    slope_BPK = x_BCHW.new_empty(*y_BP.shape, K, dtype=slope_dtype(x_BCHW))
    totals_2 = mu_GKC.new_zeros(2, dtype=torch.float64 if mu_GKC.device.type == "cpu" else mu_GKC.dtype)
    largest = _Largest(B if drop_max else 0, C, mu_GKC)
    part_GL = part_GK[:, :L] & (torch.arange(L, device=live.device) < live)
    # The last row is what pixels without a label look up.
    own_GKC, own_GK = _padded(mu_GKC), _padded(ideal_GK)
    scaled_GCL = (mu_GKC[:, :L] * scale).transpose(1, 2)
    scratch = _Scratch()
    for b, start, stop, x_TC in _chunks(x_BCHW):
        g = b if G > 1 else 0
        y_T = y_BP[b, start:stop]
        labelled_T = y_T < K
        distance_TC = scratch.look_up(own_GKC[g], y_T).sub_(x_TC)
        distance_TC = distance_TC.square_() if squares else distance_TC.abs_()
        if drop_max:
            distance_TC *= labelled_T.unsqueeze(-1)
            largest.update(b, start, distance_TC)
        totals_2[0] += (distance_TC.sum(1) * labelled_T).sum()
        similarity = _similarity(x_TC, scaled_GCL[g], rest_G[g])
        _put(similarity[:, :L], y_T, own_GK[g].index_select(0, y_T))
        counted_T = (torch.ones_like(labelled_T) if count_unlabelled else labelled_T).to(x_TC.dtype)
        in_rest_T = labelled_T & (y_T >= live)
        rows_T, slope_TL = _dependency(
            similarity, y_T, in_rest_T, part_GL[g], rest_G[g], share_G[g], counted_T, squares
        )
        _put(slope_TL, y_T, slope_TL.new_zeros(1).expand(len(y_T)))
        totals_2[1] += rows_T.sum()
        torch.mul(slope_TL, scale, out=slope_BPK[b, start:stop, :L])
    totals_2[0] -= largest.value_BC.sum()
    return totals_2.to(mu_GKC.dtype), slope_BPK, largest.place_BC


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
    dropped_BC: Tensor | None = None,
) -> Tensor:
    """See :func:`classaware.regularization.passes.gradient_pass`."""
    G, K = mu_GKC.shape[:2]
    L = _leading(live, mu_GKC)
    gradient_BCHW = torch.empty_like(x_BCHW)
    pull_GKC, own_GKC, dsums_GKC = mu_GKC[:, :L] * coefs_2[1], _padded(mu_GKC), _padded(dsums_GKC)
    scratch = _Scratch()
    for b, start, stop, x_TC in _chunks(x_BCHW):
        g = b if G > 1 else 0
        y_T = y_BP[b, start:stop]
        away_TC = scratch.look_up(own_GKC[g], y_T)
        torch.sub(x_TC, away_TC, out=away_TC)
        if not squares:
            away_TC.sign_()
        if dropped_BC is not None:
            away_TC *= dropped_BC[b] != torch.arange(start, stop, device=y_T.device).unsqueeze(-1)
        target_TC = gradient_BCHW.flatten(2).transpose(1, 2)[b, start:stop]
        direct = target_TC.stride(1) == 1 and target_TC.dtype == x_TC.dtype
        gradient_TC = target_TC if direct else torch.empty_like(x_TC)
        torch.mm(slope_BPK[b, start:stop, :L].to(x_TC.dtype), pull_GKC[g], out=gradient_TC)
        gradient_TC.addcmul_(away_TC, ((y_T < K) * coefs_2[0]).unsqueeze(-1))
        gradient_TC += scratch.look_up(dsums_GKC[g], y_T)
        if not direct:
            target_TC.copy_(gradient_TC)
    return gradient_BCHW


def _dependency(
    similarity_TL1: Tensor,
    own_T: Tensor,
    in_rest_T: Tensor,
    part_L: Tensor,
    rest: Tensor,
    share: Tensor,
    counted_T: Tensor,
    squares: bool,
) -> tuple[Tensor, Tensor]:
    """Eqs. 5, 6 and 11 to 13 for some rows: what a row adds to the total, and its derivative to the similarities.

    Args:
        similarity_TL1: to the classes with a center, and the logarithm of how many have none; overwritten.
        own_T: column that is no other class; none where it is L or more.
        in_rest_T: bool, whether the own class is one of those without a center.
        part_L: bool, classes that take part.
        rest: how many without a center do.
        share: of the margin, for one class.
        counted_T: 1 for rows that count, else 0.
        squares: sum the rows' squares.
    """
    similarity_TL1[:, :-1].masked_fill_(~part_L, torch.finfo(similarity_TL1.dtype).min)
    attention_TL1 = similarity_TL1.softmax(1)
    attention_TL, attention_T = attention_TL1[:, :-1], attention_TL1[:, -1] / rest.clamp(min=1)
    excess_TL = (attention_TL - share).relu_().mul_(part_L)
    _put(excess_TL, own_T, excess_TL.new_zeros(1).expand(len(own_T)))
    others_T = (rest - in_rest_T * 1).clamp(min=0)
    excess_T = (attention_T - share).relu_()
    row_T = excess_TL.sum(1) + others_T * excess_T
    above_TL = excess_TL.sign_()
    mean_T = (attention_TL * above_TL).sum(1) + others_T * attention_T * excess_T.sign()
    if squares:
        value_T, factor_T = row_T.square(), 2 * row_T
    else:
        value_T, factor_T = row_T.clamp(CLIP, 1 - CLIP), ((row_T >= CLIP) & (row_T <= 1 - CLIP)).to(row_T.dtype)
    slope_TL = above_TL.sub_(mean_T.unsqueeze(-1)).mul_(attention_TL).mul_((factor_T * counted_T).unsqueeze(-1))
    return value_T * counted_T, slope_TL


def _leading(live: Tensor, mu_GKC: Tensor) -> int:
    """How many columns to compute: those with a center, where that number can be had without waiting for a device."""
    return int(live) if live.device.type == "cpu" else mu_GKC.shape[1]


def _padded(table: Tensor) -> Tensor:
    """A table over classes (G, K, ...) with a row of zeros behind."""
    return torch.cat([table, torch.zeros_like(table[:, :1])], 1)


def _similarity(x_TC: Tensor, centers_CL: Tensor, rest: Tensor) -> Tensor:
    """To each center, and one more column that stands for all classes without one: the logarithm of their number."""
    similarity_TL1 = x_TC.new_empty(len(x_TC), centers_CL.shape[1] + 1)
    torch.mm(x_TC, centers_CL, out=similarity_TL1[:, :-1])
    similarity_TL1[:, -1] = rest.log().clamp(min=torch.finfo(x_TC.dtype).min)
    return similarity_TL1


def _put(matrix_TL: Tensor, column_T: Tensor, value_T: Tensor) -> None:
    """Set one element of each row, where there is such a column."""
    inside_T1 = (column_T < matrix_TL.shape[1]).unsqueeze(-1)
    column_T1 = column_T.long().unsqueeze(-1).where(inside_T1, 0)
    matrix_TL.scatter_(1, column_T1, value_T.unsqueeze(-1).where(inside_T1, matrix_TL.gather(1, column_T1)))


class _Largest:
    """The largest distance of each image and channel, and the first pixel that has it."""

    def __init__(self, images: int, C: int, like: Tensor) -> None:
        self.value_BC = torch.full((images, C), -1.0, dtype=like.dtype, device=like.device)
        self.place_BC = torch.zeros((images, C) if images else (0,), dtype=torch.int32, device=like.device)

    def update(self, b: int, start: int, distance_TC: Tensor) -> None:
        value_C, place_C = distance_TC.max(0)
        larger_C = value_C > self.value_BC[b]
        self.value_BC[b] = value_C.where(larger_C, self.value_BC[b])
        self.place_BC[b] = (place_C + start).int().where(larger_C, self.place_BC[b])


class _Scratch:
    """One buffer for what each chunk looks up: new memory would cost more than the looking up."""

    def __init__(self) -> None:
        self.buffer: Tensor | None = None

    def look_up(self, table_KC: Tensor, row_T: Tensor) -> Tensor:
        """Rows of a table, overwritten by the next call."""
        size = (len(row_T), table_KC.shape[1])
        if self.buffer is None or self.buffer.shape != size:
            self.buffer = table_KC.new_empty(size)
        return torch.index_select(table_KC, 0, row_T, out=self.buffer)


def _chunks(x_BCHW: Tensor) -> Iterator[tuple[int, int, int, Tensor]]:
    """Image, first and last pixel, and the features (T, C) there, in at least float32; to be used before the next."""
    B, C, H, W = x_BCHW.shape
    P = H * W
    x_BPC = x_BCHW.flatten(2).transpose(1, 2)
    chunk = max((_CHUNK_CPU if x_BCHW.device.type == "cpu" else _CHUNK) // C, 16)
    size = -(-P // -(-P // chunk))  # of equal chunks
    wide = at_least_float32(x_BCHW[:0]).dtype
    buffer_TC: Tensor | None = None
    if x_BPC.stride(2) != 1 or x_BCHW.dtype != wide:
        buffer_TC = x_BCHW.new_empty(size, C, dtype=wide)
    for b in range(B):
        for start in range(0, P, size):
            x_TC = x_BPC[b, start : start + size]
            if buffer_TC is not None:
                x_TC = buffer_TC[: len(x_TC)].copy_(x_TC)
            yield b, start, start + len(x_TC), x_TC
