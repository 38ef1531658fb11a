"""CAR's linear layer in front of a layer of somebody's network, and both as one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def create_linear_map(layer: Layer, identity: bool) -> nn.Conv2d | nn.Linear:
    """A linear layer of as many channels as ``layer`` reads, to stand in front of it.

    A 1x1 convolution, or ``nn.Linear`` in front of one. It has a bias only where `fold_linear_map` can hand it on
    exactly: where ``layer`` has one itself and pads with nothing that the bias would have reached.

    Args:
        layer: as `why_not_foldable` accepts it.
        identity: start as the identity; else with Glorot's uniform weights, as the authors do.
    """
    like: dict[str, Any] = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    bias = layer.bias is not None and not _pads_with_zeros(layer)
    linear: nn.Conv2d | nn.Linear
    if isinstance(layer, nn.Linear):
        linear = nn.Linear(layer.in_features, layer.in_features, bias, **like)
    else:
        linear = nn.Conv2d(layer.in_channels, layer.in_channels, 1, bias=bias, **like)
    if identity:
        become_identity(linear)
    else:
        nn.init.xavier_uniform_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    return linear


@torch.no_grad()
def become_identity(linear: nn.Conv2d | nn.Linear) -> None:
    """Set the weights to the identity."""
    linear.weight.copy_(torch.eye(linear.weight.shape[0]).reshape(linear.weight.shape))
    if linear.bias is not None:
        linear.bias.zero_()


@torch.no_grad()
def fold_linear_map(linear: nn.Conv2d | nn.Linear, layer: Layer) -> None:
    """Let ``layer`` alone do what ``linear`` and ``layer`` did; computed in float64.

    W'[o, n] = sum_c W[o, c] A[c, n] at every place of the kernel, b' = b + sum of W[o, c] a[c] over c and the kernel,
    with A, a the linear layer's weight and bias.
    """
    weight, inner = _wide(layer.weight), _wide(linear.weight).flatten(1)
    if isinstance(layer, nn.ConvTranspose2d):
        folded = torch.einsum("coij,cn->noij", weight, inner)
    else:
        folded = torch.einsum("oc...,cn->on...", weight, inner)
    if linear.bias is not None and layer.bias is not None:
        over_kernel_OC = weight.unsqueeze(-1).flatten(2).sum(2)
        layer.bias.copy_(_wide(layer.bias) + over_kernel_OC @ _wide(linear.bias))
    layer.weight.copy_(folded)


def _wide(x: Tensor) -> Tensor:
    """In float64, which Apple's GPUs do not have."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def why_not_foldable(layer: Layer) -> str | None:
    """What keeps a linear layer in front of ``layer`` from being merged into it; None: nothing."""
    plain: tuple[Callable[..., Tensor], ...] = (nn.Conv2d.forward, nn.ConvTranspose2d.forward, nn.Linear.forward)
    own_conv = not isinstance(layer, nn.Linear | nn.ConvTranspose2d) and (
        type(layer)._conv_forward is not nn.Conv2d._conv_forward
    )
    if type(layer).forward not in plain or own_conv:
        return f"{type(layer).__name__} computes something of its own"
    if not isinstance(layer, nn.Linear) and layer.groups != 1:
        return f"it is a convolution in {layer.groups} groups"
    computed = any(getattr(layer, n) is not None and layer._parameters.get(n) is None for n in ("weight", "bias"))
    if is_parametrized(layer) or computed:
        return "its weight or bias is computed from others (weight or spectral norm, pruning)"
    if isinstance(layer.weight, UninitializedParameter):
        return "it has no weight yet (run the network once)"
    return None


def _pads_with_zeros(layer: Layer) -> bool:
    """Whether some output does not see all of the kernel's inputs, so that a constant input gives no constant."""
    if isinstance(layer, nn.ConvTranspose2d):
        return True  # outputs see different numbers of inputs everywhere, not only at the border
    if isinstance(layer, nn.Linear) or layer.padding_mode != "zeros" or layer.padding == "valid":
        return False
    if layer.padding == "same":
        return any(side > 1 for side in layer.kernel_size)
    return any(layer.padding)
