"""Classes that take no part: as if their pixels had no label and they did not exist."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from classaware.regularization import ClassAwareRegularization


def terms_and_gradient(regularizer: ClassAwareRegularization, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    terms = regularizer(x, y)
    terms.total.backward()
    assert x.grad is not None
    return [*terms, x.grad]


@given(
    seed=st.integers(0, 1000),
    exclude=st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True),
    centers=st.sampled_from(["batch", "image", "ema"]),
    fused=st.booleans(),
    dtype=st.sampled_from([torch.uint8, torch.int64]),
)
def test_equals_unlabeled_pixels(seed: int, exclude: list[int], centers: Any, fused: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 4, 6, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 5, (2, 6, 5), generator=generator, dtype=torch.int64)
    y[torch.rand(y.shape, generator=generator) < 0.1] = 255
    options: dict[str, Any] = {"preset": "masked", "centers": centers, "fused": fused, "c2c_margin": 0.1}
    gone = y.clone()
    for index in exclude:
        gone[gone == index] = 255
    expected = terms_and_gradient(ClassAwareRegularization(5, **options), x, gone)
    found = terms_and_gradient(ClassAwareRegularization(5, exclude=tuple(exclude), **options), x, y.to(dtype))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_excluded_pixels_have_no_gradient_and_others_do() -> None:
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (torch.arange(16) % 3).reshape(1, 4, 4)
    *_, gradient = terms_and_gradient(ClassAwareRegularization(3, preset="masked", exclude=(0,)), x, y)
    by_pixel = gradient.abs().sum(1)
    assert (by_pixel[y == 0] == 0).all()
    assert (by_pixel[y != 0] > 0).all()


@pytest.mark.parametrize(
    ("exclude", "preset", "message"),
    [
        ((5,), "masked", "5 is no class; there are 0 to 4"),
        ((-1,), "masked", "-1 is no class"),
        ((0,), "released", "preset='masked'"),
        ((0,), "paper", "preset='masked'"),
        ((0, 1, 2, 3, 4), "masked", "leaves no class"),
        (0, "masked", r"such as \(0,\)"),
        (("0",), "masked", r"such as \(0,\)"),
        (None, "masked", r"such as \(0,\)"),
    ],
)
def test_bad_values(exclude: Any, preset: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassAwareRegularization(5, preset=preset, exclude=exclude)


def test_ignored_class_is_no_class_that_is_left() -> None:
    with pytest.raises(ValueError, match="leaves no class"):
        ClassAwareRegularization(2, ignore_index=1, preset="masked", exclude=(0,))
