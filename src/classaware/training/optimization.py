"""Optimizers, parameter groups and the poly schedule."""

from typing import Literal, cast

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from classaware.models import CCNetHead, CPNetHead, Head, OCRHead, Projection, Segmenter, UPerNetHead

Decay = Literal["released", "kernels"]

_FUSED_DEVICES = ("cpu", "cuda")

# Layers that the authors' code builds too late to be reached by its weight decay, beside those that CAR adds.
_BUILT_LATE: dict[type[Head], tuple[str, ...]] = {
    CCNetHead: ("head.attention.",),
    CPNetHead: ("head.aggregation.rows_first.", "head.aggregation.columns_first."),
    OCRHead: ("head.coarse.", "head.up.", "classifier."),
    UPerNetHead: ("head.laterals.", "head.smooth."),
}


def parameter_groups(
    network: Segmenter, lr: float, weight_decay: float, decay: Decay, backbone_lr_scale: float
) -> list[dict[str, object]]:
    """Up to four groups: backbone or the rest, with weight decay or without.

    Biases and norms never decay. ``kernels`` decays every convolution's and matrix's weights; ``released`` those
    that decay in the authors' code: the head's own convolutions and the classifier, but neither the backbone, nor
    what CAR adds (its linear convolution, and the 1x1 projection behind it), nor some layers of some heads, nor JPU.

    Args:
        network: whose parameters are grouped.
        lr: learning rate of everything but the backbone.
        weight_decay: PyTorch's, twice the authors' factor (their penalty has no 1/2).
        decay: which weights decay.
        backbone_lr_scale: the backbone's learning rate over ``lr``.
    """
    without = _without_decay(network) if decay == "released" else set()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        in_backbone = name.startswith("backbone.")
        # By its name, too: Swin's tables of relative positions are matrices, but no kernels.
        kernel = parameter.ndim > 1 and name.endswith("weight") and parameter not in without
        decays = kernel and not (decay == "released" and in_backbone)
        groups.setdefault((in_backbone, decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": lr * (backbone_lr_scale if in_backbone else 1.0),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in groups.items()
    ]


def _without_decay(network: Segmenter) -> set[nn.Parameter]:
    """What does not decay in the authors' code although it belongs to no backbone."""
    late = next((names for head, names in _BUILT_LATE.items() if isinstance(network.head, head)), ())
    undecayed = {p for name, p in network.named_parameters() if name.startswith((*late, "neck."))}
    for projection in network.projections:
        if isinstance(projection, Projection) and projection.linear is not None:
            undecayed |= set(projection.linear.parameters())
            if network.projection_kind == "1x1":  # the head's own projection decays
                undecayed |= set(projection.conv.parameters())
    return undecayed


def create_optimizer(
    name: Literal["sgd", "adamw"], groups: list[dict[str, object]], momentum: float, fused: bool = False
) -> Optimizer:
    """SGD with momentum (no Nesterov), or AdamW with torch's betas.

    ``fused`` does the whole step in one kernel where the device has one (CPU and CUDA); checkpoints of either kind
    serve the other.
    """
    fused = fused and all(p.device.type in _FUSED_DEVICES for group in groups for p in _parameters(group))
    if name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=momentum, fused=fused)
    return torch.optim.AdamW(groups, fused=fused)


def _parameters(group: dict[str, object]) -> list[nn.Parameter]:
    return cast(list[nn.Parameter], group["params"])


def poly_schedule(optimizer: Optimizer, max_steps: int, power: float, warmup_steps: int) -> LambdaLR:
    """lr * (1 - step / max_steps)^power, ending at 0; a linear rise before it where ``warmup_steps`` > 0."""

    def factor(step: int) -> float:
        warmup = min((step + 1) / (warmup_steps + 1), 1.0)
        return warmup * (1 - min(step, max_steps) / max_steps) ** power

    return LambdaLR(optimizer, factor)
