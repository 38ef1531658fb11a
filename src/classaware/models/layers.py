"""Building blocks shared by the heads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.regularization.precision import at_least_float32
from classaware.resizing import resize_maps

Initialization = Literal["glorot", "kaiming"]


def conv_norm_act(
    in_channels: int, out_channels: int, kernel_size: int = 1, dilation: int = 1, activation: bool = True
) -> nn.Sequential:
    """Convolution without bias (zero padding to the same size), batch norm, and ReLU unless told otherwise."""
    if out_channels < 1:
        raise InputError(f"channels={out_channels}: a layer needs at least one channel.")
    padding = dilation * (kernel_size // 2)
    layers = [
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if activation else nn.Sequential(*layers)


@contextmanager
def own_draws() -> Iterator[None]:
    """Random numbers of their own: however many are drawn inside, one is taken from the generator outside.

    So networks of one seed agree in all parts that they share, whatever one of them has beside these.
    """
    seed = int(torch.randint(2**62, (), device="cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def initialize(module: nn.Module, scheme: Initialization = "glorot") -> None:
    """Kernels of convolutions and linear layers by ``scheme``, biases zero.

    ``glorot`` is uniform, as in the authors' heads; ``kaiming`` is normal with variance 2 / fan-in.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if scheme == "glorot":
                nn.init.xavier_uniform_(layer.weight)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def set_batch_norm(network: nn.Module, eps: float | None, momentum: float | None) -> None:
    """Set epsilon and PyTorch's momentum of every batch norm; None keeps what is there."""
    if (eps is not None and eps <= 0) or (momentum is not None and not 0 < momentum <= 1):
        raise InputError(f"norm_eps={eps} must be above 0 and norm_momentum={momentum} in (0, 1].")
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = layer.eps if eps is None else eps
            layer.momentum = layer.momentum if momentum is None else momentum


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, h, w) to (B, C, *size), bilinear with aligned corners; as they are where the size is right."""
    if torch.compiler.is_exporting():  # the sizes are free: whether they are equal today must not be asked
        return resize_maps(x, size)
    if (x.shape[-2], x.shape[-1]) == tuple(size):
        return x
    last = x.is_contiguous(memory_format=torch.channels_last)
    return resize_maps(x, size, last).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def adaptive_average_pool(x: Tensor, size: int) -> Tensor:
    """Maps (B, C, H, W) to (B, C, size, size): means over size² windows that cover the map.

    The numbers of ``torch.nn.functional.adaptive_avg_pool2d`` as two matrix products, whose gradient is deterministic
    on every device and which exports with a free height and width. In float32, under autocast too.
    """
    with torch.autocast(x.device.type, enabled=False):
        wide = at_least_float32(x)
        rows, columns = (_pooling_matrix(n, size, wide) for n in x.shape[-2:])
        if torch.compiler.is_exporting() and size == 1:  # the products below would ask whether the width is 1
            return wide.mean((2, 3), keepdim=True).to(x.dtype)
        return (rows @ wide @ columns.T).to(x.dtype)


def _pooling_matrix(length: int, size: int, like: Tensor) -> Tensor:
    """(size, length); row i averages over floor(i·length / size) up to ceil((i + 1)·length / size)."""
    window = torch.arange(size, device=like.device).unsqueeze(1)
    start, end = window * length // size, -(-(window + 1) * length // size)
    place = torch.arange(length, device=like.device)
    return ((place >= start) & (place < end)).to(like.dtype) / (end - start)
