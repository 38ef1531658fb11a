"""UPerNet: Xiao et al., "Unified Perceptual Parsing for Scene Understanding", ECCV 2018 (its semantic part).

Pyramid pooling (Zhao et al., CVPR 2017) on the coarsest map, a feature pyramid down to the finest, all fused there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import adaptive_average_pool, conv_norm_act, initialize, resize

_POOLS = (1, 2, 3, 6)


class PyramidPooling(nn.Module):
    """The map beside its means over 1, 4, 9 and 36 windows, brought together by a 3x3 convolution.

    Args:
        in_channels: of the map.
        channels: of each pooled map and of the result.
        as_released: as in the CAR authors' code, windows are of one size over a map padded with zeros on the bottom
            and right, which are averaged in, and the pooled maps' convolutions are 3x3 instead of 1x1.
    """

    def __init__(self, in_channels: int, channels: int, as_released: bool = False) -> None:
        super().__init__()
        self.as_released = as_released
        kernel_size = 3 if as_released else 1
        self.pooled = nn.ModuleList([conv_norm_act(in_channels, channels, kernel_size) for _ in _POOLS])
        self.fuse = conv_norm_act(in_channels + len(_POOLS) * channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) to (B, channels, h, w)."""
        pool = padded_average_pool if self.as_released else adaptive_average_pool
        size = (x.shape[-2], x.shape[-1])
        pooled = [resize(conv(pool(x, n)), size) for n, conv in zip(_POOLS, self.pooled, strict=True)]
        return self.fuse(torch.cat([x, *pooled], 1))


def padded_average_pool(x: Tensor, size: int) -> Tensor:
    """Maps (B, C, H, W) to (B, C, size, size): zeros to a multiple of ``size``, then equal windows, zeros included."""
    height, width = x.shape[-2:]
    if torch.compiler.is_exporting():  # windows whose size is free are no constants of an operator
        if size == 1:
            return x.mean((2, 3), keepdim=True)
        return _padded_windows(height, size, x) @ x @ _padded_windows(width, size, x).T
    x = F.pad(x, (0, -width % size, 0, -height % size))
    return F.avg_pool2d(x, (x.shape[-2] // size, x.shape[-1] // size))


def _padded_windows(length: int, size: int, like: Tensor) -> Tensor:
    """(size, length): row i averages over window i of ``padded_average_pool``."""
    side = (length + size - 1) // size
    start = torch.arange(size, device=like.device).unsqueeze(1) * side
    place = torch.arange(length, device=like.device)
    return ((place >= start) & (place < start + side)).to(like.dtype) / side


class UPerNetHead(Head):
    """Pyramid pooling and a feature pyramid; its own projection is a 3x3 convolution.

    Args:
        inputs: the feature maps, fine to coarse; all are read.
        channels: width of the head (512 in the paper).
        as_released: see :class:`PyramidPooling`.
    """

    def __init__(self, inputs: HeadInputs, channels: int = 512, as_released: bool = False) -> None:
        super().__init__()
        if list(inputs.strides) != sorted(inputs.strides):
            raise InputError(
                f"UPerNet reads a pyramid, fine to coarse, not maps of strides {tuple(inputs.strides)}: "
                "set network.backbone.fuse (HRNet) and network.jpu to false."
            )
        self.channels = len(inputs.channels) * channels
        self.tap_channels = channels
        self.projection = (3, channels)
        self.pooling = PyramidPooling(inputs.channels[-1], channels, as_released)
        self.laterals = nn.ModuleList([conv_norm_act(n, channels) for n in inputs.channels[:-1]])
        self.smooth = nn.ModuleList([conv_norm_act(channels, channels, 3) for _ in inputs.channels[:-1]])
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """All maps to (B, len(maps) * channels, h, w) at the finest one's size."""
        top = x = self.pooling(maps[-1])
        levels: list[Tensor] = []
        for lateral, smooth, fine in reversed(list(zip(self.laterals, self.smooth, maps[:-1], strict=True))):
            x = lateral(fine) + resize(x, (fine.shape[-2], fine.shape[-1]))
            levels.insert(0, smooth(x))
        size = (maps[0].shape[-2], maps[0].shape[-1])
        return HeadOutput((torch.cat([resize(level, size) for level in [*levels, top]], 1),))
