"""The module against the loops of `car_oracle`, over presets, free mixtures of knobs, shapes and label maps."""

import pytest
import torch
from car_cases import assert_same, batches, build, random_case, specs
from car_oracle import PRESETS, Spec, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware import ClassAwareRegularization


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
@pytest.mark.parametrize("seed", range(3))
def test_presets(preset: str, centers: str, seed: int) -> None:
    x, y = random_case(seed, (3, 4, 4, 5), num_classes=5)
    car = ClassAwareRegularization(6, preset=preset, centers=centers)
    assert_same(car(x, y), terms(x.tolist(), y.tolist(), Spec.preset(preset, 6, centers=centers)))


def test_released_is_the_default() -> None:
    x, y = random_case(0, (2, 3, 4, 4), num_classes=4)
    assert_same(ClassAwareRegularization(5)(x, y), terms(x.tolist(), y.tolist(), Spec.preset("released", 5)))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_knobs(data: st.DataObject) -> None:
    spec = data.draw(specs())
    x, y = data.draw(batches(spec))
    assert_same(build(spec)(x, y), terms(x.tolist(), y.tolist(), spec))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_float32_is_near(data: st.DataObject) -> None:
    spec = data.draw(specs())
    x, y = data.draw(batches(spec, dtype=torch.float32))
    assert_same(build(spec)(x, y), terms(x.tolist(), y.tolist(), spec), rtol=2e-3, atol=2e-6)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_running_centers_over_several_batches(data: st.DataObject) -> None:
    spec = data.draw(specs(centers=("ema",)))
    car = build(spec)
    running = None
    for training in data.draw(st.lists(st.booleans(), min_size=2, max_size=5)):
        x, y = data.draw(batches(spec, channels=3))
        expected = terms(x.tolist(), y.tolist(), spec, running, training)
        assert_same(car.train(training)(x, y), expected)
        running = expected.centers[0]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("centers", ["batch", "image"])
def test_evaluation_mode_changes_nothing_without_running_centers(preset: str, centers: str) -> None:
    x, y = random_case(1, (2, 3, 4, 4), num_classes=4)
    car = ClassAwareRegularization(4, preset=preset, centers=centers)
    assert_same(car.eval()(x, y), car.train()(x, y), rtol=0, atol=0)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("pool", "size"), [(2, (5, 4)), (2, (7, 3)), (3, (4, 5)), (4, (5, 2)), (5, (2, 1))])
def test_pooling(preset: str, pool: int, size: tuple[int, int]) -> None:
    x, _ = random_case(2, (2, 3, *size), num_classes=4)
    _, y = random_case(3, (2, 3, 19, 17), num_classes=4)
    car = ClassAwareRegularization(5, preset=preset, pool=pool)
    assert_same(car(x, y), terms(x.tolist(), y.tolist(), Spec.preset(preset, 5, pool=pool)))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
def test_drop_max(preset: str, centers: str) -> None:
    x, y = random_case(4, (3, 4, 3, 5), num_classes=4)
    y[0] = 255  # an image without any valid pixel
    y[1].fill_(255)[0, 0] = 1  # and one with a single one
    spec = Spec.preset(preset, 4, centers=centers, drop_max=True)
    got = ClassAwareRegularization(4, preset=preset, centers=centers, drop_max=True)(x, y)
    assert_same(got, terms(x.tolist(), y.tolist(), spec))
    plain = ClassAwareRegularization(4, preset=preset, centers=centers)(x, y)
    assert float(got.intra_c2p) < float(plain.intra_c2p)


def test_weights_reach_the_total_only() -> None:
    x, y = random_case(5, (2, 3, 4, 4), num_classes=4)
    plain = ClassAwareRegularization(4)(x, y)
    weighted = ClassAwareRegularization(4, intra_c2p_weight=0.3, inter_c2c_weight=5.0, inter_c2p_weight=7.0)(x, y)
    assert_same(weighted, plain, rtol=0, atol=0)
    expected = 0.3 * plain.intra_c2p + 5.0 * plain.inter_c2c + 7.0 * plain.inter_c2p
    torch.testing.assert_close(weighted.total, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(plain.total, plain.intra_c2p + plain.inter_c2c + plain.inter_c2p, rtol=1e-12, atol=0)
