"""DeepLabV3: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv 1706.05587.

Atrous spatial pyramid pooling: the image's mean, a 1x1 and three dilated 3x3 convolutions side by side. Rates are
those of the paper for output stride 8, (12, 24, 36), and in proportion for others.
"""

import torch
from torch import Tensor, nn

from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import conv_norm_act, initialize


class DeepLabV3Head(Head):
    """Atrous spatial pyramid pooling on the last map; its own projection is a 1x1 convolution.

    Args:
        inputs: the feature maps; the last one is read.
        channels: width of each of the five branches (256 in the paper).
    """

    levels = 1

    def __init__(self, inputs: HeadInputs, channels: int = 256) -> None:
        super().__init__()
        self.channels = 5 * channels
        self.tap_channels = channels
        self.projection = (1, channels)
        in_channels = inputs.channels[-1]
        rates = [rate * 32 // inputs.strides[-1] for rate in (3, 6, 9)]
        self.image = conv_norm_act(in_channels, channels)
        self.branch_convs = nn.ModuleList(
            [conv_norm_act(in_channels, channels)] + [conv_norm_act(in_channels, channels, 3, rate) for rate in rates]
        )
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, 5 * channels, h, w)."""
        x = maps[-1]
        image = self.image(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return HeadOutput((torch.cat([image, *(conv(x) for conv in self.branch_convs)], 1),))
