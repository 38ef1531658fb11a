"""Self-Attention: Wang et al., "Non-local Neural Networks", CVPR 2018, as the CAR authors built it (their head "nl").

A 3x3 convolution, then attention of every position to every position, added to its input. Neither a scale of
1/sqrt(d) in the softmax nor a learned gate; query and key start from the same kernel but are separate weights.
"""

from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.attention import attention
from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import conv_norm_act, initialize


class PositionAttention(nn.Module):
    """What every position gathers from all others: softmax(query · key) times value.

    Args:
        channels: C.
        key_channels: of query and key.
    """

    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__()
        if key_channels < 1:
            raise InputError(f"key_channels={key_channels}: there must be at least one.")
        self.query = nn.Conv2d(channels, key_channels, 1)
        self.key = nn.Conv2d(channels, key_channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        query_BPD, key_BPD, value_BPC = (
            layer(x_BCHW).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        context_BPC = attention(query_BPD, key_BPD, value_BPC)
        return context_BPC.transpose(1, 2).unflatten(2, x_BCHW.shape[-2:])


class SelfAttentionHead(Head):
    """Residual self-attention over the last map.

    Args:
        inputs: the feature maps; the last one is read.
        channels: width of the head (512 in the paper).
        key_channels: channels of query and key (64 in the paper).
    """

    levels = 1

    def __init__(self, inputs: HeadInputs, channels: int = 512, key_channels: int = 64) -> None:
        super().__init__()
        self.channels = self.tap_channels = channels
        self.projection = (3, channels)
        self.down = conv_norm_act(inputs.channels[-1], channels, 3)
        self.attention = PositionAttention(channels, key_channels)
        initialize(self)
        self.attention.key.load_state_dict(self.attention.query.state_dict())

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, channels, h, w)."""
        x = self.down(maps[-1])
        return HeadOutput((x + self.attention(x),))
