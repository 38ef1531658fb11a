"""Attention over positions whose memory grows with the positions, not with their square."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Up to so many positions the whole map of weights (4 MiB an image) is cheaper than computing it once a slice.
_SMALL = 1024


def attention(query_BPD: Tensor, key_BPD: Tensor, value_BPC: Tensor) -> Tensor:
    """softmax(query · key) over all positions, without a scale, times value: (B, P, C).

    The fused kernels of ``scaled_dot_product_attention`` never hold the (P, P) weights, but want values as narrow as
    the queries. So the values are cut into slices of D channels that share queries and keys.
    """
    positions, depth = query_BPD.shape[1:]
    if torch.compiler.is_exporting():  # ONNX's form has a dimension of attention heads; nothing may be asked of sizes
        query_1BPD, key_1BPD, value_1BPC = (x.unsqueeze(0) for x in (query_BPD, key_BPD, value_BPC))
        return F.scaled_dot_product_attention(query_1BPD, key_1BPD, value_1BPC, scale=1.0).squeeze(0)
    if positions <= _SMALL:
        return F.scaled_dot_product_attention(query_BPD, key_BPD, value_BPC, scale=1.0)
    # Where the last dimension has gaps (a transposed NCHW map), the fused kernels are silently not taken.
    query_BPD, key_BPD, value_BPC = query_BPD.contiguous(), key_BPD.contiguous(), value_BPC.contiguous()
    channels = value_BPC.shape[-1]
    slices = -(-channels // depth)
    padded_BPC = F.pad(value_BPC, (0, slices * depth - channels))
    value_BSPD = padded_BPC.unflatten(2, (slices, depth)).transpose(1, 2)
    query_BSPD, key_BSPD = (x.unsqueeze(1).expand(-1, slices, -1, -1) for x in (query_BPD, key_BPD))
    context_BSPD = F.scaled_dot_product_attention(query_BSPD, key_BSPD, value_BSPD, scale=1.0)
    return context_BSPD.transpose(1, 2).flatten(2)[..., :channels]


def criss_cross_attention(query_BDHW: Tensor, key_BDHW: Tensor, value_BCHW: Tensor) -> Tensor:
    """softmax(query · key) over the row and the column of every position, times value: (B, C, H, W).

    The position itself takes part once, with its row. Memory is HW(H + W) an image.
    """
    if torch.compiler.is_exporting():
        return _exported_criss_cross(query_BDHW, key_BDHW, value_BCHW)
    height = query_BDHW.shape[-2]
    own = torch.eye(height, dtype=torch.bool, device=query_BDHW.device).unsqueeze(1)
    column_BHWG = torch.einsum("bdhw,bdgw->bhwg", query_BDHW, key_BDHW).masked_fill(own, float("-inf"))
    row_BHWV = torch.einsum("bdhw,bdhv->bhwv", query_BDHW, key_BDHW)
    weights = torch.cat([column_BHWG, row_BHWV], -1).softmax(-1).to(value_BCHW.dtype)
    from_column = torch.einsum("bhwg,bcgw->bchw", weights[..., :height], value_BCHW)
    return from_column + torch.einsum("bhwv,bchv->bchw", weights[..., height:], value_BCHW)


def _exported_criss_cross(query_BDHW: Tensor, key_BDHW: Tensor, value_BCHW: Tensor) -> Tensor:
    """The same as products of matrices.

    Einsum, and sums of tensors whose dimensions lie in different orders, would ask about sizes that are free.
    """
    height = query_BDHW.shape[-2]
    own_H1H = torch.eye(height, dtype=torch.bool, device=query_BDHW.device).unsqueeze(1)
    column_BHWH = (query_BDHW.permute(0, 3, 2, 1) @ key_BDHW.permute(0, 3, 1, 2)).transpose(1, 2).contiguous()
    row_BHWW = query_BDHW.permute(0, 2, 3, 1) @ key_BDHW.permute(0, 2, 1, 3)
    weights = torch.cat([column_BHWH.masked_fill(own_H1H, float("-inf")), row_BHWW], -1).softmax(-1)
    weights = weights.to(value_BCHW.dtype)
    from_column_BWHC = weights[..., :height].transpose(1, 2) @ value_BCHW.permute(0, 3, 2, 1)
    from_row_BHWC = weights[..., height:] @ value_BCHW.permute(0, 2, 3, 1)
    return from_column_BWHC.permute(0, 3, 2, 1).contiguous() + from_row_BHWC.permute(0, 3, 1, 2).contiguous()
