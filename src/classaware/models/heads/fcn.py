"""FCN: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015.

The paper's baseline (Table 2) as the CAR authors built it: a 3x3 convolution on the backbone's last map.
"""

from collections.abc import Sequence

from torch import Tensor

from classaware.models.heads.base import Head
from classaware.models.layers import conv_norm_act, initialize


class FCNHead(Head):
    """One 3x3 convolution; its own projection is a 1x1 convolution to half the channels.

    Args:
        in_channels: channels of the pyramid's maps; the last one is read.
        channels: width of the head (512 in the paper).
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 512) -> None:
        super().__init__()
        self.channels = self.tap_channels = channels
        self.projection = (1, channels // 2)
        self.down = conv_norm_act(in_channels[-1], channels, 3)
        initialize(self)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Last map (B, C, h, w) to (B, channels, h, w)."""
        return self.down(maps[-1])
