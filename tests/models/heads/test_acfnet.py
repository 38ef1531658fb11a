"""ACFNet: class centers and their mixture against loops."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.models import ACFNetHead, HeadInputs
from classaware.models.heads.acfnet import attend_to_classes


def by_loops(logits: Tensor, x: Tensor) -> Tensor:
    """Eqs. 1 and 2 for one image: (K, H, W) and (C, H, W) to (C, H, W)."""
    classes, height, width = logits.shape
    places = [(i, j) for i in range(height) for j in range(width)]
    probability = {}
    for i, j in places:
        exponentials = [math.exp(float(logits[k, i, j])) for k in range(classes)]
        for k in range(classes):
            probability[k, i, j] = exponentials[k] / sum(exponentials)
    centers = torch.zeros(classes, len(x), dtype=torch.float64)
    for k in range(classes):
        mass = sum(probability[k, i, j] for i, j in places)
        for c in range(len(x)):
            centers[k, c] = sum(probability[k, i, j] * float(x[c, i, j]) for i, j in places) / mass
    out = torch.zeros_like(x)
    for i, j in places:
        for k in range(classes):
            out[:, i, j] += probability[k, i, j] * centers[k]
    return out


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_attention_to_classes_equals_loops(seed: int, classes: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, height, width, generator=generator, dtype=torch.float64)
    x = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    expected = torch.stack([by_loops(a, b) for a, b in zip(logits, x, strict=True)])
    torch.testing.assert_close(attend_to_classes(logits, x), expected)


def test_a_sure_prediction_gives_every_pixel_the_mean_of_its_class() -> None:
    x = torch.tensor([[[[1.0, 3.0, 10.0]]]])
    logits = torch.tensor([[[[200.0, 200.0, -200.0]], [[-200.0, -200.0, 200.0]], [[-200.0, -200.0, -200.0]]]])
    torch.testing.assert_close(attend_to_classes(logits, x), torch.tensor([[[[2.0, 2.0, 10.0]]]]))


def test_a_class_that_nobody_predicts_has_no_nan_and_no_gradient() -> None:
    x = torch.randn(1, 2, 2, 2, requires_grad=True)
    logits = torch.tensor([0.0, -1000.0]).view(1, 2, 1, 1).repeat(1, 1, 2, 2).requires_grad_()
    attend_to_classes(logits, x).sum().backward()
    assert x.grad.isfinite().all()
    assert logits.grad.isfinite().all()


def test_head_puts_the_refined_mixture_in_front_of_the_pixels_own() -> None:
    torch.manual_seed(0)
    head = ACFNetHead(HeadInputs((3,), (8,), 4), channels=6).double().eval()
    x = torch.randn(1, 3, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        down = head.down(x)
        mixture = by_loops(head.coarse(down)[0], head.reduce(down)[0])
        features, aux, _ = head([x])
        torch.testing.assert_close(features, (torch.cat([head.refine(mixture.unsqueeze(0)), down], 1),))
        torch.testing.assert_close(aux, (head.coarse(down),))
