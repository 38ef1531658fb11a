"""Self-Attention: Wang et al., "Non-local Neural Networks", CVPR 2018, as the CAR authors built it (their head "nl").

A 3x3 convolution, then attention of every position to every position, added to its input. Neither a scale of
1/sqrt(d) in the softmax nor a learned gate; query and key start from the same kernel but are separate weights.
"""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.heads.base import Head
from classaware.models.layers import conv_norm_act, initialize


class SelfAttentionHead(Head):
    """Residual self-attention over the last map.

    Args:
        in_channels: channels of the pyramid's maps; the last one is read.
        channels: width of the head (512 in the paper).
        key_channels: channels of query and key (64 in the paper).
        attention: ``sdpa`` leaves the product to ``scaled_dot_product_attention``; ``explicit`` writes it out with an
            (hw, hw) map in memory. The numbers are the same.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 512,
        key_channels: int = 64,
        attention: Literal["sdpa", "explicit"] = "sdpa",
    ) -> None:
        super().__init__()
        if attention not in ("sdpa", "explicit"):
            raise InputError(f"attention={attention!r} is unknown; choose 'sdpa' or 'explicit'.")
        if key_channels < 1:
            raise InputError(f"key_channels={key_channels}: there must be at least one.")
        self.channels = self.tap_channels = channels
        self.projection = (3, channels)
        self.attention = attention
        self.down = conv_norm_act(in_channels[-1], channels, 3)
        self.query = nn.Conv2d(channels, key_channels, 1)
        self.key = nn.Conv2d(channels, key_channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        initialize(self)
        self.key.load_state_dict(self.query.state_dict())

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Last map (B, C, h, w) to (B, channels, h, w)."""
        x_BCHW = self.down(maps[-1])
        query_BPD, key_BPD, value_BPC = (
            layer(x_BCHW).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        if self.attention == "sdpa":
            context_BPC = F.scaled_dot_product_attention(query_BPD, key_BPD, value_BPC, scale=1.0)
        else:
            context_BPC = (query_BPD @ key_BPD.transpose(1, 2)).softmax(-1) @ value_BPC
        return x_BCHW + context_BPC.transpose(1, 2).unflatten(2, x_BCHW.shape[-2:])
