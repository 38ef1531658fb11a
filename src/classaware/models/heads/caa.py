"""CAA: Huang et al., "Channelized Axial Attention", AAAI 2022.

Attention along columns, then along rows, in which a gate weighs the channels of what every row (column) gathers.

The paper computes the gate from the weighted but not yet summed features, an (H, W, C) volume for every row, in groups
to bound the memory. The gate of a row is a function of the volume's mean and the same at every place of it, so it
commutes with the sum: the volume's mean is the mean of the attention's output over the row, divided by H. That is what
is computed here: the same numbers without the volume, at the cost of plain axial attention.
"""

import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.attention import attention
from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import conv_norm_act, initialize


class ChannelizedAttention(nn.Module):
    """Attention along the height of a map, gated by channel and row. Query and key are the same; no scale.

    Args:
        channels: of the map and of the value.
        key_channels: of the query.
        hidden_channels: of the gate's five hidden layers.
    """

    def __init__(self, channels: int, key_channels: int, hidden_channels: int) -> None:
        super().__init__()
        for name, width in (("key_channels", key_channels), ("hidden_channels", hidden_channels)):
            if width < 1:
                raise InputError(f"{name}={width}: there must be at least one.")
        self.query = conv_norm_act(channels, key_channels)
        gate: list[nn.Module] = []
        for width in (channels, *[hidden_channels] * 4):
            gate += [nn.Linear(width, hidden_channels, bias=False), nn.LeakyReLU(0.2)]
        self.gate = nn.Sequential(*gate, nn.Linear(hidden_channels, channels), nn.Sigmoid())

    def forward(self, x_BCHW: Tensor, value_BCHW: Tensor) -> Tensor:
        """Map and value, (B, C, H, W) each, to the gathered and gated value of the same shape."""
        batch, _, height, width = x_BCHW.shape
        query, value = (
            features.permute(0, 3, 2, 1).flatten(0, 1)  # one sequence a column: (B·W, H, channels)
            for features in (self.query(x_BCHW), value_BCHW)
        )
        context_BWHC = attention(query, query, value).unflatten(0, (batch, width))
        gate_BHC = self.gate(context_BWHC.mean(1) / height)
        return (context_BWHC * gate_BHC.unsqueeze(1)).permute(0, 3, 2, 1)


class CAAHead(Head):
    """Channelized axial attention beside the image's mean; its own projection is a 1x1 convolution to half the width.

    Args:
        inputs: the feature maps; the last one is read (or, with ``jpu``, the upsampled one).
        channels: width of the head (512 in the paper); the tap has half of it.
        key_channels: of the queries (64 in the paper).
        hidden_channels: of the gates (128 in the paper).
    """

    levels = 1
    aux_level = -1

    def __init__(
        self, inputs: HeadInputs, channels: int = 512, key_channels: int = 64, hidden_channels: int = 128
    ) -> None:
        super().__init__()
        self.channels = 2 * channels
        self.tap_channels = max(channels // 2, 1)
        self.projection = (1, self.tap_channels)
        in_channels = inputs.channels[-1]
        self.down = conv_norm_act(in_channels, channels, 3)
        self.value = conv_norm_act(channels, channels)
        self.vertical = ChannelizedAttention(channels, key_channels, hidden_channels)
        self.horizontal = ChannelizedAttention(channels, key_channels, hidden_channels)
        self.after = conv_norm_act(channels, channels)
        self.image = conv_norm_act(in_channels, channels)
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, 2 * channels, h, w)."""
        x = self.down(maps[-1])
        columns = self.vertical(x, self.value(x))
        both = self.horizontal(x.transpose(2, 3), columns.transpose(2, 3)).transpose(2, 3)
        image = self.image(maps[-1].mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return HeadOutput((torch.cat([self.after(both), image], 1),))
