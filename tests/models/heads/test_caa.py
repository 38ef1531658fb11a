"""CAA: the collapsed form against the paper's volumes of (H, W, C) for every row."""

import math

import pytest
import torch
from torch import Tensor, nn

from classaware.models import CAAHead, HeadInputs
from classaware.models.heads.caa import ChannelizedAttention


def gate_by_loops(module: ChannelizedAttention, mean: list[float]) -> list[float]:
    """Five dense layers without bias, leaky ReLU of slope 0.2; one with bias, sigmoid."""
    *hidden, last = [layer for layer in module.gate if isinstance(layer, nn.Linear)]
    assert len(hidden) == 5
    for layer in hidden:
        assert layer.bias is None
        sums = [sum(w * x for w, x in zip(row, mean, strict=True)) for row in layer.weight.tolist()]
        mean = [s if s > 0 else 0.2 * s for s in sums]
    sums = [sum(w * x for w, x in zip(row, mean, strict=True)) for row in last.weight.tolist()]
    return [1 / (1 + math.exp(-s - b)) for s, b in zip(sums, last.bias.tolist(), strict=True)]


@torch.no_grad()
def columns_by_loops(module: ChannelizedAttention, x: Tensor, value: Tensor) -> Tensor:
    """One image, (C, H, W) each: for every row the weighted volume, its mean, the gate, the sum along the column."""
    query = module.query(x.unsqueeze(0))[0].tolist()
    channels, height, width = value.shape
    out = torch.zeros_like(value)
    for i in range(height):
        volume = torch.zeros(height, width, channels, dtype=torch.float64)
        for w in range(width):
            exponentials = [math.exp(sum(q[i][w] * q[j][w] for q in query)) for j in range(height)]
            for j in range(height):
                for c in range(channels):
                    volume[j, w, c] = exponentials[j] / sum(exponentials) * float(value[c, j, w])
        mean = [float(volume[:, :, c].sum()) / (height * width) for c in range(channels)]
        gate = gate_by_loops(module, mean)
        for w in range(width):
            for c in range(channels):
                out[c, i, w] = sum(float(volume[j, w, c]) * gate[c] for j in range(height))
    return out


def lively(module: nn.Module) -> nn.Module:
    """Weights whose gates differ from row to row and from channel to channel; norms that are not neutral."""
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=1.5 / layer.in_features**0.5)
            if layer.bias is not None:
                nn.init.normal_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.2, 0.6)
            nn.init.normal_(layer.bias, std=0.5)
    return module.double().eval()


@pytest.mark.parametrize("size", [(3, 4), (4, 3), (1, 3), (3, 1)])
def test_collapsed_gate_equals_the_full_volumes(size: tuple[int, int]) -> None:
    module = lively(ChannelizedAttention(4, 2, 6))
    x, value = (3 * torch.randn(2, 4, *size, dtype=torch.float64) for _ in range(2))
    expected = torch.stack([columns_by_loops(module, a, b) for a, b in zip(x, value, strict=True)])
    with torch.no_grad():
        torch.testing.assert_close(module(x, value), expected)


def test_gate_matters_here() -> None:
    """Else the test above could not tell one gate from another."""
    module = lively(ChannelizedAttention(4, 2, 6))
    x = 3 * torch.randn(1, 4, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        gates = torch.tensor([gate_by_loops(module, row) for row in x[0].mean(2).T.tolist()])
    assert gates.std(0).max() > 0.01
    assert gates.std(1).max() > 0.1


def test_head_goes_vertical_then_horizontal() -> None:
    """Both axes ask with the map itself; the second one's values are the first one's result."""
    head = lively(CAAHead(HeadInputs((3,), (8,), 5), channels=4, key_channels=2, hidden_channels=5))
    maps = [torch.randn(1, 3, 3, 4, dtype=torch.float64)]
    with torch.no_grad():
        x = head.down(maps[0])[0]
        first = columns_by_loops(head.vertical, x, head.value(x.unsqueeze(0))[0])
        second = columns_by_loops(head.horizontal, x.transpose(1, 2), first.transpose(1, 2)).transpose(1, 2)
        image = head.image(maps[0].mean((2, 3), keepdim=True)).expand(1, 4, 3, 4)
        expected = torch.cat([head.after(second.unsqueeze(0)), image], 1)
        torch.testing.assert_close(head(maps).features, (expected,))
    assert (head.tap_channels, head.projection, head.aux_level) == (2, (1, 2), -1)
