"""The passes in torch operations, a chunk of pixels after the other, so that what lies between stays in the cache."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from classaware.regularization.losses import CLIP
from classaware.regularization.precision import at_least_float32

# Features in a chunk: few enough for a CPU's caches, many enough that starting an operation costs little.
_CHUNK_CPU = 2**19
_CHUNK = 2**24
# Up to this many classes, a product with the one-hot labels costs less than turning features channel by channel.
_FEW = 128


def wide_dtype(x: Tensor) -> torch.dtype:
    """What is computed in."""
    return at_least_float32(x[:0]).dtype


def slope_dtype(x: Tensor) -> torch.dtype:
    """bfloat16 where the gradient is rounded to it anyway."""
    return torch.bfloat16 if x.dtype == torch.bfloat16 else wide_dtype(x)


def class_sums(x_BCHW: Tensor, y_BP: Tensor, num_classes: int, per_image: bool) -> Tensor:
    """See :func:`classaware.regularization.passes.class_sums`."""
    K, C = num_classes, x_BCHW.shape[1]
    sums_GKC = x_BCHW.new_zeros(len(x_BCHW) if per_image else 1, K + 1, C, dtype=wide_dtype(x_BCHW))
    # Additions one by one are quick where a pixel's features lie side by side, but have no fixed order on a GPU.
    one_by_one = x_BCHW.device.type == "cpu" and (x_BCHW.stride(1) == 1 or K > _FEW)
    y_BP, classes_K1 = y_BP.long(), torch.arange(K + 1, device=y_BP.device).unsqueeze(-1)
    for b, start, stop, x_TC in _chunks(x_BCHW, K, by_pixel=one_by_one):
        sums_KC, y_T = sums_GKC[b if per_image else 0], y_BP[b, start:stop]
        if one_by_one:
            # Into a sum of its own: a long chain of additions would round away what the means need.
            sums_KC += torch.zeros_like(sums_KC).index_add_(0, y_T, x_TC)
        else:
            sums_KC.addmm_((y_T == classes_K1).to(x_TC.dtype), x_TC)
    return sums_GKC[:, :K].contiguous()


def class_counts(y_BP: Tensor, num_classes: int) -> Tensor:
    """See :func:`classaware.regularization.passes.class_counts`."""
    B, bins = len(y_BP), num_classes + 1
    if y_BP.device.type == "cpu":
        images_B1 = torch.arange(B).unsqueeze(-1)
        counts_BK = (y_BP + images_B1 * bins).flatten().bincount(minlength=B * bins).view(B, bins)
    else:  # where bincount waits for the device
        counts_BK = torch.zeros(B, bins, dtype=torch.long, device=y_BP.device)
        counts_BK.scatter_add_(1, y_BP.long(), torch.ones_like(y_BP, dtype=torch.long))
    return counts_BK[:, :num_classes].contiguous()


def centers_pass(
    mu_GKC: Tensor, part_GK: Tensor, rest_G: Tensor, share_G: Tensor, live: Tensor, scale: float, squares: bool
) -> tuple[Tensor, Tensor]:
    """See :func:`classaware.regularization.passes.centers_pass`."""
    columns = _Columns.of(mu_GKC, part_GK, rest_G, share_G, live, scale)
    L = _leading(live, mu_GKC)
    own_L1 = torch.arange(L, device=mu_GKC.device).unsqueeze(-1)
    keep_L1 = mu_GKC.new_zeros(L, 1)
    total, dmu_GKC = _accurate_zeros(1, mu_GKC), torch.zeros_like(mu_GKC)
    for g in range(len(mu_GKC)):
        mu_LC = mu_GKC[g, :L]
        similarity_LN = torch.addmm(columns.bias_GN[g], mu_LC, columns.mu_GCN[g])
        counted_L = columns.threshold_GN[g, :L].isfinite().to(mu_GKC.dtype)
        rows_L, slope_LN, factor_L = _dependency(
            similarity_LN, columns.threshold_GN[g], own_L1, keep_L1, counted_L, squares
        )
        # A class without a center looks at all alike.
        number = part_GK[g].sum().to(mu_GKC.dtype)
        alike = (1 / number.clamp(min=1) - share_G[g]).relu() * (number - 1)
        total += rows_L.sum() + rest_G[g] * (alike.square() if squares else alike.clamp(CLIP, 1 - CLIP))
        slope_LN *= (scale * factor_L).unsqueeze(-1)
        torch.mm(slope_LN[:, :L], mu_LC, out=dmu_GKC[g, :L])
    return total[0].to(mu_GKC.dtype), dmu_GKC


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
    drop_max: bool,
    width: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`classaware.regularization.passes.pixel_pass`."""
    B, C = x_BCHW.shape[:2]
    G = len(mu_GKC)
    columns = _Columns.of(mu_GKC, part_GK, rest_G, share_G, live, scale)
    L = _leading(live, mu_GKC)
    ideal_GK = ideal_GK.masked_fill(~part_GK, _lowest(mu_GKC))
    pixels = _Pixels.of(y_BP, ideal_GK, rest_G, live, columns, count_unlabelled)
    slope_BPL = x_BCHW.new_empty(*y_BP.shape, width, dtype=slope_dtype(x_BCHW))
    largest = _Largest(B if drop_max else 0, C, mu_GKC)
    totals_2 = _accurate_zeros(2, mu_GKC)
    mu_GKC, buffer = _padded(mu_GKC), _Buffer()
    for b, start, stop, x_TC in _chunks(x_BCHW, L):
        g = b if G > 1 else 0
        y_T, own_T1, ideal_T1, keep_T1, labelled_T, counted_T = (field[b, start:stop] for field in pixels)
        distance_TC = buffer.look_up(mu_GKC[g], y_T, x_TC).sub_(x_TC)
        distance_TC = distance_TC.square_() if squares else distance_TC.abs_()
        if drop_max:
            distance_TC *= labelled_T.unsqueeze(-1)
            largest.update(b, start, distance_TC)
            totals_2[0] += distance_TC.sum(dtype=totals_2.dtype)
        else:
            totals_2[0] += distance_TC.sum(1).dot(labelled_T)
        similarity_TN = _similarity(x_TC, columns.mu_GCN[g], columns.bias_GN[g])
        similarity_TN.scatter_(1, own_T1, ideal_T1)  # Eq. 10
        rows_T, slope_TN, factor_T = _dependency(
            similarity_TN, columns.threshold_GN[g], own_T1, keep_T1, counted_T, squares
        )
        slope_TN.scatter_(1, own_T1, 0)  # of the last column, nobody reads it
        totals_2[1] += rows_T.sum()
        torch.mul(slope_TN[:, :L], (scale * factor_T).unsqueeze(-1), out=slope_BPL[b, start:stop, :L])
    totals_2[0] -= largest.value_BC.sum(dtype=totals_2.dtype)
    return totals_2.to(mu_GKC.dtype), slope_BPL, largest.place_BC


def gradient_pass(
    x_BCHW: Tensor,
    y_BP: Tensor,
    mu_GKC: Tensor,
    slope_BPL: Tensor,
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
    gradient_BPC = gradient_BCHW.flatten(2).transpose(1, 2)
    push_GKC, mu_GKC, dsums_GKC = mu_GKC[:, :L] * coefs_2[1], _padded(mu_GKC), _padded(dsums_GKC)
    pull_BP1 = ((y_BP < K) * coefs_2[0]).unsqueeze(-1)
    y_BP, buffer, result = y_BP.long(), _Buffer(), _Buffer()
    for b, start, stop, x_TC in _chunks(x_BCHW, L):
        g, y_T = b if G > 1 else 0, y_BP[b, start:stop]
        away_TC = buffer.look_up(mu_GKC[g], y_T, x_TC)
        torch.sub(x_TC, away_TC, out=away_TC)
        if not squares:
            away_TC.sign_()
        if dropped_BC is not None:
            away_TC *= dropped_BC[b] != torch.arange(start, stop, device=y_T.device).unsqueeze(-1)
        gradient_TC = gradient_BPC[b, start:stop]
        if gradient_TC.dtype == x_TC.dtype and gradient_TC.is_contiguous():
            direct_TC = torch.index_select(dsums_GKC[g], 0, y_T, out=gradient_TC)
        else:
            direct_TC = result.look_up(dsums_GKC[g], y_T, x_TC)
        direct_TC.addcmul_(away_TC, pull_BP1[b, start:stop])
        _add_product(direct_TC, slope_BPL[b, start:stop, :L].to(x_TC.dtype), push_GKC[g])
        if direct_TC is not gradient_TC:
            gradient_TC.copy_(direct_TC)
    return gradient_BCHW


class _Columns(NamedTuple):
    """What rows are compared with: L classes with a center, and in column L all others that take part.

    Columns that take no part, one or more, fill up to a multiple of 16, with which products are faster.

    Attributes:
        mu_GCN: their centers, scaled; zero from column L on.
        bias_GN: what is added to the similarities: the logarithm of their number in column L, and next to minus
            infinity for a class that takes no part.
        threshold_GN: their share of the margin; infinite for a class that takes no part.
    """

    mu_GCN: Tensor
    bias_GN: Tensor
    threshold_GN: Tensor

    @classmethod
    def of(
        cls, mu_GKC: Tensor, part_GK: Tensor, rest_G: Tensor, share_G: Tensor, live: Tensor, scale: float
    ) -> "_Columns":
        L = _leading(live, mu_GKC)
        part_GL = part_GK[:, :L] & (torch.arange(L, device=live.device) < live)
        more = 16 - (L + 1) % 16
        part_GN = F.pad(torch.cat([part_GL, rest_G.unsqueeze(-1) > 0], 1), (0, more))
        number_GN = F.pad(torch.cat([torch.ones_like(mu_GKC[:, :L, 0]), rest_G.unsqueeze(-1)], 1), (0, more))
        bias_GN = number_GN.log().masked_fill(~part_GN, _lowest(mu_GKC))
        threshold_GN = (number_GN * share_G.unsqueeze(-1)).masked_fill(~part_GN, torch.inf)
        mu_GNC = F.pad(mu_GKC[:, :L] * scale, (0, 0, 0, 1 + more))
        return cls(mu_GNC.transpose(1, 2), bias_GN, threshold_GN)


class _Pixels(NamedTuple):
    """What is known of every pixel, (B, P) or (B, P, 1).

    Attributes:
        y_BP: its label, K for none.
        own_BP1: column of its class; the last one, which takes no part, for a pixel without a label.
        ideal_BP1: what stands in this column.
        keep_BP1: share of this column that counts as other classes'.
        labelled_BP: 1 where it has a label, else 0.
        counted_BP: 1 where its row counts, else 0.
    """

    y_BP: Tensor
    own_BP1: Tensor
    ideal_BP1: Tensor
    keep_BP1: Tensor
    labelled_BP: Tensor
    counted_BP: Tensor

    @classmethod
    def of(
        cls, y_BP: Tensor, ideal_GK: Tensor, rest_G: Tensor, live: Tensor, columns: _Columns, count_unlabelled: bool
    ) -> "_Pixels":
        L, last = _leading(live, ideal_GK), columns.bias_GN.shape[1] - 1
        y_BP = y_BP.long()
        labelled_BP, live_BP = y_BP < ideal_GK.shape[1], y_BP < live
        without_center_BP = labelled_BP & ~live_BP
        own_BP = y_BP.where(live_BP, torch.where(without_center_BP, L, last))
        ideal_BP = _padded(ideal_GK).expand(len(y_BP), -1).gather(1, y_BP)
        ideal_BP = ideal_BP.where(live_BP, columns.bias_GN.expand(len(y_BP), -1).gather(1, own_BP))
        others_G1 = (1 - 1 / rest_G.clamp(min=1)).unsqueeze(-1)
        keep_BP = torch.where(without_center_BP, others_G1, 0.0)
        labelled_BP = labelled_BP.to(ideal_GK.dtype)
        counted_BP = torch.ones_like(labelled_BP) if count_unlabelled else labelled_BP
        own_BP1, ideal_BP1, keep_BP1 = own_BP.unsqueeze(-1), ideal_BP.unsqueeze(-1), keep_BP.unsqueeze(-1)
        return cls(y_BP, own_BP1, ideal_BP1, keep_BP1, labelled_BP, counted_BP)


def _dependency(
    similarity_TN: Tensor, threshold_N: Tensor, own_T1: Tensor, keep_T1: Tensor, counted_T: Tensor, squares: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Eqs. 5, 6 and 11 to 13 for some rows.

    Returns:
        What each row adds to the total (T,), the derivative of the row to the similarities (T, N), and that of what it
        adds to the row (T,).
    """
    attention_TN = similarity_TN.softmax(1)
    excess_TN = (attention_TN - threshold_N).relu_()
    excess_TN.scatter_(1, own_T1, excess_TN.gather(1, own_T1).mul_(keep_T1))
    row_T = excess_TN.sum(1)
    above_TN = excess_TN.sign_()
    above_TN.scatter_(1, own_T1, above_TN.gather(1, own_T1).mul_(keep_T1))
    mean_T1 = (attention_TN * above_TN).sum(1, keepdim=True)
    slope_TN = above_TN.sub_(mean_T1).mul_(attention_TN)
    if squares:
        return row_T.square() * counted_T, slope_TN, 2 * row_T * counted_T
    inside_T = (row_T >= CLIP) & (row_T <= 1 - CLIP)
    return row_T.clamp(CLIP, 1 - CLIP) * counted_T, slope_TN, counted_T * inside_T


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


class _Buffer:
    """Memory for what each chunk looks up: new memory would cost more than the looking up."""

    def __init__(self) -> None:
        self.memory: Tensor | None = None

    def look_up(self, table_KC: Tensor, row_T: Tensor, like_TC: Tensor) -> Tensor:
        """Rows of a table, (T, C) in memory as ``like_TC`` is, overwritten by the next call."""
        by_pixel = like_TC.stride(1) == 1
        size = like_TC.shape if by_pixel else like_TC.shape[::-1]
        if self.memory is None or self.memory.shape != size:
            self.memory = table_KC.new_empty(size)
        if by_pixel:
            return torch.index_select(table_KC, 0, row_T, out=self.memory)
        return torch.index_select(table_KC.t().contiguous(), 1, row_T, out=self.memory).t()


def _chunks(x_BCHW: Tensor, columns: int, by_pixel: bool = False) -> Iterator[tuple[int, int, int, Tensor]]:
    """Image, first and last pixel, and the features there, in at least float32; to be used before the next.

    Args:
        x_BCHW: features, contiguous or channels last.
        columns: numbers that are computed for each pixel.
        by_pixel: have a pixel's features side by side whatever the layout is.

    Yields:
        The features as (T, C), in memory channel by channel where ``x_BCHW`` is.
    """
    B, C, H, W = x_BCHW.shape
    P, wide = H * W, wide_dtype(x_BCHW)
    x_BPC = x_BCHW.flatten(2).transpose(1, 2)
    lies_by_pixel = x_BPC.stride(2) == 1
    most = max((_CHUNK_CPU if x_BCHW.device.type == "cpu" else _CHUNK) // max(C, columns), 16)
    size = -(-P // -(-P // most))  # of equal chunks
    turn, widen = by_pixel and not lies_by_pixel, x_BCHW.dtype != wide
    rows = x_BCHW.new_empty(C * size, dtype=wide) if turn or (widen and not lies_by_pixel) else None
    pixels = x_BCHW.new_empty(size, C, dtype=wide) if turn or (widen and lies_by_pixel) else None
    for b in range(B):
        for start in range(0, P, size):
            x_TC = x_BPC[b, start : start + size]
            T = len(x_TC)
            if rows is not None:  # before they are turned, for that would jump through memory
                x_TC = rows[: C * T].view(C, T).copy_(x_TC.t()).t()
            if pixels is not None:
                x_TC = pixels[:T].copy_(x_TC)
            yield b, start, start + T, x_TC


def _similarity(x_TC: Tensor, mu_CN: Tensor, bias_N: Tensor) -> Tensor:
    """``x @ mu + bias``, multiplied in the order in which the features lie."""
    if x_TC.stride(1) == 1:
        return torch.mm(x_TC, mu_CN).add_(bias_N)
    return torch.mm(mu_CN.t(), x_TC.t()).t().add(bias_N).contiguous()


def _add_product(out_TC: Tensor, slope_TL: Tensor, push_LC: Tensor) -> None:
    """``out += slope @ push``, multiplied in the order in which ``out`` lies."""
    if out_TC.stride(1) == 1:
        out_TC.addmm_(slope_TL, push_LC)
    else:
        out_TC.t().addmm_(push_LC.t(), slope_TL.t())


def _leading(live: Tensor, like_GK: Tensor) -> int:
    """How many columns to compute: those with a center, where that number can be had without waiting for a device."""
    return int(live) if live.device.type == "cpu" else like_GK.shape[1]


def _lowest(like: Tensor) -> float:
    """In place of minus infinity, with which a row in which nothing takes part would be NaN; leaves room to add to."""
    return torch.finfo(like.dtype).min / 2


def _padded(table: Tensor) -> Tensor:
    """A table over classes (G, K, ...) with a row of zeros behind, for pixels without a label."""
    return torch.cat([table, torch.zeros_like(table[:, :1])], 1)


def _accurate_zeros(size: int, like: Tensor) -> Tensor:
    """To sum up in."""
    return like.new_zeros(size, dtype=like.dtype if like.device.type == "mps" else torch.float64)
