"""What a head is built for, what it returns, and what it tells the segmenter."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn


class HeadInputs(NamedTuple):
    """What a head is built for.

    Attributes:
        channels: of the feature maps, fine to coarse.
        strides: of the same.
        num_classes: K, for heads that classify on their way.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    num_classes: int


class HeadOutput(NamedTuple):
    """What a head returns.

    Attributes:
        features: one map (B, channels, h, w) a branch; each is followed by a projection of its own.
        aux_logits: maps (B, K, h, w) that the head predicted on its way, to be trained with the cross-entropy.
        affinity: (B, N, N), logits of which positions of an (√N, √N) grid share their class (CPNet).
    """

    features: tuple[Tensor, ...]
    aux_logits: tuple[Tensor, ...] = ()
    affinity: Tensor | None = None


class Head(nn.Module):
    """A feature pyramid to the features that CAR may look at, which projections and a classifier follow.

    Attributes:
        channels: channels of the features returned.
        tap_channels: channels of CAR's linear convolution, at most ``channels`` (the authors' cap).
        projection: kernel size and channels of the head's own last convolution before the classifier.
        branches: how many maps of features there are; their projections are summed.
        levels: how many maps are read, counted from the coarsest (0: all); the others' level norms are left out.
        aux_level: which feature map deep supervision reads.
    """

    channels: int
    tap_channels: int
    projection: tuple[int, int]
    branches: int = 1
    levels: int = 0
    aux_level: int = -2

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Feature maps, fine to coarse, to features."""
        raise NotImplementedError("a head defines forward")


HeadFactory = Callable[[HeadInputs], Head]
