"""CCNet: Huang et al., "CCNet: Criss-Cross Attention for Semantic Segmentation", ICCV 2019.

Attention to the own row and column, applied twice with the same weights, so that every position reaches every other
through one between them.
"""

import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.attention import criss_cross_attention
from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import conv_norm_act, initialize


class CrissCrossAttention(nn.Module):
    """x + γ · attention to row and column; γ starts at 0. Query and key have an eighth of the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(channels // 8, 1), 1)
        self.key = nn.Conv2d(channels, max(channels // 8, 1), 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.gamma * criss_cross_attention(self.query(x), self.key(x), self.value(x))


class CCNetHead(Head):
    """Recurrent criss-cross attention beside the last map; its own projection is a 3x3 convolution.

    Args:
        inputs: the feature maps; the last one is read.
        channels: width of the head (512 in the paper).
        recurrence: how often the attention is applied (2 in the paper).
    """

    levels = 1

    def __init__(self, inputs: HeadInputs, channels: int = 512, recurrence: int = 2) -> None:
        super().__init__()
        if recurrence < 1:
            raise InputError(f"recurrence={recurrence}: the attention is applied at least once.")
        self.channels = inputs.channels[-1] + channels
        self.tap_channels = channels
        self.projection = (3, channels)
        self.recurrence = recurrence
        self.down = conv_norm_act(inputs.channels[-1], channels, 3)
        self.attention = CrissCrossAttention(channels)
        self.after = conv_norm_act(channels, channels, 3)
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, C + channels, h, w)."""
        x = self.down(maps[-1])
        for _ in range(self.recurrence):
            x = self.attention(x)
        return HeadOutput((torch.cat([maps[-1], self.after(x)], 1),))
