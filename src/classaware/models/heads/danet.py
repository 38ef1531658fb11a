"""DANet: Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019.

Attention over positions in one branch and over channels in another; the branches have their own projections, and CAR
looks at both.
"""

import torch
from torch import Tensor, nn

from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.heads.self_attention import PositionAttention
from classaware.models.layers import conv_norm_act, initialize
from classaware.regularization.precision import at_least_float32


class ChannelAttention(nn.Module):
    """x + γ · attention of every channel to every channel; γ starts at 0.

    A = softmax over j of (max_j G_ij - G_ij) with G = x xᵀ summed over positions, and channel i becomes Σ_j A_ij x_j
    (the paper's figure 3B; the maximum is taken from its published code, for it turns similarity around and keeps the
    exponent in range).

    Args:
        as_released: Σ_j A_ji x_j, whose weights do not sum to 1, as in the CAR authors' code.
    """

    def __init__(self, as_released: bool = False) -> None:
        super().__init__()
        self.as_released = as_released
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape; the similarities are float32 under autocast, too."""
        with torch.autocast(x_BCHW.device.type, enabled=False):
            x_BCP = at_least_float32(x_BCHW).flatten(2)
            energy_BCC = x_BCP @ x_BCP.transpose(1, 2)
            weights_BCC = (energy_BCC.amax(-1, keepdim=True) - energy_BCC).softmax(-1)
            if self.as_released:
                weights_BCC = weights_BCC.transpose(1, 2)
            context_BCHW = (weights_BCC @ x_BCP).unflatten(2, x_BCHW.shape[-2:])
        return x_BCHW + self.gamma * context_BCHW.to(x_BCHW.dtype)


class DANetHead(Head):
    """Position attention and channel attention on the last map, each behind a 3x3 convolution of its own.

    Args:
        inputs: the feature maps; the last one is read.
        channels: width of each branch (512 in the paper).
        as_released: channel attention with its weights transposed, see :class:`ChannelAttention`.
    """

    levels = 1
    branches = 2

    def __init__(self, inputs: HeadInputs, channels: int = 512, as_released: bool = False) -> None:
        super().__init__()
        self.channels = self.tap_channels = channels
        self.projection = (3, channels)
        self.position_down = conv_norm_act(inputs.channels[-1], channels, 3)
        self.position = PositionAttention(channels, max(channels // 8, 1))
        self.gamma = nn.Parameter(torch.zeros(1))
        self.channel_down = conv_norm_act(inputs.channels[-1], channels, 3)
        self.channel = ChannelAttention(as_released)
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to two maps (B, channels, h, w)."""
        x = self.position_down(maps[-1])
        return HeadOutput((x + self.gamma * self.position(x), self.channel(self.channel_down(maps[-1]))))
