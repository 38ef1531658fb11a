"""UPerNet: pooling, pyramid and top-down path against torch's functions."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models import HeadInputs, UPerNetHead
from classaware.models.heads.upernet import PyramidPooling, padded_average_pool

INPUTS = HeadInputs((2, 3, 4), (4, 8, 32), 5)


def with_statistics(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.bias)
    return module.double().eval()


def block(layers: nn.Sequential, x: Tensor) -> Tensor:
    conv, norm = layers[0], layers[1]
    y = F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2)
    return F.relu(F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps))


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)


def pooled_by_loops(x: Tensor, size: int) -> Tensor:
    """Released: windows of one size from the top left; what lies outside the map is zero and is averaged in."""
    images, channels, height, width = x.shape
    rows, columns = -(-height // size), -(-width // size)
    out = torch.zeros(images, channels, size, size, dtype=x.dtype)
    for i in range(size):
        for j in range(size):
            for r in range(i * rows, min((i + 1) * rows, height)):
                for c in range(j * columns, min((j + 1) * columns, width)):
                    out[:, :, i, j] += x[:, :, r, c] / (rows * columns)
    return out


def test_released_pooling_averages_zeros_in() -> None:
    """Seen in the authors' code: a map of 17 x 17 ones to 2 x 2."""
    pooled = padded_average_pool(torch.ones(1, 1, 17, 17), 2)[0, 0]
    torch.testing.assert_close(pooled, torch.tensor([[1.0, 8 / 9], [8 / 9, 64 / 81]]))
    assert [round(float(v), 3) for v in pooled.flatten()] == [1.0, 0.889, 0.889, 0.79]


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(17, 17), (7, 5), (2, 3), (1, 1), (12, 6)])
def test_released_pooling_equals_loops(shape: tuple[int, int], size: int) -> None:
    x = torch.randn(2, 3, *shape, dtype=torch.float64)
    torch.testing.assert_close(padded_average_pool(x, size), pooled_by_loops(x, size))


@pytest.mark.parametrize("as_released", [False, True], ids=["published", "released"])
@pytest.mark.parametrize("shape", [(17, 13), (3, 2)])
def test_pyramid_pooling(shape: tuple[int, int], as_released: bool) -> None:
    """Published: torch's adaptive means and 1x1 convolutions. Released: windows with zeros and 3x3 convolutions."""
    module = with_statistics(PyramidPooling(3, 4, as_released))
    x = torch.randn(2, 3, *shape, dtype=torch.float64)
    assert [b[0].kernel_size[0] for b in module.pooled] == [3 if as_released else 1] * 4
    maps = [x]
    for size, layers in zip((1, 2, 3, 6), module.pooled, strict=True):
        mean = pooled_by_loops(x, size) if as_released else F.adaptive_avg_pool2d(x, size)
        maps.append(enlarge(block(layers, mean), x))
    with torch.no_grad():
        torch.testing.assert_close(module(x), block(module.fuse, torch.cat(maps, 1)))


def test_the_two_forms_differ_on_the_same_weights_of_pooling_alone() -> None:
    x = torch.ones(1, 1, 17, 17)
    assert torch.equal(F.adaptive_avg_pool2d(x, 6), torch.ones(1, 1, 6, 6))
    assert padded_average_pool(x, 6).min() < 0.7


def test_top_down_path() -> None:
    """Three levels by hand: each adds the coarser one; only the finer ones are smoothed; all meet at the finest."""
    head = with_statistics(UPerNetHead(INPUTS, channels=4))
    fine, middle, coarse = (
        torch.randn(1, c, *size, dtype=torch.float64) for c, size in ((2, (9, 11)), (3, (5, 6)), (4, (2, 2)))
    )
    with torch.no_grad():
        top = head.pooling(coarse)
        half = block(head.laterals[1], middle) + enlarge(top, middle)
        full = block(head.laterals[0], fine) + enlarge(half, fine)
        levels = [block(head.smooth[0], full), enlarge(block(head.smooth[1], half), fine), enlarge(top, fine)]
        torch.testing.assert_close(head([fine, middle, coarse]).features, (torch.cat(levels, 1),))
    assert (head.channels, head.tap_channels, head.projection) == (12, 4, (3, 4))


def test_maps_out_of_order_are_refused() -> None:
    """As HRNet's, whose fused map comes last and is the finest."""
    with pytest.raises(InputError, match=r"\(4, 8, 4\).*set network.backbone.fuse"):
        UPerNetHead(HeadInputs((2, 3, 5), (4, 8, 4), 5), channels=4)
