"""The building blocks of the heads against loops, closed forms and torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.models.layers import adaptive_average_pool, conv_norm_act, initialize, resize
from classaware.models.neck import JPU

lengths = st.integers(1, 24)


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(lengths, lengths, st.sampled_from([1, 2, 3, 6, 7]))
def test_adaptive_pooling_is_torchs_in_value_and_gradient(height: int, width: int, size: int) -> None:
    """Maps smaller than the windows included."""
    ours, torchs = (image(2, 3, height, width).requires_grad_() for _ in range(2))
    pooled, expected = adaptive_average_pool(ours, size), F.adaptive_avg_pool2d(torchs, size)
    torch.testing.assert_close(pooled, expected)
    weights = image(*expected.shape, seed=1)
    (pooled * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, torchs.grad)


@settings(max_examples=40, deadline=None)
@given(*[st.integers(1, 9)] * 4)
def test_resize_keeps_corners_on_corners(height: int, width: int, new_height: int, new_width: int) -> None:
    x = image(1, 1, height, width)
    rows, columns = (
        np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        for old, new in ((height, new_height), (width, new_width))
    )
    expected = np.zeros((new_height, new_width))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            for y in range(height):
                for z in range(width):
                    expected[i, j] += max(0.0, 1 - abs(r - y)) * max(0.0, 1 - abs(c - z)) * float(x[0, 0, y, z])
    torch.testing.assert_close(resize(x, (new_height, new_width))[0, 0], torch.from_numpy(expected))


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("activation", [True, False])
def test_conv_norm_act_equals_loops(kernel_size: int, dilation: int, activation: bool) -> None:
    torch.manual_seed(0)
    block = conv_norm_act(2, 3, kernel_size, dilation, activation).double().eval()
    conv, norm = block[0], block[1]
    assert conv.bias is None
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    x = image(1, 2, 4, 5)
    weight = conv.weight.detach()
    expected = torch.zeros(1, 3, 4, 5, dtype=torch.float64)
    for o in range(3):
        for i in range(4):
            for j in range(5):
                total = 0.0
                for c in range(2):
                    for a in range(kernel_size):
                        for b in range(kernel_size):
                            r, s = i + dilation * (a - kernel_size // 2), j + dilation * (b - kernel_size // 2)
                            if 0 <= r < 4 and 0 <= s < 5:
                                total += float(weight[o, c, a, b] * x[0, c, r, s])
                spread = float(norm.running_var[o] + norm.eps) ** 0.5
                total = float(norm.weight[o].detach()) * (total - float(norm.running_mean[o])) / spread + float(
                    norm.bias[o].detach()
                )
                expected[0, o, i, j] = max(total, 0.0) if activation else total
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected)


def test_a_layer_without_channels_is_refused() -> None:
    with pytest.raises(InputError, match="channels=0"):
        conv_norm_act(4, 0)


def test_initialization() -> None:
    """Glorot: uniform up to √(6 / (fan-in + fan-out)); Kaiming: normal with variance 2 / fan-in; biases zero."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(40, 60, 3), nn.Linear(200, 300), nn.Conv2d(40, 40, 3, groups=40))
    # A depthwise kernel reads one channel; fan-out counts all outputs times the kernel, as torch and Keras do.
    for layer, fans in zip(layers, ((360, 540), (200, 300), (9, 360)), strict=True):
        nn.init.ones_(layer.bias)
        initialize(layer)
        bound = (6 / sum(fans)) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()
        initialize(layer, "kaiming")
        assert layer.weight.std().item() == pytest.approx((2 / fans[0]) ** 0.5, rel=0.15)
        assert layer.weight.abs().max() > 1.2 * bound


def test_jpu_equals_a_functional_reference() -> None:
    torch.manual_seed(0)
    neck = JPU([2, 3, 4], channels=5).double().eval()
    for module in neck.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    maps = [image(2, 9, 12, 14), image(2, 2, 6, 7), image(2, 3, 3, 4), image(2, 4, 2, 2)]

    def norm(x: Tensor, n: nn.Module) -> Tensor:
        return F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)

    def convolve(x: Tensor, block: nn.Module, padding: int) -> Tensor:
        return F.relu(norm(F.conv2d(x, block[0].weight, padding=padding), block[1]))

    reduced = [convolve(m, block, 1) for m, block in zip(maps[1:], neck.reduce, strict=True)]
    joint = torch.cat([F.interpolate(m, (6, 7), mode="bilinear", align_corners=True) for m in reduced], 1)
    branches = []
    for dilation, (depthwise, middle, last) in zip((1, 2, 4, 8), neck.branches, strict=True):
        each = F.conv2d(joint, depthwise.weight, padding=dilation, dilation=dilation, groups=15)
        branches.append(convolve(norm(each, middle), last, 0))
    with torch.no_grad():
        torch.testing.assert_close(neck(maps), torch.cat(branches, 1))
    assert neck.out_channels == 20


def test_jpu_wants_three_maps() -> None:
    with pytest.raises(InputError, match="three maps, not 2"):
        JPU([2, 3])


def test_pooling_exports_with_free_sizes() -> None:
    class Pool(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return adaptive_average_pool(x, 3)

    sizes = {2: torch.export.Dim("height", min=2, max=99), 3: torch.export.Dim("width", min=2, max=99)}
    exported = torch.export.export(Pool(), (torch.rand(1, 2, 11, 7),), dynamic_shapes=(sizes,)).module()
    for size in ((11, 7), (5, 40), (2, 2)):
        x = torch.rand(1, 2, *size)
        torch.testing.assert_close(exported(x), F.adaptive_avg_pool2d(x, 3))


def test_pooling_is_float32_under_autocast() -> None:
    x = torch.rand(1, 4, 17, 17).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = adaptive_average_pool(x, 2)
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled, F.adaptive_avg_pool2d(x.float(), 2).bfloat16(), rtol=0, atol=0)
