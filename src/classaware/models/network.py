"""What is asked of a network, by whomever it was made."""

from typing import Any, Protocol, Self

import torch
from torch import Tensor

from classaware.models.segmenter import SegmenterOutput


class Network(Protocol):
    """A `torch.nn.Module` that can be evaluated: ours, anybody's in a `ForeignNetwork`, or an exported one.

    Attributes:
        num_classes: K.
        training: its mode.
    """

    num_classes: int
    training: bool

    def __call__(self, images: Tensor, /) -> SegmenterOutput:
        """Float images (B, 3, H, W) in [0, 1] to logits (B, K, h, w) and features, if it has any."""

    def fold(self) -> "Network":
        """The network for inference."""

    def to(self, device: torch.device | str, /) -> Any:
        """Itself, taken there."""

    def train(self, mode: bool = True) -> Self:
        """Itself, in this mode."""

    def eval(self) -> Self:
        """Itself, in eval mode."""
