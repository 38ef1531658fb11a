"""Batch norm over all processes that keeps timm's activations."""

from pytorch_lightning.plugins.layer_sync import LayerSync
from timm.layers import convert_sync_batchnorm
from torch import nn


class NormSync(LayerSync):
    """Lightning's hook for synchronized batch norm, with timm's conversion.

    torch's own would replace timm's layers of norm and activation in one (those of every EfficientNet) by a norm
    without activation: another network.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace every batch norm."""
        return convert_sync_batchnorm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Leave it: in eval mode these norms need no other process."""
        return model
