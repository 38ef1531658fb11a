"""The module as a citizen of PyTorch: dtypes, autocast, compile, functional transforms, deterministic mode."""

import copy
from collections.abc import Iterator

import pytest
import torch
from car_cases import TERMS, assert_same, random_case, total_and_gradient
from car_oracle import PRESETS

from classaware import ClassAwareRegularization
from classaware import regularization as regularization_package

CENTERS = ["batch", "image", "ema"]


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_one_class_under_both_names() -> None:
    assert ClassAwareRegularization is regularization_package.ClassAwareRegularization


# ---------------------------------------------------------------------------------------------------------- dtypes
@pytest.mark.parametrize("centers", CENTERS)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_computes_in_float32_or_float64(dtype: torch.dtype, preset: str, centers: str) -> None:
    x, y = random_case(0, (2, 4, 5, 5), num_classes=4)
    x = x.to(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    terms = ClassAwareRegularization(5, preset=preset, centers=centers)(x, y)
    assert {getattr(terms, name).dtype for name in (*TERMS, "total")} == {wide}
    exact = ClassAwareRegularization(5, preset=preset, centers=centers)(x.double(), y)
    assert_same(terms, exact, rtol=1e-9 if wide == torch.float64 else 1e-4, atol=1e-7)
    _, gradient = total_and_gradient(ClassAwareRegularization(5, preset=preset, centers=centers), x, y)
    assert gradient.dtype == dtype
    assert gradient.count_nonzero() > 0


@pytest.mark.parametrize("centers", CENTERS)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_does_not_reach_the_arithmetic(dtype: torch.dtype, preset: str, centers: str) -> None:
    x, y = random_case(1, (2, 16, 6, 6), num_classes=5)
    x = (3 * x).to(dtype)
    plain = total_and_gradient(ClassAwareRegularization(5, preset=preset, centers=centers), x, y)
    leaf = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = ClassAwareRegularization(5, preset=preset, centers=centers)(leaf, y)
    terms.total.backward()
    assert {term.dtype for term in terms} == {torch.float32}
    torch.testing.assert_close((terms.total.detach(), leaf.grad), plain, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_label_dtypes(dtype: torch.dtype) -> None:
    x, y = random_case(2, (2, 3, 4, 4), num_classes=4)
    ignore = 100 if dtype == torch.int8 else 255
    y[y == 255] = ignore
    terms = ClassAwareRegularization(5, ignore_index=ignore)(x, y.to(dtype))
    assert_same(terms, ClassAwareRegularization(5, ignore_index=ignore)(x, y), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("dtype", "num_classes"), [(torch.int8, 171), (torch.uint8, 300)], ids=["int8-171", "uint8-300"]
)
@pytest.mark.parametrize("check_labels", [True, False])
def test_more_classes_than_the_label_dtype_holds(dtype: torch.dtype, num_classes: int, check_labels: bool) -> None:
    """K itself must not wrap around: 171 is -85 in int8."""
    x, y = random_case(2, (2, 3, 4, 4), num_classes=4, ignored_share=0.0)
    y += 100
    car = ClassAwareRegularization(num_classes, ignore_index=-1, check_labels=check_labels)
    assert_same(car(x, y.to(dtype)), car(x, y), rtol=0, atol=0)


@pytest.mark.parametrize("ignore_index", [-1, -100, 4, 0, 99])
def test_ignore_index(ignore_index: int) -> None:
    """Any integer; inside [0, K) that class is never seen."""
    x, y = random_case(3, (2, 3, 4, 4), num_classes=3)
    y[y != 255] += 1
    expected = ClassAwareRegularization(5)(x, y)
    y[y == 255] = ignore_index
    assert_same(ClassAwareRegularization(5, ignore_index=ignore_index)(x, y), expected, rtol=0, atol=0)


def test_inputs_are_left_alone() -> None:
    x, y = random_case(4, (2, 3, 4, 4), num_classes=4)
    x_before, y_before = x.clone(), y.clone()
    for centers in CENTERS:
        ClassAwareRegularization(4, centers=centers, pool=2, drop_max=True)(x, y)
    assert torch.equal(x, x_before)
    assert torch.equal(y, y_before)


# --------------------------------------------------------------------------------- compile and functional transforms
COMPILED = [("inductor", "released", "batch"), ("inductor", "masked", "ema")]
COMPILED += [(backend, p, c) for backend in ("eager", "aot_eager") for p, c in zip(PRESETS, CENTERS, strict=True)]


@pytest.mark.parametrize(("backend", "preset", "centers"), COMPILED)
def test_compile_without_a_graph_break(backend: str, preset: str, centers: str) -> None:
    torch.compiler.reset()
    x, y = random_case(5, (2, 4, 5, 5), num_classes=4)
    x = x.float()
    car = ClassAwareRegularization(5, preset=preset, centers=centers)
    compiled = torch.compile(copy.deepcopy(car), backend=backend, fullgraph=True)
    for seed in range(2):  # the second batch: running centers are there already
        expected = total_and_gradient(car, x + seed, y)
        torch.testing.assert_close(total_and_gradient(compiled, x + seed, y), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_with_pooling_and_drop_max(backend: str) -> None:
    torch.compiler.reset()
    x, y = random_case(6, (2, 4, 5, 5), num_classes=4)
    car = ClassAwareRegularization(5, preset="masked", pool=2, drop_max=True)
    compiled = torch.compile(car, backend=backend, fullgraph=True)
    torch.testing.assert_close(total_and_gradient(compiled, x, y), total_and_gradient(car, x, y), rtol=1e-9, atol=1e-12)


def test_compiled_code_takes_other_sizes() -> None:
    torch.compiler.reset()
    car = ClassAwareRegularization(5)
    compiled = torch.compile(car, backend="eager", fullgraph=True)
    for shape, label_size in (
        ((2, 4, 5, 5), (5, 5)),
        ((2, 4, 6, 7), (13, 9)),
        ((3, 4, 4, 9), (9, 9)),
        ((1, 4, 2, 2), (8, 8)),
    ):
        x, _ = random_case(6, shape, num_classes=4)
        _, y = random_case(7, (shape[0], 1, *label_size), num_classes=4)
        assert_same(compiled(x, y), car(x, y))


def test_compiled_code_looks_at_labels() -> None:
    torch.compiler.reset()
    x, y = random_case(7, (2, 4, 5, 5), num_classes=4)
    compiled = torch.compile(ClassAwareRegularization(5), backend="aot_eager", fullgraph=True)
    compiled(x, y)
    y[1, 2, 3] = 77
    with pytest.raises(ValueError, match="77"):
        compiled(x, y)


@pytest.mark.parametrize("centers", ["batch", "image"])
@pytest.mark.parametrize("preset", PRESETS)
def test_functional_gradient(preset: str, centers: str) -> None:
    x, y = random_case(7, (2, 4, 4, 4), num_classes=4)
    car = ClassAwareRegularization(5, preset=preset, centers=centers, check_labels=False)

    def total(features: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(car, {}, (features, y)).total

    torch.testing.assert_close(torch.func.grad(total)(x), total_and_gradient(car, x, y)[1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("centers", ["batch", "image"])
@pytest.mark.parametrize("preset", PRESETS)
def test_vmap(preset: str, centers: str) -> None:
    """Three batches at once: values and per-batch gradients."""
    x, y = random_case(8, (6, 4, 4, 4), num_classes=4)
    x, y = x.view(3, 2, 4, 4, 4), y.view(3, 2, 4, 4)
    car = ClassAwareRegularization(5, preset=preset, centers=centers, check_labels=False)

    def total(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(car, {}, (features, labels)).total

    gradients, totals = torch.func.vmap(torch.func.grad_and_value(total))(x, y)
    for i in range(3):
        expected = total_and_gradient(car, x[i], y[i])
        torch.testing.assert_close((totals[i], gradients[i]), expected, rtol=1e-9, atol=1e-13)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("centers", CENTERS)
@pytest.mark.parametrize("preset", PRESETS)
def test_deterministic_mode(preset: str, centers: str) -> None:
    x, y = random_case(9, (2, 8, 9, 9), num_classes=5)

    def once() -> tuple[torch.Tensor, torch.Tensor]:
        car = ClassAwareRegularization(5, preset=preset, centers=centers, drop_max=True, pool=2)
        return total_and_gradient(car, x.float(), y)

    (total, gradient), again = once(), once()
    assert torch.equal(total, again[0])
    assert torch.equal(gradient, again[1])


def test_backward_of_one_term() -> None:
    """Each term can be trained alone."""
    x, y = random_case(10, (2, 3, 4, 4), num_classes=4)
    for name in TERMS:
        leaf = x.clone().requires_grad_()
        getattr(ClassAwareRegularization(4, c2c_margin=0.1)(leaf, y), name).backward()
        assert leaf.grad is not None
        assert leaf.grad.count_nonzero() > 0


def test_repr_says_what_it_computes() -> None:
    text = repr(ClassAwareRegularization(59, preset="masked"))
    assert "59" in text
    assert "masked" in text or "mean_of_squares" in text
