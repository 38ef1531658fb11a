"""Building blocks shared by the heads."""

from torch import nn

from classaware.errors import InputError


def conv_norm_act(in_channels: int, out_channels: int, kernel_size: int = 1) -> nn.Sequential:
    """Convolution without bias (zero padding to the same size), batch norm, ReLU."""
    if out_channels < 1:
        raise InputError(f"channels={out_channels}: a layer needs at least one channel.")
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def initialize(module: nn.Module) -> None:
    """Glorot-uniform kernels and zero biases, as in the authors' heads."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
