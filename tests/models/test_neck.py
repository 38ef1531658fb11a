"""Joint Pyramid Upsampling against plain loops; sizes, gradients, errors."""

import pytest
import torch
from torch import Tensor

from classaware.errors import InputError
from classaware.models.neck import JPU


def convolve(x: Tensor, weight: Tensor, dilation: int, depthwise: bool) -> Tensor:
    """A zero-padded k x k convolution, position by position and tap by tap."""
    k = weight.shape[-1]
    batch, _, height, width = x.shape
    out = x.new_zeros(batch, weight.shape[0], height, width)
    for i in range(height):
        for j in range(width):
            for a in range(k):
                for b in range(k):
                    y, z = i + (a - k // 2) * dilation, j + (b - k // 2) * dilation
                    if 0 <= y < height and 0 <= z < width:
                        pixel, tap = x[:, :, y, z], weight[:, :, a, b]
                        out[:, :, i, j] += pixel * tap[:, 0] if depthwise else pixel @ tap.T
    return out


def normalize(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Batch norm of a fresh layer in training: over the batch and all positions, scale 1, shift 0."""
    mean = x.mean((0, 2, 3), keepdim=True)
    return (x - mean) / ((x - mean) ** 2).mean((0, 2, 3), keepdim=True).add(eps).sqrt()


def stretch(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear with aligned corners, position by position."""
    out = x.new_zeros(*x.shape[:2], height, width)
    for i in range(height):
        for j in range(width):
            y = i * (x.shape[2] - 1) / max(height - 1, 1)
            z = j * (x.shape[3] - 1) / max(width - 1, 1)
            for p, along_y in ((int(y), 1 - y % 1), (int(y) + 1, y % 1)):
                for q, along_z in ((int(z), 1 - z % 1), (int(z) + 1, z % 1)):
                    if along_y * along_z > 0:
                        out[:, :, i, j] += along_y * along_z * x[:, :, p, q]
    return out


@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_equals_plain_loops(size):
    torch.manual_seed(0)
    neck = JPU((2, 3, 4), channels=2).double()
    maps = [
        torch.randn(2, c, -(-size[0] // s), -(-size[1] // s), dtype=torch.float64)
        for c, s in zip((2, 3, 4), (1, 2, 4), strict=True)
    ]
    weights = {name: value for name, value in neck.named_parameters() if value.dim() == 4}
    assert len(weights) == 3 + 2 * 4
    joint = torch.cat(
        [
            stretch(normalize(convolve(m, weights[f"reduce.{i}.0.weight"], 1, False)).clamp(min=0), *size)
            for i, m in enumerate(maps)
        ],
        1,
    )
    expected = []
    for i, dilation in enumerate((1, 2, 4, 8)):
        filtered = normalize(convolve(joint, weights[f"branches.{i}.0.weight"], dilation, True))
        expected.append(normalize(convolve(filtered, weights[f"branches.{i}.2.0.weight"], 1, False)).clamp(min=0))
    torch.testing.assert_close(neck(maps), torch.cat(expected, 1))


@pytest.mark.parametrize("size", [(65, 65), (33, 41), (5, 3), (1, 1)])
def test_gives_four_branches_at_the_size_of_the_first_map(size):
    neck = JPU((8, 16, 32), channels=4).eval()
    maps = [torch.rand(1, c, -(-size[0] // s), -(-size[1] // s)) for c, s in ((8, 1), (16, 2), (32, 4))]
    assert neck(maps).shape == (1, 16, *size)
    assert neck.out_channels == 16
    torch.testing.assert_close(neck([torch.rand(1, 7, 3, 3), *maps]), neck(maps))


def test_every_parameter_and_every_map_gets_a_gradient():
    torch.manual_seed(0)
    neck = JPU((3, 4, 5), channels=6)
    maps = [torch.randn(2, c, n, n, requires_grad=True) for c, n in ((3, 9), (4, 5), (5, 3))]
    out = neck(maps)
    (out * torch.randn_like(out)).sum().backward()
    for name, value in [*neck.named_parameters(), *((f"map {i}", m) for i, m in enumerate(maps))]:
        assert value.grad is not None, name
        assert value.grad.abs().max() > 0, name


def test_parameters_of_the_paper_width():
    """Three 3x3 convolutions, four depthwise ones and four 1x1, each with a norm; ConvNeXt-Large's last maps."""
    neck = JPU((384, 768, 1536))
    width = 512
    expected = (384 + 768 + 1536) * 9 * width + 3 * 2 * width
    expected += 4 * (3 * width * 9 + 2 * 3 * width + 3 * width * width + 2 * width)
    assert sum(p.numel() for p in neck.parameters()) == expected
    assert neck.out_channels == 2048


@pytest.mark.parametrize(
    ("in_channels", "channels", "message"), [((8, 16), 4, "three maps, not 2"), ((8, 16, 32), 0, "channels=0")]
)
def test_errors_name_the_thing(in_channels, channels, message):
    with pytest.raises(InputError, match=message):
        JPU(in_channels, channels)
