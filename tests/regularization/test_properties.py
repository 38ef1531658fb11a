"""What must not matter, and what must never happen, over drawn shapes, label maps and knobs."""

import pytest
import torch
from car_cases import TERMS, assert_same, batches, build, random_case, specs, values
from car_oracle import PRESETS, Spec
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware import ClassAwareRegularization

EVERY = [(preset, centers) for preset in PRESETS for centers in ("batch", "image", "ema")]


def shuffled(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def both(preset: str, centers: str, num_classes: int = 6) -> ClassAwareRegularization:
    return ClassAwareRegularization(num_classes, preset=preset, centers=centers)


# ----------------------------------------------------------------------------------------------------- invariances
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_pixel_order(data: st.DataObject) -> None:
    """One permutation for all images: a term knows no neighborhood."""
    spec = data.draw(specs())
    spec = Spec(**{**vars(spec), "pool": 1})
    x, _ = data.draw(batches(spec))
    _, y = random_case(data.draw(st.integers(0, 99)), tuple(x.shape), spec.num_classes)
    y[y == 255] = spec.ignore_index
    order = shuffled(x[0, 0].numel())
    moved = build(spec)(x.flatten(2)[..., order].view_as(x), y.flatten(1)[..., order].view_as(y))
    assert_same(moved, build(spec)(x, y))


@pytest.mark.parametrize(("preset", "centers"), EVERY)
def test_pixels_may_change_image_with_centers_of_the_batch(preset: str, centers: str) -> None:
    x, y = random_case(1, (3, 4, 4, 4), num_classes=5)
    one_x = x.movedim(1, 0).reshape(1, 4, 12, 4)
    moved = both(preset, centers)(one_x, y.reshape(1, 12, 4))
    if centers != "image":
        assert_same(moved, both(preset, centers)(x, y))
    else:
        assert values(moved) != pytest.approx(values(both(preset, centers)(x, y)))


@pytest.mark.parametrize(("preset", "centers"), EVERY)
def test_class_names(preset: str, centers: str) -> None:
    x, y = random_case(2, (3, 4, 4, 4), num_classes=5)
    names = torch.cat([shuffled(6), torch.full((250,), 255)])
    assert_same(both(preset, centers)(x, names[y]), both(preset, centers)(x, y))


@pytest.mark.parametrize(("preset", "centers"), EVERY)
def test_image_order(preset: str, centers: str) -> None:
    x, y = random_case(3, (4, 3, 4, 4), num_classes=5)
    order = torch.tensor([2, 0, 3, 1])
    assert_same(both(preset, centers)(x[order], y[order]), both(preset, centers)(x, y))


@pytest.mark.parametrize(("preset", "centers"), EVERY)
def test_channel_order_and_signs(preset: str, centers: str) -> None:
    x, y = random_case(4, (2, 5, 4, 4), num_classes=5)
    signs = torch.tensor([1.0, -1, -1, 1, -1], dtype=x.dtype)[:, None, None]
    assert_same(both(preset, centers)((signs * x)[:, shuffled(5)], y), both(preset, centers)(x, y))


@pytest.mark.parametrize(("preset", "centers"), EVERY)
def test_the_same_batch_twice(preset: str, centers: str) -> None:
    x, y = random_case(5, (2, 3, 4, 4), num_classes=5)
    assert_same(both(preset, centers)(torch.cat([x, x]), torch.cat([y, y])), both(preset, centers)(x, y))


@pytest.mark.parametrize(("preset", "centers"), EVERY)
@pytest.mark.parametrize("layout", ["channels_last", "strided", "transposed", "expanded"])
def test_memory_layout(preset: str, centers: str, layout: str) -> None:
    x, y = random_case(6, (3, 4, 6, 6), num_classes=5)
    if layout == "expanded":
        x, y = x[:1, :1, :1], y[:1, :1]
    laid = {
        "channels_last": lambda: (x.to(memory_format=torch.channels_last), y),
        "strided": lambda: (x.repeat_interleave(2, -1)[..., ::2], y.repeat_interleave(3, 1)[:, ::3]),
        "transposed": lambda: (x.mT.contiguous().mT, y.mT.contiguous().mT),
        "expanded": lambda: (x.expand(3, 4, 6, 6), y.expand(3, 6, 6)),
    }[layout]()
    assert not laid[0].is_contiguous()
    laid_x = laid[0].detach().requires_grad_()
    plain_x = laid_x.detach().contiguous().requires_grad_()
    terms, plain = both(preset, centers)(laid_x, laid[1]), both(preset, centers)(plain_x, laid[1].contiguous())
    assert_same(terms, plain)
    terms.total.backward()
    plain.total.backward()
    torch.testing.assert_close(laid_x.grad, plain_x.grad, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
def test_masked_does_not_see_what_is_ignored(centers: str) -> None:
    x, y = random_case(7, (3, 4, 4, 4), num_classes=5)
    car, expected = both("masked", centers), both("masked", centers)(x, y)
    other = torch.where((y == 255)[:, None], torch.full_like(x, 17.0), x)
    assert_same(car(other, y), expected)
    padded_x = torch.nn.functional.pad(x, (0, 3, 0, 2), value=5.0)
    padded_y = torch.nn.functional.pad(y, (0, 3, 0, 2), value=255)
    assert_same(both("masked", centers)(padded_x, padded_y), expected)
    assert_same(both("masked", centers, num_classes=40)(x, y), expected)


@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
def test_released_counts_what_is_ignored_and_absent(centers: str) -> None:
    """Padding to twice the size divides intra by 4; classes that never occur raise c2c towards its uniform value."""
    x, y = random_case(8, (2, 4, 4, 4), num_classes=5, ignored_share=0.0)
    plain = both("released", centers)(x, y)
    padded_x = torch.nn.functional.pad(x, (0, 4), value=5.0)
    padded = both("released", centers)(padded_x, torch.nn.functional.pad(y, (0, 4), value=255))
    torch.testing.assert_close(padded.intra_c2p, plain.intra_c2p / 4, rtol=1e-12, atol=0)
    torch.testing.assert_close(padded.inter_c2c, plain.inter_c2c, rtol=1e-12, atol=0)
    assert padded.inter_c2p > plain.inter_c2p
    assert both("released", centers, num_classes=600)(x, y).inter_c2c == pytest.approx(0.25, abs=0.01)


def test_translation_leaves_intra_alone() -> None:
    x, y = random_case(9, (2, 4, 4, 4), num_classes=5)
    for preset, centers in EVERY:
        moved, plain = both(preset, centers)(x + 3.0, y), both(preset, centers)(x, y)
        torch.testing.assert_close(moved.intra_c2p, plain.intra_c2p, rtol=1e-10, atol=0)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_bounds(data: st.DataObject) -> None:
    """A row sums shares that are at most 1, and every term is a square."""
    spec = data.draw(specs())
    terms = build(spec)(*data.draw(batches(spec)))
    assert all(v >= 0 for v in values(terms))
    assert float(terms.inter_c2c) <= 1
    assert float(terms.inter_c2p) <= 1


# ------------------------------------------------------------------------------------------------- degenerate cases
def assert_finite(car: ClassAwareRegularization, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    with torch.autograd.set_detect_anomaly(True):
        terms = car(x, y)
        for name in (*TERMS, "total"):
            assert getattr(terms, name).isfinite(), name
        terms.total.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    return x.grad


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_never_nan(data: st.DataObject) -> None:
    spec = data.draw(specs())
    car = build(spec)
    for _ in range(2):
        x, y = data.draw(batches(spec, channels=2, dtype=data.draw(st.sampled_from([torch.float64, torch.float32]))))
        assert_finite(car, x * data.draw(st.sampled_from([1.0, 1e4, 1e-30])), y)


@pytest.mark.parametrize("drop_max", [False, True])
@pytest.mark.parametrize(("preset", "centers"), EVERY)
@pytest.mark.parametrize("label", [0, 1, 255])
@pytest.mark.parametrize("num_classes", [2, 3, 59])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 2, 2), (2, 3, 1, 1)])
def test_one_class_or_none(
    preset: str, centers: str, drop_max: bool, label: int, num_classes: int, shape: tuple[int, ...]
) -> None:
    x, y = torch.randn(shape), torch.full((shape[0], *shape[2:]), label)
    car = ClassAwareRegularization(num_classes, preset=preset, centers=centers, drop_max=drop_max)
    found = assert_finite(car, x, y)
    if label == 255 and preset == "masked":
        assert found.count_nonzero() == 0
        assert values(car(x, y)) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("preset", "centers"), EVERY)
def test_a_single_class_in_the_head(preset: str, centers: str) -> None:
    """K = 1: no other class, so only an ignored pixel can be too near (to the one class there is)."""
    x, y = random_case(10, (2, 3, 3, 3), num_classes=1, ignored_share=0.0)
    terms = both(preset, centers, num_classes=1)(x, y)
    assert float(terms.inter_c2c) <= 1e-14
    assert float(terms.inter_c2p) <= 1e-14
    assert_finite(both(preset, centers, num_classes=1), x, y)
    y[:] = 255
    expected = 0.0 if preset == "masked" else 0.75**2
    assert float(both(preset, centers, num_classes=1)(x, y).inter_c2p) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("preset", PRESETS)
def test_one_image_without_labels_beside_a_labelled_one(preset: str) -> None:
    x, y = random_case(11, (2, 3, 3, 3), num_classes=4)
    y[0] = 255
    for centers in ("batch", "image", "ema"):
        found = assert_finite(both(preset, centers), x, y)
        assert found[1].count_nonzero() > 0


@pytest.mark.parametrize("preset", PRESETS)
def test_running_centers_never_seen(preset: str) -> None:
    """Evaluation before any training: as if nothing were there, and no NaN."""
    x, y = random_case(12, (2, 3, 3, 3), num_classes=4)
    car = both(preset, "ema").eval()
    terms = car(x, y)
    assert all(getattr(terms, name).isfinite() for name in TERMS)
    assert float(terms.inter_c2c) == pytest.approx(0.0 if preset == "masked" else (5 / 6 - 0.5) ** 2)


def test_large_features_in_half_precision() -> None:
    """60000 is nearly the largest float16; its dot products need float32."""
    x, y = random_case(13, (2, 3, 4, 4), num_classes=4)
    for preset, centers in EVERY:
        assert_finite(both(preset, centers), (x.sign() * 60000).half(), y)
