"""CCNet: the recurrent block against loops over the cross of every position."""

import math

import pytest
import torch
from torch import Tensor, nn

from classaware.models import CCNetHead, HeadInputs
from classaware.models.heads.ccnet import CrissCrossAttention


def block(channels: int, gamma: float, seed: int = 0) -> CrissCrossAttention:
    torch.manual_seed(seed)
    attention = CrissCrossAttention(channels).double()
    for layer in (attention.query, attention.key, attention.value):
        nn.init.normal_(layer.weight, std=0.5)
        nn.init.normal_(layer.bias)
    nn.init.constant_(attention.gamma, gamma)
    return attention


@torch.no_grad()
def once_by_loops(attention: CrissCrossAttention, x: Tensor) -> Tensor:
    """(C, H, W) to x + γ · what its row and column give; the place itself, in both, is taken once."""
    height, width = x.shape[1:]
    query, key, value = (
        torch.einsum("oc,chw->ohw", f.weight.flatten(1), x) + f.bias[:, None, None]
        for f in (attention.query, attention.key, attention.value)
    )
    out = x.clone()
    for i in range(height):
        for j in range(width):
            places = [(i, w) for w in range(width)] + [(g, j) for g in range(height) if g != i]
            weights = [math.exp(float(query[:, i, j] @ key[:, g, w])) for g, w in places]
            for weight, (g, w) in zip(weights, places, strict=True):
                out[:, i, j] += float(attention.gamma) * weight / sum(weights) * value[:, g, w]
    return out


@pytest.mark.parametrize("recurrence", [1, 2, 3])
def test_head_equals_loops(recurrence: int) -> None:
    """The same block over and over, a 3x3 convolution, beside the backbone's map, which comes first."""
    torch.manual_seed(1)
    head = CCNetHead(HeadInputs((3,), (8,), 5), channels=8, recurrence=recurrence).double().eval()
    head.attention.load_state_dict(block(8, 0.7).state_dict())
    maps = [torch.randn(1, 3, 3, 4, dtype=torch.float64)]
    with torch.no_grad():
        x = head.down(maps[0])[0]
        for _ in range(recurrence):
            x = once_by_loops(head.attention, x)
        expected = torch.cat([maps[0], head.after(x.unsqueeze(0))], 1)
        torch.testing.assert_close(head(maps).features, (expected,))


def test_gate_starts_closed_and_keys_have_an_eighth_of_the_channels() -> None:
    attention = CrissCrossAttention(16)
    assert attention.gamma.tolist() == [0.0]
    assert (attention.query.out_channels, attention.key.out_channels, attention.value.out_channels) == (2, 2, 16)


def test_twice_reaches_everywhere_and_once_only_the_cross() -> None:
    attention = block(4, gamma=1.0)
    x = torch.randn(1, 4, 4, 5, dtype=torch.float64, requires_grad=True)

    def reached(y: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(y[0, :, 1, 3].sum(), x)
        return gradient[0].abs().sum(0) > 0

    cross = torch.zeros(4, 5, dtype=torch.bool)
    cross[1, :] = cross[:, 3] = True
    assert torch.equal(reached(attention(x)), cross)
    assert reached(attention(attention(x))).all()
