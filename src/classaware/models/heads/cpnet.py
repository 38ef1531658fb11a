"""CPNet: Yu et al., "Context Prior for Scene Segmentation", CVPR 2020.

Every position of a fixed grid predicts which positions share its class. The prediction is trained as such (see
``classaware.training.affinity_loss``) and gathers context from the own class and from the others.
"""

import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import conv_norm_act, initialize, resize


class Aggregation(nn.Module):
    """A 3x3 convolution, then an asymmetric k x k neighborhood by two pairs of depthwise convolutions, norm and ReLU.

    Args:
        in_channels: of the map.
        channels: of the result.
        kernel_size: k, odd (11 in the paper).
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int = 11) -> None:
        super().__init__()
        self.down = conv_norm_act(in_channels, channels, 3)
        pad = kernel_size // 2

        def along(height: int, width: int) -> nn.Conv2d:
            padding = (pad * (height > 1), pad * (width > 1))
            return nn.Conv2d(channels, channels, (height, width), padding=padding, groups=channels)

        k = kernel_size
        self.rows_first = nn.Sequential(along(k, 1), along(1, k))
        self.columns_first = nn.Sequential(along(1, k), along(k, 1))
        self.norm = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) to (B, channels, h, w)."""
        x = self.down(x)
        return self.norm(self.rows_first(x) + self.columns_first(x))


class CPNetHead(Head):
    """The context prior on the last map, which is brought to a fixed grid; its own projection is a 3x3 convolution.

    Sums over positions are divided by their number, as in the published code.

    Args:
        inputs: the feature maps; the last one is read.
        channels: width of the head (512 in the paper).
        grid: height and width of the grid; None takes those of the last map of a 512 x 512 image (64 at stride 8).
            Each position predicts grid² affinities.
    """

    levels = 1

    def __init__(self, inputs: HeadInputs, channels: int = 512, grid: int | None = None) -> None:
        super().__init__()
        self.grid = 512 // inputs.strides[-1] if grid is None else grid
        if self.grid < 1:
            raise InputError(f"grid={grid}: the grid needs at least one position.")
        self.channels = inputs.channels[-1] + 2 * channels
        self.tap_channels = channels
        self.projection = (3, channels)
        self.aggregation = Aggregation(inputs.channels[-1], channels)
        self.prior = conv_norm_act(channels, self.grid**2, activation=False)
        self.intra = conv_norm_act(channels, channels)
        self.inter = conv_norm_act(channels, channels)
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, C + 2 * channels, grid, grid) and the affinity's logits (B, grid², grid²)."""
        size = (self.grid, self.grid)
        x_BCHW = resize(maps[-1], size)
        value_BCHW = self.aggregation(x_BCHW)
        affinity_BPP = self.prior(value_BCHW).flatten(2).transpose(1, 2)
        prior_BPP = affinity_BPP.sigmoid()
        value_BPC = value_BCHW.flatten(2).transpose(1, 2) / self.grid**2
        own_BPC = prior_BPP @ value_BPC
        others_BPC = value_BPC.sum(1, keepdim=True) - own_BPC  # (1 - prior) @ value without the second product
        intra, inter = (
            layer(context.transpose(1, 2).unflatten(2, size))
            for layer, context in ((self.intra, own_BPC), (self.inter, others_BPC))
        )
        return HeadOutput((torch.cat([x_BCHW, intra, inter], 1),), affinity=affinity_BPP)
