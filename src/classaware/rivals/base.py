"""What makes a loss a rival."""

from torch import Tensor, nn


class Rival(nn.Module):
    """A loss on features and labels; made from (channels, classes, ignore index) and options of its own."""

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Features (B, C, H, W) and labels (B, Hl, Wl) to a scalar with a graph."""
        raise NotImplementedError("a rival defines forward")
