"""What the module remembers: saving, loading, copying, and running centers between forward and backward."""

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from car_cases import assert_same, random_case, total_and_gradient, values
from car_oracle import PRESETS

from classaware import ClassAwareRegularization


def trained(preset: str = "released") -> ClassAwareRegularization:
    car = ClassAwareRegularization(5, preset=preset, centers="ema")
    for seed in range(2):
        car(*random_case(seed, (2, 3, 4, 4), num_classes=4))
    return car


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("training", [True, False])
def test_a_fresh_module_loads_running_centers(preset: str, training: bool) -> None:
    car = trained(preset).train(training)
    file = io.BytesIO()
    torch.save(car.state_dict(), file)
    file.seek(0)
    fresh = ClassAwareRegularization(5, preset=preset, centers="ema").train(training)
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    x, y = random_case(11, (2, 3, 4, 4), num_classes=5)
    for _ in range(2):
        assert_same(fresh(x, y), car(x, y), rtol=0, atol=0)


@pytest.mark.parametrize("centers", ["batch", "image"])
def test_nothing_to_save_without_running_centers(centers: str) -> None:
    car = ClassAwareRegularization(5, centers=centers)
    car(*random_case(0, (2, 3, 4, 4), num_classes=4))
    assert dict(car.state_dict()) == {}
    assert list(car.parameters()) == []


def test_an_unused_module_saves_and_loads() -> None:
    fresh, other = (ClassAwareRegularization(5, centers="ema") for _ in range(2))
    other.load_state_dict(fresh.state_dict(), strict=True)
    x, y = random_case(12, (2, 3, 4, 4), num_classes=4)
    assert_same(other(x, y), fresh(x, y), rtol=0, atol=0)


def test_running_centers_hold_no_graph() -> None:
    car = ClassAwareRegularization(5, centers="ema", c2c_margin=0.1)
    for seed in range(3):
        x, y = random_case(seed, (2, 3, 4, 4), num_classes=4)
        x.requires_grad_()
        car(x, y).total.backward()
        assert not any(buffer.requires_grad for buffer in car.buffers())


def test_evaluation_keeps_running_centers() -> None:
    car = trained().eval()
    before = {name: buffer.clone() for name, buffer in car.state_dict().items()}
    assert before
    car(*random_case(3, (2, 3, 4, 4), num_classes=4))
    assert all(torch.equal(buffer, before[name]) for name, buffer in car.state_dict().items())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("trained_before", [False, True])
def test_running_centers_survive_inference_mode(training: bool, trained_before: bool) -> None:
    """A validation pass before the first step (Lightning's sanity check) must not freeze the state."""
    car = trained() if trained_before else ClassAwareRegularization(5, centers="ema")
    x, y = random_case(5, (2, 3, 4, 4), num_classes=4)
    with torch.inference_mode():
        car.train(training)(x, y)
    car.train()
    for _ in range(2):
        leaf = x.clone().requires_grad_()
        car(leaf, y).total.backward()
        assert leaf.grad is not None


def test_two_forwards_before_the_backward() -> None:
    """Gradient accumulation: the second update must not write over what the first one's backward needs."""
    x, y = random_case(6, (2, 3, 4, 4), num_classes=4)
    summed, alone = trained(), trained()
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    (summed(leaves[0], y).total + summed(leaves[1], y).total).backward()
    for leaf in leaves:
        torch.testing.assert_close(leaf.grad, total_and_gradient(alone, x, y)[1], rtol=1e-12, atol=0)


def test_training_between_a_frozen_forward_and_its_backward() -> None:
    """Centers frozen in one call are written over by the next; the first backward must not notice."""
    x, y = random_case(6, (2, 3, 4, 4), num_classes=4)
    car, leaf = trained().eval(), x.clone().requires_grad_()
    expected = total_and_gradient(car, x, y)[1]
    total = car(leaf, y).total
    car.train()(x + 1, y)
    total.backward()
    torch.testing.assert_close(leaf.grad, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies(copied: Callable[[torch.nn.Module], torch.nn.Module]) -> None:
    x, y = random_case(4, (2, 3, 4, 4), num_classes=4)
    car = trained()
    twin = copied(car)
    first = values(car(x, y))
    assert values(twin(x, y)) == first
    assert values(car(x, y)) != first, "the running centers have moved"
    assert values(twin(x, y)) != first


def test_a_batch_that_overflowed_does_not_stay_in_the_running_centers() -> None:
    car = ClassAwareRegularization(3, centers="ema")
    features, labels = torch.randn(2, 4, 3, 3), torch.randint(0, 3, (2, 3, 3))
    car(features, labels)
    before = {name: value.clone() for name, value in car.state_dict().items()}
    car(features * float("nan"), labels)
    assert all(torch.equal(value, before[name]) for name, value in car.state_dict().items())
    assert torch.isfinite(car(features, labels).total)
