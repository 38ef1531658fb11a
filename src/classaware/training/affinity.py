"""CPNet's loss on which positions share their class: Yu et al., "Context Prior for Scene Segmentation", CVPR 2020."""

from math import isqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from classaware.errors import InputError
from classaware.regularization.distributed import sum_over_processes
from classaware.regularization.labels import resize_labels
from classaware.regularization.precision import at_least_float32

Affinity = Literal["published", "released"]


def affinity_loss(affinity: Tensor, labels: Tensor, ignore_index: int, form: Affinity = "published") -> Tensor:
    """Unary and global terms of the affinity loss, weighted 1 and 1 (the paper's λ_u and λ_g).

    ``published``, with p the sigmoid of ``affinity`` and a the ideal map: the mean binary cross-entropy of p_ji (Eq. 4)
    minus the means over positions j of log precision, log recall and log specificity (Eqs. 5 to 8). Positions without
    a label take no part, neither as j nor as i.

    ``released`` is what the CAR authors' code computes: prediction and target of the cross-entropy are swapped (a is
    the logit, p the target), each ratio r enters as softplus(-r) and the three together are divided by √N, and
    unlabelled positions are a class of their own.

    In a distributed run the means are those of the joint batch, in all processes, which all have to call it, as in
    :func:`~classaware.training.loss.cross_entropy`.

    Args:
        affinity: (B, N, N) logits; row j holds the relations of position j of an (√N, √N) grid.
        labels: (B, H, W) integers, brought to the grid by nearest resizing with aligned corners.
        ignore_index: label of pixels without a class.
        form: which of the two.

    Returns:
        A scalar in float32; zero with a graph where nothing is labelled.

    Raises:
        InputError: N is no square, or the shapes do not match.
    """
    positions = affinity.shape[-1]
    side = isqrt(positions)
    if affinity.ndim != 3 or affinity.shape[-2] != positions or side**2 != positions:
        raise InputError(
            f"affinity: shape {tuple(affinity.shape)} is not (B, N, N) with N the square of a grid's side."
        )
    if labels.ndim != 3 or len(labels) != len(affinity):
        raise InputError(f"labels: shape {tuple(labels.shape)} is not (B, H, W) with the affinity's B={len(affinity)}.")
    y_BP = resize_labels(labels, (side, side)).flatten(1)
    same_BPP = y_BP.unsqueeze(1) == y_BP.unsqueeze(2)
    with torch.autocast(affinity.device.type, enabled=False):
        logits_BPP = at_least_float32(affinity)
        if form == "published":
            return _published(logits_BPP, same_BPP, y_BP != ignore_index)
        return _released(logits_BPP.sigmoid(), same_BPP.to(logits_BPP.dtype), side)


def _published(logits_BPP: Tensor, same_BPP: Tensor, valid_BP: Tensor) -> Tensor:
    valid_BPP = valid_BP.unsqueeze(1) & valid_BP.unsqueeze(2)
    ideal_BPP = (same_BPP & valid_BPP).to(logits_BPP.dtype)
    entropy_BPP = F.binary_cross_entropy_with_logits(logits_BPP, ideal_BPP, reduction="none")
    unary = (entropy_BPP * valid_BPP).sum()
    prior_BPP = logits_BPP.sigmoid() * valid_BPP
    hits_BP = (ideal_BPP * prior_BPP).sum(-1)
    others_BPP = valid_BPP.to(logits_BPP.dtype) - ideal_BPP
    # A position alone with its class everywhere has no others to tell it from: nothing to lose there.
    # Not 1 - prior, which is 0 in float32 where the prior is sure.
    specificity_BP = _ratio(((-logits_BPP).sigmoid() * others_BPP).sum(-1), others_BPP.sum(-1))
    logs_BP = _ratio(hits_BP, prior_BPP.sum(-1)).log() + _ratio(hits_BP, ideal_BPP.sum(-1)).log() + specificity_BP.log()
    sums = (unary, valid_BPP.sum(), (logs_BP * valid_BP).sum(), valid_BP.sum())
    unary, pairs, logs, positions = _joint(sums)
    return unary / pairs.clamp(min=1) - logs / positions.clamp(min=1)


def _released(prior_BPP: Tensor, ideal_BPP: Tensor, side: int) -> Tensor:
    unary = F.binary_cross_entropy_with_logits(ideal_BPP, prior_BPP, reduction="sum")
    hits_BP = (ideal_BPP * prior_BPP).sum(-1)
    others_BPP = 1 - ideal_BPP
    ratios = (
        _ratio(hits_BP, ideal_BPP.sum(-1)),
        _ratio(((1 - prior_BPP) * others_BPP).sum(-1), others_BPP.sum(-1)),
        _ratio(hits_BP, prior_BPP.sum(-1)),
    )
    ratio = torch.stack([F.softplus(-each) for each in ratios]).sum()
    unary, ratio, images = _joint((unary, ratio, unary.new_full((), len(prior_BPP))))
    return unary / (images * side**4) + ratio / (images * side**3)


def _joint(sums: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Sums over all processes, in one collective."""
    return sum_over_processes(torch.stack([each.to(sums[0].dtype) for each in sums])).unbind()


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, 1 where there is nothing to divide."""
    tiny = torch.finfo(whole.dtype).tiny
    return part.clamp(min=tiny) / whole.clamp(min=tiny)
