"""What stands between a head and its classifier: CAR's linear convolution, the projection, and both folded into one."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.layers import Initialization, conv_norm_act, initialize, own_draws
from classaware.regularization.linear_map import become_identity

ProjectionKind = Literal["3x3", "1x1"]


class Projection(nn.Module):
    """Features to the tap that CAR looks at and on to what the classifier reads.

    With ``car`` a 1x1 linear convolution (bias, neither norm nor activation) comes first and its output is the tap;
    without, the tap is the input. Then convolution, batch norm, ReLU. Loads the state dict of a
    :class:`FoldedProjection` too, to train on from it.

    Args:
        in_channels: channels of the features.
        tap_channels: channels of the linear convolution.
        kernel_size: of the convolution after it.
        out_channels: of the convolution after it.
        car: whether there is a linear convolution.
        identity: it begins as the identity, so that the network begins as the one without.
    """

    def __init__(
        self,
        in_channels: int,
        tap_channels: int,
        kernel_size: int,
        out_channels: int,
        car: bool,
        identity: bool = False,
    ) -> None:
        super().__init__()
        if car and identity and in_channels != tap_channels:
            raise InputError(
                f"identity=true needs a tap as wide as the features, and this head has {tap_channels} of "
                f"{in_channels} channels: leave it out, or take FCNHead, SelfAttentionHead or DANetHead."
            )
        self.out_channels = out_channels
        self.identity = identity
        with own_draws():
            self.linear = nn.Conv2d(in_channels, tap_channels, 1) if car else None
        self.conv = conv_norm_act(tap_channels if car else in_channels, out_channels, kernel_size)
        self.initialize()

    def initialize(self, scheme: Initialization = "glorot") -> None:
        """As :func:`classaware.models.layers.initialize`; the convolution's kernel is the same with and without CAR."""
        for part in (self.linear or nn.Identity(), self.conv):
            with own_draws():
                initialize(part, scheme)
        if self.linear is not None and self.identity:
            become_identity(self.linear)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, in_channels, h, w) to the tap (B, tap_channels, h, w) and the projected (B, out_channels, h, w)."""
        tap = x if self.linear is None else self.linear(x)
        return tap, self.conv(tap)

    @property
    def eps(self) -> float:
        """Epsilon of the batch norm."""
        norm = self.conv[1]
        assert isinstance(norm, nn.BatchNorm2d)
        return norm.eps

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The children were not loaded yet: what is put into the state dict here reaches them.
        if prefix + "conv.weight" in state_dict:
            folded = {name: state_dict.pop(prefix + name) for name in FOLDED if prefix + name in state_dict}
            state_dict.update({prefix + name: value for name, value in unfold(folded, self).items()})
        super()._load_from_state_dict(state_dict, prefix, *args)


class FoldedProjection(nn.Module):
    """A trained :class:`Projection` as one convolution with bias and ReLU; its tap is its input.

    Where the projection is wider than 1x1, the linear convolution's bias does not reach it through the zero padding,
    so the bias differs at the border: ``border`` keeps each kernel position's share of it. That is exact at every
    size and costs one channel more. Loads the state dict of a :class:`Projection` too.
    """

    border: Tensor | None

    def __init__(self, projection: Projection) -> None:
        super().__init__()
        self.eps = projection.eps
        folded = fold(projection.state_dict(), self.eps)
        out_channels, in_channels, kernel_size, _ = folded["conv.weight"].shape
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.register_buffer("border", folded.get("border"))
        self.to(folded["conv.weight"])
        self.load_state_dict(folded)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, in_channels, h, w) to the same (there is no tap any more) and (B, out_channels, h, w)."""
        y = self.conv(x)
        if self.border is not None:
            inside = x.new_ones(1, 1, *x.shape[-2:])
            y = y + F.conv2d(inside, self.border.to(x.dtype), padding=self.conv.padding)
        return x, F.relu(y)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if prefix + "conv.0.weight" in state_dict:
            names = [name for name in state_dict if name.startswith(prefix)]
            full = {name.removeprefix(prefix): state_dict.pop(name) for name in names}
            state_dict.update({prefix + name: value for name, value in fold(full, self.eps).items()})
        if self.border is not None:  # a projection without CAR has none
            state_dict.setdefault(prefix + "border", torch.zeros_like(self.border))
        super()._load_from_state_dict(state_dict, prefix, *args)


FOLDED = ("conv.weight", "conv.bias", "border")


def fold(state: dict[str, Tensor], eps: float) -> dict[str, Tensor]:
    """State dict of a :class:`Projection` to that of its :class:`FoldedProjection`, computed in float64.

    W = scale * W_conv * W_linear, b = beta + scale * (W_conv * b_linear - mean) with scale = gamma / sqrt(var + eps);
    for kernels wider than 1x1 the part of b_linear is kept by kernel position (``border``, (out, 1, k, k)).
    """
    wide = {name: value.double() for name, value in state.items()}
    scale = wide["conv.1.weight"] / (wide["conv.1.running_var"] + eps).sqrt()
    weight = wide["conv.0.weight"] * scale.view(-1, 1, 1, 1)
    bias = wide["conv.1.bias"] - wide["conv.1.running_mean"] * scale
    folded = {}
    if "linear.weight" in wide:
        through = torch.einsum("ocij,c->oij", weight, wide["linear.bias"])
        weight = torch.einsum("ocij,cn->onij", weight, wide["linear.weight"].flatten(1))
        if weight.shape[-2:] == (1, 1):
            bias = bias + through.flatten()
        else:
            folded["border"] = through.unsqueeze(1)
    folded |= {"conv.weight": weight, "conv.bias": bias}
    return {name: value.to(state["conv.0.weight"].dtype) for name, value in folded.items()}


def unfold(folded: dict[str, Tensor], projection: Projection) -> dict[str, Tensor]:
    """State dict of a :class:`FoldedProjection` to one of ``projection`` that computes the same in eval mode.

    The batch norm becomes neutral but for its bias. Where the projection is a 1x1 convolution of the tap's width, the
    linear convolution takes the weights and the projection becomes the identity; elsewhere it is the other way round,
    which needs a tap as wide as the features, and the linear convolution's bias is solved for from ``border``.
    """
    weight, bias = folded["conv.weight"], folded["conv.bias"]
    out_channels, in_channels = weight.shape[:2]
    state = {
        "conv.0.weight": weight,
        "conv.1.weight": torch.ones_like(bias),
        "conv.1.bias": bias,
        "conv.1.running_mean": torch.zeros_like(bias),
        "conv.1.running_var": torch.full_like(bias, 1 - projection.eps),
        "conv.1.num_batches_tracked": torch.zeros((), dtype=torch.long, device=bias.device),
    }
    if projection.linear is None:
        return state
    identity = torch.eye(projection.linear.out_channels, dtype=weight.dtype, device=weight.device)[:, :, None, None]
    # FCN's own projection is 1x1 too, but narrower than the tap.
    if out_channels == projection.linear.out_channels and weight.shape[-2:] == (1, 1):
        return state | {"linear.weight": weight, "linear.bias": torch.zeros_like(bias), "conv.0.weight": identity}
    if in_channels != projection.linear.out_channels:
        raise InputError(
            f"a folded projection of {in_channels} channels cannot be unfolded into a tap of "
            f"{projection.linear.out_channels}: load the training checkpoint instead."
        )
    equations = weight.double().permute(0, 2, 3, 1).flatten(0, 2)
    border = folded.get("border", torch.zeros_like(weight[:, :1]))
    linear_bias = torch.linalg.lstsq(equations, border.double().flatten()).solution.to(weight.dtype)
    return state | {"linear.weight": identity, "linear.bias": linear_bias}
