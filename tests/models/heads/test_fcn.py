"""FCN: one 3x3 convolution."""

import torch
import torch.nn.functional as F

from classaware.models import FCNHead, HeadInputs


def test_fcn_is_one_convolution_of_the_last_map() -> None:
    torch.manual_seed(0)
    head = FCNHead(HeadInputs((2, 3), (4, 8), 5), channels=4).double().eval()
    maps = [torch.randn(1, 2, 6, 8, dtype=torch.float64), torch.randn(1, 3, 3, 4, dtype=torch.float64)]
    expected = F.relu(F.conv2d(maps[1], head.down[0].weight, padding=1) / (1 + 1e-5) ** 0.5)
    with torch.no_grad():
        features, aux, affinity = head(maps)
        torch.testing.assert_close(features, (expected,))
    assert (aux, affinity) == ((), None)
    assert sum(p.numel() for p in head.parameters()) == 3 * 4 * 9 + 2 * 4
    assert (head.channels, head.tap_channels, head.projection, head.branches) == (4, 4, (1, 2), 1)
