"""Center loss against loops over pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.rivals import CenterLoss


def by_hand(x: Tensor, y: Tensor, centers: list[list[float]], ignore_index: int, alpha: float) -> float:
    """The loss; ``centers`` is updated in place (Eqs. 2 to 4)."""
    images, channels, height, width = x.shape
    total, labeled = 0.0, 0
    sums = [[0.0] * channels for _ in centers]
    counts = [0] * len(centers)
    for b in range(images):
        for i in range(height):
            for j in range(width):
                label = int(y[b, i, j])
                if label == ignore_index:
                    continue
                labeled += 1
                counts[label] += 1
                for c in range(channels):
                    difference = float(x[b, c, i, j]) - centers[label][c]
                    total += difference**2 / 2
                    sums[label][c] -= difference
    for label, count in enumerate(counts):
        for c in range(channels):
            centers[label][c] -= alpha * sums[label][c] / (1 + count)
    return total / max(labeled, 1)


def case(seed: int, shape: tuple[int, ...] = (2, 3, 4, 5), classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    y = torch.randint(0, classes, (shape[0], *shape[2:]), generator=generator)
    return x, y.where(torch.rand(y.shape, generator=generator) < 0.7, 255)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([255, 1]), st.integers(1, 3))
def test_equals_a_loop_over_pixels(seed: int, alpha: float, ignore_index: int, images: int) -> None:
    loss = CenterLoss(3, 4, ignore_index, alpha=alpha, weight=2.0).double()
    centers = [[0.0] * 3 for _ in range(4)]
    for step in range(3):
        x, y = case(seed + step, (images, 3, 4, 5))
        y = y.where(y != 255, ignore_index)
        assert float(loss(x, y)) == pytest.approx(2 * by_hand(x, y, centers, ignore_index, alpha), rel=1e-12)
        torch.testing.assert_close(loss.centers_KC, torch.tensor(centers, dtype=torch.float64), rtol=1e-12, atol=1e-14)


def test_gradient() -> None:
    loss = CenterLoss(3, 3, weight=0.3).double()
    loss(*case(0))
    loss.eval()
    x, y = case(1)
    x.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda z: loss(z, y), (x,))
    (gradient,) = torch.autograd.grad(loss(x, y), x)
    assert not gradient.permute(0, 2, 3, 1)[y == 255].any()


def test_gradient_is_that_of_the_old_centers_also_when_they_move() -> None:
    loss = CenterLoss(3, 3).double()
    loss(*case(0))
    old = loss.centers_KC.clone()
    x, y = case(1)
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(x, y), x)
    assert not torch.equal(old, loss.centers_KC)
    valid = y != 255
    expected = (x.detach().permute(0, 2, 3, 1)[valid] - old[y[valid]]) / int(valid.sum())
    torch.testing.assert_close(gradient.permute(0, 2, 3, 1)[valid], expected)


def test_ignored_pixels_do_not_matter_even_where_they_are_nan() -> None:
    x, y = case(2)
    hidden = x.permute(0, 2, 3, 1).clone()
    hidden[y == 255] = float("nan")
    hidden = hidden.permute(0, 3, 1, 2).requires_grad_(True)
    first, second = CenterLoss(3, 3), CenterLoss(3, 3)
    value = second(hidden, y)
    assert torch.equal(first(x, y), value)
    assert torch.equal(first.centers_KC, second.centers_KC)
    (gradient,) = torch.autograd.grad(value, hidden)
    assert gradient.isfinite().all()


def test_a_batch_that_overflowed_leaves_the_centers() -> None:
    loss = CenterLoss(2, 2)
    loss(torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
    old = loss.centers_KC.clone()
    loss(torch.full((1, 2, 2, 2), float("inf")), torch.zeros(1, 2, 2, dtype=torch.int64))
    assert torch.equal(loss.centers_KC, old)
    assert old[0].tolist() == pytest.approx([0.4, 0.4])  # 1/2 * 4 / (1 + 4)


def test_eval_mode_moves_nothing() -> None:
    loss = CenterLoss(3, 3).eval()
    loss(*case(3))
    assert not loss.centers_KC.any()
