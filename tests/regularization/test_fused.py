"""The passes against the reference: values, gradients, second derivatives, types, layouts, and what is kept."""

import dataclasses
from typing import Any

import pytest
import torch
from car_cases import TERMS, assert_same, random_case, specs, total_and_gradient
from car_oracle import Spec
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from classaware import ClassAwareRegularization
from classaware.regularization import chunked

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def pair(spec: Spec, **options: Any) -> tuple[ClassAwareRegularization, ClassAwareRegularization]:
    """Fused and reference, with all knobs drawn."""
    keywords = {name: value for name, value in dataclasses.asdict(spec).items() if name != "num_classes"} | options
    return (
        ClassAwareRegularization(spec.num_classes, fused=True, **keywords),
        ClassAwareRegularization(spec.num_classes, fused=False, **keywords),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Spec, torch.Tensor, torch.Tensor]:
    spec = draw(specs())
    K = draw(st.sampled_from([1, 2, 5, 20, 70, 130]))
    shape = (
        draw(st.integers(1, 3)),
        draw(st.sampled_from([1, 3, 16, 33])),
        *draw(st.sampled_from([(1, 1), (5, 4), (9, 8)])),
    )
    present = draw(st.integers(1, K))
    x, y = random_case(draw(st.integers(0, 2**20)), shape, present, draw(st.sampled_from([0.0, 0.3, 1.0])))
    y = torch.where(y == 255, spec.ignore_index, (y * 7) % K)
    return dataclasses.replace(spec, num_classes=K), x, y


@settings(max_examples=150)
@given(cases(), st.sampled_from(sorted(LAYOUTS)))
def test_values_and_gradients_in_float32(case: tuple[Spec, torch.Tensor, torch.Tensor], layout: str) -> None:
    spec, x, y = case
    x = x.float().contiguous(memory_format=LAYOUTS[layout])
    fused, reference = pair(spec)
    for step in range(2):  # the second time, running centers are there already
        assert_same(fused(x + step, y), reference(x + step, y), rtol=2e-6, atol=1e-6)
    if spec.drop_max:
        return  # with a tie, rounding decides which pixel is left out
    for car in (fused, reference):
        car.eval()
    found, expected = total_and_gradient(fused, x, y)[1], total_and_gradient(reference, x, y)[1]
    assert float((found - expected).norm()) <= 1e-5 * float(expected.norm()) + 1e-7
    if spec.pool == 1 and min(x.shape[1:]) > 1:
        assert found.stride() == x.stride()


@settings(max_examples=60)
@given(cases(), st.sampled_from(sorted(LAYOUTS)), st.booleans())
def test_chunks_of_any_size_are_exact(case: tuple[Spec, torch.Tensor, torch.Tensor], layout: str, train: bool) -> None:
    spec, x, y = case
    x = x.contiguous(memory_format=LAYOUTS[layout])
    fused, reference = (car.train(train) for car in pair(spec))
    size = chunked._CHUNK_CPU
    try:
        chunked._CHUNK_CPU = 16 * x.shape[1]  # 16 pixels, the fewest
        for step in range(2):
            found, expected = (total_and_gradient(car, x + step, y) for car in (fused, reference))
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    finally:
        chunked._CHUNK_CPU = size


@pytest.mark.parametrize("classes", [3, 90])
@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype: torch.dtype, layout: str, term: str, classes: int) -> None:
    """Values as of the same numbers in float32; a gradient rounded to the features' type."""
    x, y = random_case(3, (2, 16, 9, 8), classes)
    x = x.to(dtype).contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    fused, reference = ClassAwareRegularization(classes), ClassAwareRegularization(classes, fused=False)
    found, expected = getattr(fused(x, y), term), getattr(reference(x, y), term)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    scale = 2.0**14  # as a loss scaler does: the gradients are small for float16
    (of_fused,), (of_reference,) = (torch.autograd.grad(scale * value, x) for value in (found, expected))
    assert of_fused.dtype == dtype
    rounding = 0.01 if dtype == torch.bfloat16 else 0.001
    assert float((of_fused - of_reference).float().norm()) <= rounding * float(of_reference.float().norm())


@pytest.mark.parametrize("preset", ["released", "paper", "masked"])
@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
def test_second_derivatives(preset: str, centers: str) -> None:
    x, y = random_case(4, (2, 3, 3, 3), 4)
    vector = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    found = []
    for fused in (True, False):
        car = ClassAwareRegularization(4, preset=preset, centers=centers, fused=fused)
        car(x + 1, y)
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(car(leaf, y).total, leaf, create_graph=True)
        (second,) = torch.autograd.grad((gradient * vector).sum(), leaf)
        found.append((gradient.detach(), second))
        assert second.abs().max() > 0
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-12)


def test_only_slopes_are_kept() -> None:
    """Between forward and backward: the features themselves, and P x K numbers."""
    x, y = random_case(5, (2, 64, 16, 16), 7)
    x.requires_grad_()
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        ClassAwareRegularization(7)(x, y)
    large = [t for t in kept if t.numel() >= x.numel() // 4]
    assert [t.data_ptr() for t in large] == [x.data_ptr()]
    assert sum(t.numel() for t in kept) - x.numel() <= 2 * 256 * (7 + 2) + 4 * 8 * 64


def test_no_gradient_is_asked_for() -> None:
    x, y = random_case(6, (2, 4, 5, 5), 4)
    car = ClassAwareRegularization(4)
    assert not car(x, y).total.requires_grad
    with torch.no_grad():
        assert not car(x.requires_grad_(), y).total.requires_grad


def test_features_that_are_no_dense_tensor() -> None:
    """Every second row and column of something larger, mirrored axes, an expanded image."""
    x, y = random_case(7, (2, 4, 10, 12), 4)
    for view, labels in (
        (x[:, :, ::2, ::2], y[:, ::2, ::2]),
        (x.transpose(2, 3), y.transpose(1, 2)),
        (x[:1].expand(2, -1, -1, -1), y),
        (x[:, 1:3], y),
    ):
        fused, reference = ClassAwareRegularization(4), ClassAwareRegularization(4, fused=False)
        found, expected = total_and_gradient(fused, view, labels), total_and_gradient(reference, view, labels)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        leaf = x.clone().requires_grad_()
        assert_same(fused(leaf[:, :, ::2], y[:, ::2]), reference(leaf[:, :, ::2], y[:, ::2]))


def test_under_autocast() -> None:
    x, y = random_case(8, (2, 4, 5, 5), 4)
    convolution = torch.nn.Conv2d(4, 8, 1)
    found = []
    for fused in (True, False):
        convolution.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            features = convolution(x.float())
            total = ClassAwareRegularization(4, fused=fused)(features, y).total
        assert features.dtype == torch.bfloat16
        total.backward()
        found.append((total.detach(), convolution.weight.grad.clone()))
    torch.testing.assert_close(found[0], found[1], rtol=2e-2, atol=1e-4)


def test_many_classes_of_which_few_are_there() -> None:
    """Classes without a center are counted, not multiplied with; the result is the reference's."""
    x, y = random_case(9, (2, 8, 9, 9), 3)
    y = torch.where(y == 255, 255, y * 300 + 100)
    for preset in ("released", "paper", "masked"):
        fused = ClassAwareRegularization(847, 1000, preset=preset, c2c_margin=0.1, c2p_margin=0.1, check_labels=False)
        reference = ClassAwareRegularization(
            847, 1000, preset=preset, c2c_margin=0.1, c2p_margin=0.1, fused=False, check_labels=False
        )
        found, expected = total_and_gradient(fused, x, y), total_and_gradient(reference, x, y)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_term_may_be_added_to_in_place() -> None:
    x, y = random_case(10, (2, 4, 5, 5), 4)
    x.requires_grad_()
    loss = ClassAwareRegularization(4)(x, y).intra_c2p
    loss += x.mean()
    (gradient,) = torch.autograd.grad(loss, x)
    (expected,) = torch.autograd.grad(ClassAwareRegularization(4, fused=False)(x, y).intra_c2p + x.mean(), x)
    torch.testing.assert_close(gradient, expected)


def test_labels_changed_before_a_second_derivative() -> None:
    x, y = random_case(11, (2, 4, 5, 5), 4)
    seconds = []
    for change in (False, True):
        labels, leaf = y.clone(), x.clone().requires_grad_()
        total = ClassAwareRegularization(4, check_labels=False)(leaf, labels).total
        if change:
            labels.fill_(0)
        (gradient,) = torch.autograd.grad(total, leaf, create_graph=True)
        seconds.append(torch.autograd.grad(gradient.square().sum(), leaf)[0])
    torch.testing.assert_close(seconds[0], seconds[1], rtol=0, atol=0)


def test_one_graph_for_all_batch_sizes() -> None:
    torch.compiler.reset()
    car = ClassAwareRegularization(5)
    compiled = torch.compile(car, backend="aot_eager", fullgraph=True, dynamic=True)
    for images in range(2, 6):
        x, y = random_case(images, (images, 4, 5, 5), 4)
        torch.testing.assert_close(total_and_gradient(compiled, x, y), total_and_gradient(car, x, y))
    torch.compiler.reset()
    x, y = random_case(0, (3, 4, 5, 5), 4)
    torch._dynamo.mark_dynamic(x, 0)
    torch._dynamo.mark_dynamic(y, 0)
    torch.compile(car, backend="eager", fullgraph=True)(x, y)


def test_without_data() -> None:
    """Shapes alone, as tracers and memory planners ask for them."""
    with FakeTensorMode():
        x = torch.empty(2, 4, 5, 5, requires_grad=True)
        total = ClassAwareRegularization(5, check_labels=False)(x, torch.zeros(2, 5, 5, dtype=torch.long)).total
        (gradient,) = torch.autograd.grad(total, x)
    assert gradient.shape == x.shape


def test_forward_derivatives_in_compiled_code() -> None:
    torch.compiler.reset()
    x, y = random_case(12, (2, 4, 5, 5), 4)
    car = ClassAwareRegularization(5, check_labels=False)

    def tangent(x: torch.Tensor) -> torch.Tensor:
        return torch.func.jvp(lambda x: car(x, y).total, (x,), (torch.ones_like(x),))[1]

    torch.testing.assert_close(torch.compile(tangent, backend="aot_eager")(x), tangent(x))
    assert tangent(x).abs() > 0
