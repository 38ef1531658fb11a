"""Self-Attention: the head against loops over positions."""

import math

import pytest
import torch
from torch import nn

from classaware.errors import InputError
from classaware.models import HeadInputs, SelfAttentionHead
from classaware.models.heads.self_attention import PositionAttention

INPUTS = HeadInputs((3,), (8,), 5)


def affine(layer: nn.Conv2d, x: list[float]) -> list[float]:
    """A 1x1 convolution at one position."""
    rows = layer.weight.flatten(1).tolist()
    return [
        b + sum(w * v for w, v in zip(row, x, strict=True)) for row, b in zip(rows, layer.bias.tolist(), strict=True)
    ]


def gathered_by_loops(layers: PositionAttention, x: torch.Tensor) -> torch.Tensor:
    """(C, H, W) to the same: every position takes from all, itself included, by softmax of the bare product."""
    pixels = x.flatten(1).T.tolist()
    queries, keys, values = ([affine(f, p) for p in pixels] for f in (layers.query, layers.key, layers.value))
    out = []
    for query in queries:
        weights = [math.exp(sum(q * k for q, k in zip(query, key, strict=True))) for key in keys]
        total = sum(weights)
        out.append([sum(w * v[c] for w, v in zip(weights, values, strict=True)) / total for c in range(len(values[0]))])
    return torch.tensor(out, dtype=torch.float64).T.reshape(x.shape)


def test_head_adds_what_it_gathers_without_a_gate() -> None:
    torch.manual_seed(0)
    head = SelfAttentionHead(INPUTS, channels=6, key_channels=4).double().eval()
    for layer in (head.attention.query, head.attention.key, head.attention.value):
        nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        down = head.down(x)
        expected = torch.stack([d + gathered_by_loops(head.attention, d) for d in down])
        torch.testing.assert_close(head([x]).features, (expected,))


def test_query_and_key_start_equal_but_are_two() -> None:
    """As the authors made them: one initial kernel, separate weights."""
    attention = SelfAttentionHead(INPUTS, channels=16, key_channels=4).attention
    assert torch.equal(attention.query.weight, attention.key.weight)
    assert attention.query.weight.data_ptr() != attention.key.weight.data_ptr()


def test_queries_without_channels_are_refused() -> None:
    with pytest.raises(InputError, match="key_channels=0"):
        SelfAttentionHead(INPUTS, channels=6, key_channels=0)
