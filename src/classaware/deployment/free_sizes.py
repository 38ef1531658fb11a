"""Layers of timm whose sums over sizes cannot be traced with free sizes, written so that they can.

The results are the same to the last bit (averages over windows other than 2 x 2: up to rounding).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from timm.layers import AvgPool2dSame, Conv2dSame
from torch import Tensor, nn


def replace_layers(network: nn.Module) -> None:
    """Replace such layers in ``network`` itself."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if type(layer) is Conv2dSame and _covers(layer):
                setattr(parent, name, SameConvolution(layer))
            elif type(layer) is AvgPool2dSame and _covers(layer):
                setattr(parent, name, SameAveragePool(layer))
            elif type(layer) is nn.AvgPool2d and layer.ceil_mode and _tiles(layer):
                setattr(parent, name, TilingAveragePool(_pair(layer.kernel_size)))


def _covers(layer: Conv2dSame | AvgPool2dSame) -> bool:
    """Whether its windows skip nothing, so that padding has no lower bound of 0 to look at; or are single pixels."""
    kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
    return kernel == (1, 1) or (kernel[0] >= stride[0] and kernel[1] >= stride[1])


def _tiles(layer: nn.AvgPool2d) -> bool:
    """Whether its windows lie side by side and what is added to the map is not averaged in."""
    alone = _pair(layer.padding) == (0, 0) and layer.divisor_override is None
    return alone and _pair(layer.kernel_size) == _pair(layer.stride)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)) -> Tensor:
    """TensorFlow's SAME padding of (B, C, H, W) with zeros, for layers that ``_covers``."""
    if tuple(kernel) == (1, 1):
        return x
    padding: list[int] = []
    for axis in (1, 0):
        side = x.shape[2 + axis]
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        missing: int = reach - 1 if stride[axis] == 1 else (side - 1) // stride[axis] * stride[axis] + reach - side
        padding += [missing // 2, missing - missing // 2]
    return F.pad(x, padding)


class SameConvolution(nn.Module):
    """timm's ``Conv2dSame``."""

    def __init__(self, layer: Conv2dSame) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        layer = self.layer
        x = pad_same(x, layer.kernel_size, layer.stride, layer.dilation)
        return F.conv2d(x, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)


class SameAveragePool(nn.Module):
    """timm's ``AvgPool2dSame``."""

    def __init__(self, layer: AvgPool2dSame) -> None:
        super().__init__()
        self.kernel, self.stride = _pair(layer.kernel_size), _pair(layer.stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride)); zeros of the padding are averaged in."""
        return F.avg_pool2d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class TilingAveragePool(nn.Module):
    """Averages over windows side by side, of which the last one may be smaller (``ceil_mode``)."""

    def __init__(self, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / kernel), ceil(W / kernel))."""
        height, width = x.shape[-2:]
        down, right = self.kernel
        padding = (0, (width + right - 1) // right * right - width, 0, (height + down - 1) // down * down - height)
        inside = x.new_ones(1, 1, height, width)
        means, shares = (F.avg_pool2d(F.pad(each, padding), self.kernel) for each in (x, inside))
        return means / shares
