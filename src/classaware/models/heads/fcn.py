"""FCN: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015.

The paper's baseline (Table 2) as the CAR authors built it: a 3x3 convolution on the backbone's last map.
"""

from torch import Tensor

from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import conv_norm_act, initialize


class FCNHead(Head):
    """One 3x3 convolution; its own projection is a 1x1 convolution to half the channels.

    Args:
        inputs: the feature maps; the last one is read.
        channels: width of the head (512 in the paper).
    """

    levels = 1

    def __init__(self, inputs: HeadInputs, channels: int = 512) -> None:
        super().__init__()
        self.channels = self.tap_channels = channels
        self.projection = (1, channels // 2)
        self.down = conv_norm_act(inputs.channels[-1], channels, 3)
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, channels, h, w)."""
        return HeadOutput((self.down(maps[-1]),))
