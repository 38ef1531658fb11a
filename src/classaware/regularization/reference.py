"""The three terms with autograd alone: what every faster way must equal, in derivatives of any order."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from classaware.regularization import losses
from classaware.regularization.centers import class_centers, class_sums
from classaware.regularization.distributed import processes, sum_over_processes
from classaware.regularization.labels import one_hot, split_valid
from classaware.regularization.losses import Mean
from classaware.regularization.precision import at_least_float32
from classaware.regularization.presets import Centers, Knobs, Reduce

# (batch's centers (K, C), classes in it (K,)) to (centers to use, classes that have one, derivative of the first).
Running = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Settings(NamedTuple):
    """What the terms depend on beside features and labels; see :class:`ClassAwareRegularization`."""

    num_classes: int
    ignore_index: int
    knobs: Knobs
    c2c_margin: float
    c2p_margin: float
    centers: Centers
    drop_max: bool
    reduce: Reduce
    group: ProcessGroup | None


def reference_terms(x_BCHW: Tensor, y_BHW: Tensor, settings: Settings, running: Running | None) -> tuple[Tensor, ...]:
    """intra_c2p, inter_c2c and inter_c2p, unweighted.

    Args:
        x_BCHW: features, computed with in at least float32.
        y_BHW: labels at the features' resolution.
        settings: of the regularizer.
        running: puts running centers in the place of the batch's; None: there are none.
    """
    knobs = settings.knobs
    x_BPC = at_least_float32(x_BCHW).flatten(2).transpose(1, 2)
    y_BP, valid_BP = split_valid(y_BHW.flatten(1), settings.num_classes, settings.ignore_index)
    own_BPK = one_hot(y_BP, valid_BP, settings.num_classes)
    mu_BKC, present_BK = _centers(*class_sums(x_BPC, own_BPK), settings, running)
    intra = losses.intra_c2p(x_BPC, y_BP, valid_BP, mu_BKC, knobs, settings.drop_max)
    c2c = losses.inter_c2c(mu_BKC, mu_BKC, present_BK, settings.c2c_margin, knobs)
    c2p = losses.inter_c2p(x_BPC, own_BPK, valid_BP, mu_BKC, present_BK, settings.c2p_margin, knobs)
    return losses_of(*joint_means(intra, c2c, c2p, settings), knobs)


def joint_means(intra: Mean, c2c: Mean, c2p: Mean, settings: Settings) -> tuple[Mean, Mean, Mean]:
    """The means of this process, or of all processes' pixels under ``reduce="global"`` (one collective)."""
    if settings.reduce == "replica" or processes(settings.group) == 1:
        return intra, c2c, c2p
    # Centers of the joint batch are the same in all processes, and so is what is computed of them alone.
    means = [intra, c2p] + [c2c] * (settings.centers == "image")
    packed = torch.stack([side.to(intra.total.dtype) for mean in means for side in mean])
    sums = sum_over_processes(packed, settings.group, alike=False).unbind()
    return Mean(*sums[:2]), Mean(*sums[4:]) if settings.centers == "image" else c2c, Mean(*sums[2:4])


def losses_of(intra: Mean, c2c: Mean, c2p: Mean, knobs: Knobs) -> tuple[Tensor, Tensor, Tensor]:
    """intra_c2p, inter_c2c and inter_c2p."""
    floored = losses.with_floor(losses.f_mse(intra, knobs), intra, knobs)
    return floored, losses.f_mse(c2c, knobs), losses.f_mse(c2p, knobs)


def joint_sums(sums_BKC: Tensor, counts_BK: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Sums and counts over whatever shares its centers: an image, or the batch of all processes (one collective)."""
    if settings.centers == "image":
        return sums_BKC, counts_BK
    sums_BKC, counts_BK = sums_BKC.sum(0, keepdim=True), counts_BK.sum(0, keepdim=True)
    if processes(settings.group) == 1:
        return sums_BKC, counts_BK
    packed = torch.cat([sums_BKC, counts_BK.unsqueeze(-1)], -1)
    packed = sum_over_processes(packed, settings.group, alike=False)
    return packed[..., :-1], packed[..., -1]


def _centers(sums_BKC: Tensor, counts_BK: Tensor, settings: Settings, running: Running | None) -> tuple[Tensor, Tensor]:
    """Class centers and which classes have one; a leading dimension of 1 where the batch shares them."""
    sums_BKC, counts_BK = joint_sums(sums_BKC, counts_BK, settings)
    mu_BKC, present_BK = class_centers(sums_BKC, counts_BK), counts_BK > 0
    if running is None:
        return mu_BKC, present_BK
    mu_KC, seen_K, _ = running(mu_BKC[0], present_BK[0])
    return mu_KC.unsqueeze(0), seen_K.unsqueeze(0)
