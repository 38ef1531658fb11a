"""Attention over positions against loops over positions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.models import attention as module
from classaware.models.attention import attention, criss_cross_attention

Vector = list[float]


def gather(query: Vector, keys: list[Vector], values: list[Vector]) -> Vector:
    """softmax(query · key) without a scale, times value."""
    weights = [math.exp(sum(q * k for q, k in zip(query, key, strict=True))) for key in keys]
    return [sum(w * v[c] for w, v in zip(weights, values, strict=True)) / sum(weights) for c in range(len(values[0]))]


def normal(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.fixture(params=[0, 1024], ids=["sliced", "whole"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many positions are treated another way than few; here both treat few."""
    monkeypatch.setattr(module, "_SMALL", request.param)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize(("positions", "depth", "channels"), [(5, 2, 6), (4, 3, 7), (6, 5, 2), (1, 1, 3)])
def test_attention_equals_loops(positions: int, depth: int, channels: int) -> None:
    q, k, v = normal(positions, (2, positions, depth), (2, positions, depth), (2, positions, channels))
    keys, values = k.tolist(), v.tolist()
    expected = [[gather(query, keys[b], values[b]) for query in q[b].tolist()] for b in range(2)]
    torch.testing.assert_close(attention(q, k, v), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.usefixtures("_either_way")
def test_gradients_of_attention_equal_finite_differences() -> None:
    inputs = [x.requires_grad_() for x in normal(0, (1, 4, 2), (1, 4, 2), (1, 4, 3))]
    assert torch.autograd.gradcheck(attention, inputs)


def test_above_and_below_the_limit_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a size where both ways would be taken in earnest, in float32, gradients included."""
    results = []
    for small in (0, 10**6):
        monkeypatch.setattr(module, "_SMALL", small)
        q, k, v = (x.float().requires_grad_() for x in normal(1, (1, 1030, 8), (1, 1030, 8), (1, 1030, 20)))
        context = attention(q, k, v)
        context.square().sum().backward()
        results.append([context.detach(), q.grad, k.grad, v.grad])
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)


def criss_cross_by_loops(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Every position looks at its row and its column; itself is one of them, not two."""
    images, channels, height, width = value.shape
    out = torch.zeros(images, channels, height, width, dtype=torch.float64)
    for b in range(images):
        for i in range(height):
            for j in range(width):
                cross = {(i, w) for w in range(width)} | {(g, j) for g in range(height)}
                keys = [key[b, :, g, w].tolist() for g, w in cross]
                values = [value[b, :, g, w].tolist() for g, w in cross]
                out[b, :, i, j] = torch.tensor(gather(query[b, :, i, j].tolist(), keys, values))
    return out


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5))
def test_criss_cross_equals_loops(seed: int, height: int, width: int) -> None:
    q, k, v = normal(seed, (2, 2, height, width), (2, 2, height, width), (2, 3, height, width))
    torch.testing.assert_close(criss_cross_attention(q, k, v), criss_cross_by_loops(q, k, v))


def test_own_position_counts_once() -> None:
    """With equal weights everywhere, each of the H + W - 1 positions has the same share, the own one included."""
    zeros, value = torch.zeros(1, 1, 4, 3), torch.zeros(1, 1, 4, 3)
    value[0, 0, 1, 2] = 6.0
    expected = torch.zeros(4, 3)
    expected[1, :] = expected[:, 2] = 1.0  # 6 / (4 + 3 - 1)
    torch.testing.assert_close(criss_cross_attention(zeros, zeros, value)[0, 0], expected)


def test_gradients_of_criss_cross_equal_finite_differences() -> None:
    inputs = [x.requires_grad_() for x in normal(0, (1, 2, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2))]
    assert torch.autograd.gradcheck(criss_cross_attention, inputs)
