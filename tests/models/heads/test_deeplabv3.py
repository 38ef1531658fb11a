"""DeepLabV3: rates by stride and the content of the pyramid."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classaware.models import DeepLabV3Head, HeadInputs


@pytest.mark.parametrize(
    ("stride", "rates"), [(4, [24, 48, 72]), (8, [12, 24, 36]), (16, [6, 12, 18]), (32, [3, 6, 9])]
)
def test_rates_follow_the_stride(stride: int, rates: list[int]) -> None:
    head = DeepLabV3Head(HeadInputs((2, 3), (4, stride), 5), channels=4)
    convs = [block[0] for block in head.branch_convs]
    assert [conv.dilation for conv in convs] == [(1, 1)] + [(rate, rate) for rate in rates]
    assert [conv.kernel_size for conv in convs] == [(1, 1)] + [(3, 3)] * 3


def test_pyramid_is_the_images_mean_a_1x1_and_three_dilated_convolutions() -> None:
    torch.manual_seed(0)
    head = DeepLabV3Head(HeadInputs((3,), (32,), 5), channels=4).double().eval()
    for layer in head.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    x = torch.randn(2, 3, 8, 11, dtype=torch.float64)

    def block(layers: nn.Sequential, y: Tensor, rate: int) -> Tensor:
        conv, norm = layers[0], layers[1]
        padding = rate if conv.weight.shape[-1] == 3 else 0
        z = F.conv2d(y, conv.weight, padding=padding, dilation=rate)
        mean, var = norm.running_mean.view(1, -1, 1, 1), norm.running_var.view(1, -1, 1, 1)
        return F.relu((z - mean) / (var + norm.eps).sqrt())

    with torch.no_grad():
        image = block(head.image, x.sum((2, 3), keepdim=True) / 88, 1).repeat(1, 1, 8, 11)
        branches = [block(b, x, r) for b, r in zip(head.branch_convs, (1, 3, 6, 9), strict=True)]
        torch.testing.assert_close(head([x]).features, (torch.cat([image, *branches], 1),))
    assert (head.channels, head.tap_channels, head.projection) == (20, 4, (1, 4))
