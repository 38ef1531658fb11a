"""ACFNet: Zhang et al., "ACFNet: Attentional Class Feature Network for Semantic Segmentation", ICCV 2019.

A coarse prediction gives a center to every class (class center block) and to every pixel a mixture of the centers by
its own class probabilities (class attention block).
"""

import torch
from torch import Tensor, nn

from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import conv_norm_act, initialize
from classaware.regularization.precision import at_least_float32


def attend_to_classes(logits_BKHW: Tensor, x_BCHW: Tensor) -> Tensor:
    """Every pixel's mixture of class centers, (B, C, H, W), by its softmax over classes.

    The center of a class is the mean of x over the image's pixels, weighted by their probability of the class (Eqs. 1
    and 2). In float32, under autocast too.
    """
    with torch.autocast(x_BCHW.device.type, enabled=False):
        probabilities_BKP = at_least_float32(logits_BKHW).flatten(2).softmax(1)
        x_BPC = x_BCHW.flatten(2).transpose(1, 2).to(probabilities_BKP.dtype)
        mass_BK1 = probabilities_BKP.sum(-1, keepdim=True)
        centers_BKC = probabilities_BKP @ x_BPC / mass_BK1.clamp(min=torch.finfo(mass_BK1.dtype).tiny)
        context_BCP = centers_BKC.transpose(1, 2) @ probabilities_BKP
        return context_BCP.unflatten(2, x_BCHW.shape[-2:]).to(x_BCHW.dtype)


class ACFNetHead(Head):
    """Attentional class features beside the pixels' own; the head's own projection is a 1x1 convolution.

    Args:
        inputs: the feature maps; the last one is read.
        channels: width of the head (512 in the paper).
    """

    levels = 1

    def __init__(self, inputs: HeadInputs, channels: int = 512) -> None:
        super().__init__()
        self.channels = 2 * channels
        self.tap_channels = channels
        self.projection = (1, channels)
        self.down = conv_norm_act(inputs.channels[-1], channels, 3)
        self.coarse = nn.Conv2d(channels, inputs.num_classes, 1)
        self.reduce = conv_norm_act(channels, channels)
        self.refine = conv_norm_act(channels, channels)
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, 2 * channels, h, w) and the coarse logits (B, K, h, w)."""
        x = self.down(maps[-1])
        logits = self.coarse(x)
        context = self.refine(attend_to_classes(logits, self.reduce(x)))
        return HeadOutput((torch.cat([context, x], 1),), (logits,))
