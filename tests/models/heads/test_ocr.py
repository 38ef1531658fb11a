"""OCR: regions and the attention to them against loops, published and released."""

import math

import pytest
import torch
from torch import Tensor, nn

from classaware.models import HeadInputs, OCRHead
from classaware.models.heads.ocr import gather_regions


def regions_by_loops(logits: Tensor, x: Tensor) -> Tensor:
    """(K, P) and (C, P) to (K, C): the softmax runs over the pixels of a class, not over the classes of a pixel."""
    out = torch.zeros(len(logits), len(x), dtype=torch.float64)
    for k, row in enumerate(logits.tolist()):
        exponentials = [math.exp(value) for value in row]
        for p, e in enumerate(exponentials):
            for c in range(len(x)):
                out[k, c] += e / sum(exponentials) * float(x[c, p])
    return out


def trained(num_classes: int, as_released: bool) -> OCRHead:
    torch.manual_seed(0)
    head = OCRHead(HeadInputs((3,), (4,), num_classes), channels=6, as_released=as_released)
    for layer in head.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.1, 0.5)
            nn.init.normal_(layer.bias, std=0.5)
    nn.init.normal_(head.coarse[1].bias)
    return head.double().eval()


def test_regions_equal_loops() -> None:
    torch.manual_seed(0)
    logits = 2 * torch.randn(2, 3, 2, 4, dtype=torch.float64)
    x = torch.randn(2, 5, 2, 4, dtype=torch.float64)
    expected = torch.stack([regions_by_loops(a.flatten(1), b.flatten(1)) for a, b in zip(logits, x, strict=True)])
    torch.testing.assert_close(gather_regions(logits, x), expected)


@pytest.mark.parametrize("as_released", [False, True], ids=["published", "released"])
def test_head_equals_loops(as_released: bool) -> None:
    """Published: K regions of C features. Released: the transposed matrix, C regions of K features."""
    head = trained(4, as_released)
    x = torch.randn(1, 3, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        logits, down = head.coarse(x), head.down(x)
        regions = regions_by_loops(logits[0].flatten(1), down[0].flatten(1))
        described = regions.T if as_released else regions  # one row a region
        assert described.shape == ((6, 4) if as_released else (4, 6))
        # One region at a time, as a map of one pixel.
        keys = [head.key(r.view(1, -1, 1, 1)).flatten() for r in described]
        values = [head.value(r.view(1, -1, 1, 1)).flatten() for r in described]
        queries = head.query(down)[0].flatten(1)
        assert queries.shape[0] == 3  # half of the width
        context = torch.zeros(3, 6, dtype=torch.float64)
        for p in range(6):
            exponentials = [math.exp(float(queries[:, p] @ key) / math.sqrt(3)) for key in keys]
            for e, value in zip(exponentials, values, strict=True):
                context[:, p] += e / sum(exponentials) * value
        expected = torch.cat([head.up(context.view(1, 3, 2, 3)), down], 1)
        output = head([x])
        torch.testing.assert_close(output.features, (expected,))
        torch.testing.assert_close(output.aux_logits, (logits,))


def test_the_released_form_is_another_one() -> None:
    """With as many classes as channels both have the same weights, and still other features."""
    published, released = trained(6, False), trained(6, True)
    released.load_state_dict(published.state_dict())
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    context = [head([x]).features[0][:, :6].detach() for head in (published, released)]
    assert (context[0] - context[1]).abs().max() > 0.01


def test_one_class_gives_one_region_to_all() -> None:
    head = trained(1, False)
    context = head([torch.randn(1, 3, 3, 3, dtype=torch.float64)]).features[0][:, :6]
    torch.testing.assert_close(context, context[:, :, :1, :1].expand_as(context))
