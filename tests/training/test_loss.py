"""Cross-entropy against a loop over pixels."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.training import cross_entropy


def by_hand(logits: Tensor, labels: Tensor, ignore_index: int, average: str) -> float:
    total, labeled = 0.0, 0
    images, height, width = labels.shape
    for image, y, x in product(range(images), range(height), range(width)):
        label = int(labels[image, y, x])
        if label == ignore_index:
            continue
        scores = [float(value) for value in logits[image, :, y, x].double()]
        top = max(scores)
        total += top + math.log(sum(math.exp(value - top) for value in scores)) - scores[label]
        labeled += 1
    return total / (labels.numel() if average == "all" else max(labeled, 1))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["valid", "all"]), st.sampled_from([255, -1, 0, 2]))
def test_equals_a_loop_over_pixels(seed: int, average: str, ignore_index: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 3, 5, generator=generator) * 10
    labels = torch.randint(0, 4, (2, 3, 5), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.4] = ignore_index
    ours = cross_entropy(logits, labels, ignore_index, average)  # type: ignore[arg-type]
    assert float(ours) == pytest.approx(by_hand(logits, labels, ignore_index, average), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("average", ["valid", "all"])
def test_weights_multiply_every_pixel(average: str) -> None:
    generator = torch.Generator().manual_seed(3)
    logits, weights = torch.randn(2, 4, 3, 5, generator=generator), torch.rand(2, 3, 5, generator=generator)
    labels = torch.randint(0, 4, (2, 3, 5), generator=generator)
    labels[0, 0] = 255
    total = 0.0
    for image, y, x in product(range(2), range(3), range(5)):
        pixel = labels[image : image + 1, y : y + 1, x : x + 1]
        one = by_hand(logits[image : image + 1, :, y : y + 1, x : x + 1], pixel, 255, "valid")
        total += float(weights[image, y, x]) * one
    expected = total / (30 if average == "all" else 25)
    ours = cross_entropy(logits, labels, 255, average, weights)  # type: ignore[arg-type]
    assert float(ours) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ignore_index", [255, 1])
def test_ignored_pixels_get_no_gradient_and_the_averages_differ_by_their_share(ignore_index: int) -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :1] = ignore_index
    valid = cross_entropy(logits, labels, ignore_index)
    (gradient,) = torch.autograd.grad(valid, logits, retain_graph=True)
    assert torch.all(gradient[:, :, 0] == 0)
    assert torch.all(gradient[:, :, 1:].abs().sum(1) > 0)
    torch.testing.assert_close(cross_entropy(logits, labels, ignore_index, "all"), valid * 12 / 16)


@pytest.mark.parametrize("average", ["valid", "all"])
def test_nothing_labeled_is_zero_with_zero_gradients(average: str) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((2, 4, 4), 255), 255, average)  # type: ignore[arg-type]
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert torch.all(logits.grad == 0)


def test_half_precision_logits_are_summed_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 5, 16, 16, generator=generator) * 4).bfloat16()
    labels = torch.randint(0, 5, (2, 16, 16), generator=generator)
    loss = cross_entropy(logits, labels, 255)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(by_hand(logits, labels, 255, "valid"), rel=1e-5)
