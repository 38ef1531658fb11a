"""What every head tells the segmenter."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn


class Head(nn.Module):
    """A feature pyramid to the features that CAR may look at, which a projection and a classifier follow.

    Attributes:
        channels: channels of the features returned.
        tap_channels: channels of CAR's linear convolution, at most ``channels`` (the authors' cap).
        projection: kernel size and channels of the head's own last convolution before the classifier.
    """

    channels: int
    tap_channels: int
    projection: tuple[int, int]

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse, to features (B, channels, h, w)."""
        raise NotImplementedError("a head defines forward")


HeadFactory = Callable[[Sequence[int]], Head]
