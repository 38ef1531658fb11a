"""CPNet: aggregation and the use of the context prior against loops."""

import math

import pytest
import torch
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models import CPNetHead, HeadInputs
from classaware.models.heads.cpnet import Aggregation

INPUTS = HeadInputs((3,), (8,), 5)


def with_statistics(module: nn.Module) -> nn.Module:
    """Norms and biases that are not neutral."""
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(layer.running_var, 0.5, 2)
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.normal_(layer.bias)
    return module.double().eval()


def strip(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution along one side, each channel for itself, zeros outside."""
    channels, height, width = x.shape
    rows, columns = conv.weight.shape[-2:]
    out = torch.zeros_like(x)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                total = float(conv.bias[c])
                for a in range(rows):
                    for b in range(columns):
                        r, s = i + a - rows // 2, j + b - columns // 2
                        if 0 <= r < height and 0 <= s < width:
                            total += float(conv.weight[c, 0, a, b]) * float(x[c, r, s])
                out[c, i, j] = total
    return out


def test_aggregation_is_two_crossed_pairs_of_strips() -> None:
    """k x 1 then 1 x k, plus 1 x k then k x 1, then norm and ReLU; a neighborhood wider than the map, too."""
    module = with_statistics(Aggregation(3, 2, kernel_size=5))
    x = torch.randn(1, 3, 4, 6, dtype=torch.float64)
    with torch.no_grad():
        down = module.down(x)[0]
        tall, wide = module.rows_first
        assert tall.weight.shape == (2, 1, 5, 1)
        assert wide.weight.shape == (2, 1, 1, 5)
        first = strip(strip(down, tall), wide)
        wide, tall = module.columns_first
        assert (wide.weight.shape, tall.weight.shape) == ((2, 1, 1, 5), (2, 1, 5, 1))
        second = strip(strip(down, wide), tall)
        norm = module.norm[0]
        expected = torch.zeros_like(first)
        for c in range(2):
            scale = float(norm.weight[c]) / math.sqrt(float(norm.running_var[c]) + norm.eps)
            y = scale * (first[c] + second[c] - float(norm.running_mean[c])) + float(norm.bias[c])
            expected[c] = y.clamp(min=0)
        torch.testing.assert_close(module(x)[0], expected)


def test_prior_gathers_the_own_class_and_the_others() -> None:
    """intra_j = Σ_i p_ji v_i / N and inter_j = Σ_i (1 - p_ji) v_i / N, with p_ji what position j predicts for i."""
    head = with_statistics(CPNetHead(INPUTS, channels=4, grid=3))
    x = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        value = head.aggregation(x).flatten(2)  # (B, C, N)
        logits = head.prior(value.unflatten(2, (3, 3)))  # channel i at place j: does j share its class with i
        intra, inter = torch.zeros_like(value), torch.zeros_like(value)
        affinity = torch.zeros(2, 9, 9, dtype=torch.float64)
        for b in range(2):
            for j in range(9):
                for i in range(9):
                    logit = float(logits[b, i, j // 3, j % 3])
                    affinity[b, j, i] = logit
                    p = 1 / (1 + math.exp(-logit))
                    intra[b, :, j] += p * value[b, :, i] / 9
                    inter[b, :, j] += (1 - p) * value[b, :, i] / 9
        context = [layer(y.unflatten(2, (3, 3))) for layer, y in ((head.intra, intra), (head.inter, inter))]
        output = head([x])
        torch.testing.assert_close(output.features, (torch.cat([x, *context], 1),))
        torch.testing.assert_close(output.affinity, affinity)
    assert output.affinity.min() < 0  # logits: the norm is not followed by a ReLU


def test_any_map_is_brought_to_the_grid() -> None:
    head = with_statistics(CPNetHead(INPUTS, channels=4, grid=3))
    x = torch.randn(1, 3, 4, 7, dtype=torch.float64)
    corners = head([x]).features[0][0, :3, ::2, ::2]
    torch.testing.assert_close(corners, x[0, :, ::3, ::6])


def test_grid_is_that_of_the_crop_unless_told() -> None:
    sides = {stride: CPNetHead(HeadInputs((3,), (stride,), 5), channels=4).grid for stride in (8, 16, 32)}
    assert sides == {8: 64, 16: 32, 32: 16}
    with pytest.raises(InputError, match="grid=0"):
        CPNetHead(INPUTS, channels=4, grid=0)
