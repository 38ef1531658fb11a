"""The three terms in three passes over the features, with their gradient in closed form.

One pass reads the features for the class sums, one for similarities, margins and distances, and one reads them again
and writes the gradient; see :mod:`classaware.regularization.passes`. Between forward and backward stay the features
themselves, and P x K slopes; nothing else of their size. Values and gradients are the reference's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from classaware.regularization.centers import class_centers
from classaware.regularization.distributed import processes
from classaware.regularization.labels import split_valid
from classaware.regularization.losses import Mean, takes_part
from classaware.regularization.passes import centers_pass, class_counts, class_sums, dense, gradient_pass, pixel_pass
from classaware.regularization.reference import Running, Settings, joint_means, joint_sums, losses_of, reference_terms

# Below this many classes, looking for those that are in the batch costs more than it saves.
_COMPACT = 64


def fusible(x: Tensor, y: Tensor) -> bool:
    """Whether autograd alone is at work: a function transform (vmap, grad, jvp) differentiates the reference."""
    if torch.autograd.forward_ad._current_level >= 0:
        return False
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return torch.compiler.is_compiling() or not (wrapped(x) or wrapped(y))


class _Classes(NamedTuple):
    """The classes, those that have a center first.

    Attributes:
        mu_GKC: centers; G is 1 where the batch shares them.
        slope_GK1: derivative of a center to the sum of its pixels in this process.
        part_GK: whether it takes part in softmaxes and rows.
        rest_G: how many of those that take part have no center: their similarities are zero.
        live: int32 (), number of classes with a center.
        y_BP: int32 labels in this order; K for none.
    """

    mu_GKC: Tensor
    slope_GK1: Tensor
    part_GK: Tensor
    rest_G: Tensor
    live: Tensor
    y_BP: Tensor


def fused_terms(x_BCHW: Tensor, y_BHW: Tensor, settings: Settings, running: Running | None) -> tuple[Tensor, ...]:
    """What :func:`reference_terms` returns, for the same arguments."""
    with torch.no_grad():
        terms_3, saved, frozen = _forward(dense(x_BCHW.detach()), y_BHW, settings, running)
    if not (torch.is_grad_enabled() and x_BCHW.requires_grad):
        return tuple(term.clone() for term in terms_3)
    again: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    if not torch.compiler.is_compiling():
        labels_BHW = y_BHW.clone()  # whatever happens to the others until then

        def again(x_BCHW: Tensor) -> tuple[Tensor, ...]:
            return reference_terms(x_BCHW, labels_BHW, settings, frozen)

    squares = settings.knobs.reduction == "mean_of_squares"
    return _Terms.apply(x_BCHW, terms_3, squares, again, *saved)


def _forward(
    x_BCHW: Tensor, y_BHW: Tensor, settings: Settings, running: Running | None
) -> tuple[Tensor, list[Tensor], Running | None]:
    """The terms (3,), what the gradient is made of, and ``running`` as it was for this call."""
    K, C = settings.num_classes, x_BCHW.shape[1]
    squares = settings.knobs.reduction == "mean_of_squares"
    all_count = settings.knobs.ignored == "count"
    y_BP, valid_BP = split_valid(y_BHW.flatten(1), K, settings.ignore_index)
    y_BP = y_BP.where(valid_BP, K).to(torch.int32)
    classes, frozen = _classes(x_BCHW, y_BP, settings, running)
    joint = processes(settings.group) if settings.reduce == "global" else 1

    others_G = (classes.part_GK.sum(-1) - 1).clamp(min=1).to(classes.mu_GKC.dtype)
    ideal_GK = classes.mu_GKC.square().sum(-1)
    scale = C**-0.5 if settings.knobs.c2p_scale == "sqrt_channels" else 1.0
    rows, dmu_GKC = centers_pass(
        classes.mu_GKC, classes.part_GK, classes.rest_G, settings.c2c_margin / others_G, classes.live, C**-0.5, squares
    )
    totals_2, slope_BPL, dropped_BC = pixel_pass(
        x_BCHW,
        classes.y_BP,
        classes.mu_GKC,
        ideal_GK * scale,
        classes.part_GK,
        classes.rest_G,
        settings.c2p_margin / others_G,
        classes.live,
        scale,
        squares,
        all_count,
        settings.drop_max,
        # A number that cannot be known when code is compiled, nor on a GPU without waiting for it.
        int(classes.live) if _is_known(classes.live) else K,
    )
    pixels_B = torch.full_like(valid_BP[:, 0], y_BP.shape[1], dtype=torch.long) if all_count else valid_BP.sum(1)
    c2p = Mean(totals_2[1], pixels_B.sum())
    intra = Mean(totals_2[0], ((pixels_B - 1).clamp(min=0) if settings.drop_max else pixels_B).sum() * C)
    c2c = Mean(rows, classes.part_GK.sum())
    means = joint_means(intra, c2c, c2p, settings)
    losses = losses_of(*means, settings.knobs)
    # The average over processes takes their number away again; the centers of a joint batch belong to all of them.
    # The 2 is the derivative of a square, whose other part is the distance.
    own_centers = settings.centers == "image"
    factors = (2 * joint if squares else joint, joint if own_centers else processes(settings.group), joint)
    derivatives = _derivatives(means, losses, squares).unbind()
    coefs_3 = torch.stack([derivative * factor for derivative, factor in zip(derivatives, factors, strict=True)])
    dsums_GKC = dmu_GKC * classes.slope_GK1
    saved = [classes.y_BP, classes.mu_GKC, slope_BPL, dsums_GKC, coefs_3, classes.live, dropped_BC]
    return torch.stack(losses), saved, frozen


def _classes(
    x_BCHW: Tensor, y_BP: Tensor, settings: Settings, running: Running | None
) -> tuple[_Classes, Running | None]:
    """Centers of all classes, in the order in which the passes take them."""
    K = settings.num_classes
    sums_GKC = class_sums(x_BCHW, y_BP, K, settings.centers == "image")
    sums_GKC, counts_GK = joint_sums(sums_GKC, class_counts(y_BP, K).to(sums_GKC.dtype), settings)
    mu_GKC, present_GK = class_centers(sums_GKC, counts_GK), counts_GK > 0
    slope_GK = 1 / counts_GK.clamp(min=1)
    frozen: Running | None = None
    if running is not None:
        new_KC, seen_K, gain_K = running(mu_GKC[0], present_GK[0])
        gain_K1 = gain_K.unsqueeze(-1)

        def taken_in(mu_KC: Tensor) -> Tensor:
            return (gain_K1 * mu_KC).where(gain_K1 > 0, 0)

        fixed_KC = new_KC - taken_in(mu_GKC[0])

        def frozen(mu_KC: Tensor, present_K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return fixed_KC + taken_in(mu_KC), seen_K, gain_K

        mu_GKC, present_GK = new_KC.unsqueeze(0), seen_K.unsqueeze(0)
        slope_GK = slope_GK * gain_K
    part_GK = takes_part(present_GK, settings.knobs)
    live = torch.full((), K, dtype=torch.int32, device=y_BP.device)
    if K > _COMPACT:
        present_K = present_GK.any(0)
        live = present_K.sum(dtype=torch.int32).clamp(min=1)
        order_K = present_K.argsort(descending=True, stable=True)
        ranks_K1 = torch.full((K + 1,), K, dtype=torch.int32, device=y_BP.device)
        ranks_K1[order_K] = torch.arange(K, dtype=torch.int32, device=y_BP.device)
        mu_GKC, slope_GK, part_GK = mu_GKC[:, order_K], slope_GK[:, order_K], part_GK[:, order_K]
        y_BP = ranks_K1[y_BP.long()]
    rest_G = (part_GK & (torch.arange(K, device=y_BP.device) >= live)).sum(-1).to(mu_GKC.dtype)
    return _Classes(mu_GKC.contiguous(), slope_GK.unsqueeze(-1), part_GK, rest_G, live, y_BP), frozen


def _is_known(value: Tensor) -> bool:
    """Whether a look at it is free: not in compiled or traced code, nor on a GPU, which would be waited for."""
    traced = torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0
    return value.device.type == "cpu" and not traced


def _derivatives(means: tuple[Mean, Mean, Mean], losses: tuple[Tensor, Tensor, Tensor], squares: bool) -> Tensor:
    """Of the losses to this process's totals, (3,)."""
    totals_3 = torch.stack([mean.total for mean in means])
    counts_3 = torch.stack([mean.number.to(totals_3.dtype) for mean in means]).clamp(min=1)
    if squares:
        return 1 / counts_3
    derivatives_3 = 2 * totals_3 / counts_3.square()
    floored = losses[0] > (totals_3[0] / counts_3[0]).square()
    return derivatives_3.masked_fill(torch.stack([floored, torch.zeros_like(floored), torch.zeros_like(floored)]), 0)


class _Terms(torch.autograd.Function):
    """Gives the terms their gradient to the features."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, terms_3: Tensor, squares: bool, again: Any, *saved: Tensor) -> tuple[Tensor, ...]:
        ctx.squares, ctx.again = squares, again
        ctx.save_for_backward(x, *saved)
        # Of their own, not views of one tensor: whoever uses a term may add to it in place.
        return tuple(term.clone() for term in terms_3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y_BP, mu_GKC, slope_BPL, dsums_GKC, coefs_3, live, dropped_BC = ctx.saved_tensors
        unused = (None,) * 10
        gradient_3 = torch.stack(gradients)
        if not torch.compiler.is_compiling() and torch.is_grad_enabled():  # the gradient is to be differentiated again
            terms = torch.stack(ctx.again(x))
            return torch.autograd.grad(terms, x, gradient_3, create_graph=True)[0], *unused
        coefs_3 = coefs_3 * gradient_3
        dsums_GKC = dsums_GKC * coefs_3[1]
        gradient = gradient_pass(
            x.detach(), y_BP, mu_GKC, slope_BPL, dsums_GKC, coefs_3[::2].contiguous(), live, dropped_BC, ctx.squares
        )
        return gradient, *unused
