"""OCR: Yuan, Chen, Wang, "Object-Contextual Representations for Semantic Segmentation", ECCV 2020.

A coarse prediction gathers one representation a class (the object regions); every position attends to them.
"""

import torch
from torch import Tensor, nn

from classaware.models.heads.base import Head, HeadInputs, HeadOutput
from classaware.models.layers import conv_norm_act, initialize
from classaware.regularization.precision import at_least_float32


def gather_regions(logits_BKHW: Tensor, x_BCHW: Tensor) -> Tensor:
    """One representation a class, (B, K, C): the mean of x over the image, weighted by softmax over its pixels (Eq. 5).

    In float32, under autocast too.
    """
    with torch.autocast(x_BCHW.device.type, enabled=False):
        weights_BKP = at_least_float32(logits_BKHW).flatten(2).softmax(-1)
        return weights_BKP @ x_BCHW.flatten(2).transpose(1, 2).to(weights_BKP.dtype)


class OCRHead(Head):
    """Object-contextual representations beside the pixels' own; the head's own projection is a 1x1 convolution.

    Args:
        inputs: the feature maps; the last one is read (with HRNet, all of its maps fused).
        channels: width of the head (512 in the paper); queries, keys and values have half of it.
        as_released: as in the CAR authors' code, the matrix of regions is transposed: attention goes to ``channels``
            pseudo-regions, each described by its K weights. It is not OCR; it serves to reproduce their rows.
    """

    levels = 1

    def __init__(self, inputs: HeadInputs, channels: int = 512, as_released: bool = False) -> None:
        super().__init__()
        self.channels = 2 * channels
        self.tap_channels = channels
        self.projection = (1, channels)
        self.as_released = as_released
        in_channels, depth = inputs.channels[-1], max(channels // 2, 1)
        region_channels = inputs.num_classes if as_released else channels
        self.coarse = nn.Sequential(
            conv_norm_act(in_channels, in_channels, 3), nn.Conv2d(in_channels, inputs.num_classes, 1)
        )
        self.down = conv_norm_act(in_channels, channels, 3)
        self.query = nn.Sequential(conv_norm_act(channels, depth), conv_norm_act(depth, depth))
        self.key = nn.Sequential(conv_norm_act(region_channels, depth), conv_norm_act(depth, depth))
        self.value = conv_norm_act(region_channels, depth)
        self.up = conv_norm_act(depth, channels)
        initialize(self)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, 2 * channels, h, w) and the coarse logits (B, K, h, w)."""
        logits_BKHW = self.coarse(maps[-1])
        x_BCHW = self.down(maps[-1])
        regions_BRC = gather_regions(logits_BKHW, x_BCHW).to(x_BCHW.dtype)
        if self.as_released:
            regions_BRC = regions_BRC.transpose(1, 2)
        regions_BCR1 = regions_BRC.transpose(1, 2).unsqueeze(-1)
        query_BPD, key_BRD, value_BRD = (
            layer(features).flatten(2).transpose(1, 2)
            for layer, features in ((self.query, x_BCHW), (self.key, regions_BCR1), (self.value, regions_BCR1))
        )
        relation_BPR = (query_BPD @ key_BRD.transpose(1, 2) / query_BPD.shape[-1] ** 0.5).softmax(-1)
        context_BDP = (relation_BPR.to(value_BRD.dtype) @ value_BRD).transpose(1, 2)
        context_BCHW = self.up(context_BDP.unflatten(2, x_BCHW.shape[-2:]))
        return HeadOutput((torch.cat([context_BCHW, x_BCHW], 1),), (logits_BKHW,))
