"""Joint Pyramid Upsampling (FastFCN, Wu et al. 2019): a map at stride 8 from a backbone that is not dilated."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.layers import conv_norm_act, initialize, resize

DILATIONS = (1, 2, 4, 8)


class JPU(nn.Module):
    """The last three maps (strides 8, 16, 32) to one map (B, 4 * channels, h, w) of the size of the first of them.

    Each map goes through a 3x3 convolution to ``channels`` and to the first one's size; side by side they pass four
    separable convolutions of dilation 1, 2, 4 and 8 (3x3 of every channel for itself, batch norm, 1x1 to ``channels``
    with batch norm and ReLU), whose outputs stand side by side again. The convolutions have no bias, as in FastFCN's
    code: the depthwise ones in the code of CAR's authors have one, which the batch norm behind it takes out again.

    Args:
        in_channels: channels of the three maps, fine to coarse.
        channels: width of each branch.

    Attributes:
        out_channels: 4 * channels.

    Raises:
        InputError: there are not three maps.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 512) -> None:
        super().__init__()
        if len(in_channels) != 3:
            raise InputError(
                f"JPU joins three maps, not {len(in_channels)}: give the backbone levels=3 or more and JPU the "
                "channels of the last three."
            )
        self.reduce = nn.ModuleList(conv_norm_act(c, channels, 3) for c in in_channels)
        self.branches = nn.ModuleList(_separable(3 * channels, channels, dilation) for dilation in DILATIONS)
        self.out_channels = len(DILATIONS) * channels
        initialize(self)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, h_i, w_i), fine to coarse, of which the last three count, to (B, 4 * channels, h, w)."""
        reduced = [reduce(m) for reduce, m in zip(self.reduce, maps[-3:], strict=True)]
        size = (reduced[0].shape[-2], reduced[0].shape[-1])
        joint = torch.cat([resize(m, size) for m in reduced], 1)
        return torch.cat([branch(joint) for branch in self.branches], 1)


def _separable(in_channels: int, out_channels: int, dilation: int) -> nn.Sequential:
    """3x3 depthwise convolution, batch norm, then a 1x1 convolution with batch norm and ReLU."""
    depthwise = nn.Conv2d(
        in_channels, in_channels, 3, padding=dilation, dilation=dilation, groups=in_channels, bias=False
    )
    return nn.Sequential(depthwise, nn.BatchNorm2d(in_channels), conv_norm_act(in_channels, out_channels))
