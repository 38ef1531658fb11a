"""DANet: both attentions against loops, and what the released code does instead."""

import math

import pytest
import torch
from torch import Tensor, nn

from classaware.models import DANetHead, HeadInputs
from classaware.models.heads.danet import ChannelAttention


def weights_by_loops(x: Tensor) -> list[list[float]]:
    """Row i: how much channel i takes from each; the less alike, the more."""
    channels = [channel.flatten().tolist() for channel in x]
    energy = [[sum(a * b for a, b in zip(one, other, strict=True)) for other in channels] for one in channels]
    rows = []
    for row in energy:
        exponentials = [math.exp(max(row) - e) for e in row]
        rows.append([e / sum(exponentials) for e in exponentials])
    return rows


def channel_by_loops(x: Tensor, gamma: float, as_released: bool) -> Tensor:
    rows, out = weights_by_loops(x), x.clone()
    for i in range(len(x)):
        for j in range(len(x)):
            out[i] += gamma * (rows[j][i] if as_released else rows[i][j]) * x[j]
    return out


def example(channels: int = 5) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, channels, 2, 3, dtype=torch.float64) / 2


def opened(as_released: bool, gamma: float = 0.7) -> ChannelAttention:
    attention = ChannelAttention(as_released).double()
    nn.init.constant_(attention.gamma, gamma)
    return attention


@pytest.mark.parametrize("as_released", [False, True])
def test_channel_attention_equals_loops(as_released: bool) -> None:
    x = example()
    expected = torch.stack([channel_by_loops(image, 0.7, as_released) for image in x])
    torch.testing.assert_close(opened(as_released)(x).detach(), expected)


def test_the_released_form_is_another_one() -> None:
    """Published: each channel becomes an average of channels. Released: weights are columns, whose sums are not 1."""
    x = example()
    gathered = {form: opened(form, 1.0)(x).detach() - x for form in (False, True)}
    assert (gathered[False] - gathered[True]).abs().max() > 0.1
    # An average lies between the smallest and the largest channel and keeps what all channels have in common.
    assert (gathered[False] <= x.amax(1, keepdim=True) + 1e-12).all()
    assert (gathered[False] >= x.amin(1, keepdim=True) - 1e-12).all()
    rows = torch.tensor(weights_by_loops(x[0]))
    assert torch.allclose(rows.sum(1), torch.ones(5))
    assert not torch.allclose(rows.sum(0), torch.ones(5), atol=0.2)


def test_large_features_do_not_overflow() -> None:
    """Energies of 1e6 would, were the maximum not taken off first; float32 inside, whatever the features are."""
    x = (100 * example(8)).bfloat16()
    attention = opened(False).bfloat16()
    assert attention(x).dtype == torch.bfloat16
    assert attention(x).isfinite().all()


def test_head_has_two_branches_of_its_own_convolutions() -> None:
    torch.manual_seed(0)
    head = DANetHead(HeadInputs((3,), (8,), 5), channels=16).double().eval()
    layers = (head.position.query, head.position.key, head.position.value)
    for layer in layers:
        nn.init.normal_(layer.bias)
    x = torch.randn(1, 3, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        start = head([x]).features
        torch.testing.assert_close(start, (head.position_down(x), head.channel_down(x)))  # both gates start closed
        head.gamma.fill_(0.5)
        head.channel.gamma.fill_(-0.3)
        down = head.position_down(x)[0].flatten(1)  # (C, P)
        query, key, value = (f.weight.flatten(1) @ down + f.bias[:, None] for f in layers)
        position = down.clone()
        for i in range(6):
            exponentials = [math.exp(float(query[:, i] @ key[:, j])) for j in range(6)]
            for j in range(6):
                position[:, i] += 0.5 * exponentials[j] / sum(exponentials) * value[:, j]
        channel = channel_by_loops(head.channel_down(x)[0], -0.3, False)
        expected = (position.reshape(1, 16, 3, 2), channel.unsqueeze(0))
        torch.testing.assert_close(head([x]).features, expected)
    assert head.branches == 2
    assert not torch.equal(head.position.query.weight, head.position.key.weight)
    assert head.position.query.out_channels == 2
