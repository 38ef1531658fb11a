"""Gradients of every term against finite differences of the loops, the stopped sides held still.

Autograd's answer is not the derivative of the printed value, because centers are stopped on one side or on both. So the
reference is `car_oracle.terms(..., frozen=centers at the point)`: there the centers on the stopped sides are constants,
and what is left to vary is exactly what has to carry a gradient.
"""

import pytest
import torch
from car_cases import TERMS, build
from car_oracle import PRESETS, Spec, Vector, terms

LABELS = torch.tensor(
    [[[0, 0, 1, 1], [2, 0, 255, 1]], [[0, 1, 255, 0], [255, 0, 1, 0]], [[1, 0, 0, 1], [0, 255, 0, 1]]]
)
STEP = 1e-6


def features(seed: int, shape: tuple[int, ...] = (3, 2, 2, 4)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def expected_gradients(
    x: torch.Tensor, y: torch.Tensor, spec: Spec, running: list[Vector | None] | None = None, training: bool = True
) -> dict[str, torch.Tensor]:
    labels = y.tolist()
    frozen = terms(x.tolist(), labels, spec, running, training).centers
    gradients = {name: torch.zeros_like(x) for name in TERMS}
    for place in torch.cartesian_prod(*(torch.arange(n) for n in x.shape)):
        step = torch.zeros_like(x)
        step[tuple(place)] = STEP
        above = terms((x + step).tolist(), labels, spec, running, training, frozen)
        below = terms((x - step).tolist(), labels, spec, running, training, frozen)
        for name in TERMS:
            gradients[name][tuple(place)] = (getattr(above, name) - getattr(below, name)) / (2 * STEP)
    return gradients


def gradient(car: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, name: str) -> torch.Tensor:
    """Of one term; zeros where the term has no path to the features at all."""
    x = x.clone().requires_grad_()
    term = getattr(car(x, y), name)
    if not term.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(term, x, allow_unused=True)
    return torch.zeros_like(x) if found is None else found


def assert_gradients(spec: Spec, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    expected = expected_gradients(x, y, spec)
    for name in TERMS:
        found = gradient(build(spec), x, y, name)
        torch.testing.assert_close(found, expected[name], rtol=1e-5, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")
    return expected


@pytest.mark.parametrize("drop_max", [False, True])
@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset(preset: str, centers: str, drop_max: bool) -> None:
    spec = Spec.preset(preset, 4, centers=centers, drop_max=drop_max, c2c_margin=0.25, c2p_margin=0.1)
    expected = assert_gradients(spec, features(7), LABELS)
    for name in TERMS:
        assert expected[name].abs().max() > 1e-4, f"{name} has no gradient here, so this case tests nothing"


@pytest.mark.parametrize(
    ("reduction", "ignored", "absent"),
    [
        ("square_of_mean", "exclude", "zero_center"),
        ("square_of_mean", "count", "exclude"),
        ("square_of_mean", "exclude", "exclude"),
        ("mean_of_squares", "exclude", "zero_center"),
        ("mean_of_squares", "count", "exclude"),
    ],
)
def test_mixed_knobs(reduction: str, ignored: str, absent: str) -> None:
    spec = Spec(4, reduction=reduction, ignored=ignored, absent=absent, c2c_margin=0.25, c2p_margin=0.1)
    assert_gradients(spec, features(8), LABELS)


@pytest.mark.parametrize("preset", PRESETS)
def test_pooled(preset: str) -> None:
    assert_gradients(Spec.preset(preset, 4, pool=2), features(9, (2, 2, 3, 5)), LABELS[:2])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("training", [True, False])
def test_running_centers_after_the_first_batch(preset: str, training: bool) -> None:
    """Training: (1 - decay) of the batch's centers is free on the query side. Evaluation: c2c has nothing to move."""
    spec = Spec.preset(preset, 4, centers="ema", ema_decay=0.7, c2c_margin=0.25, c2p_margin=0.1)
    first, x = features(10), features(11)
    first_labels = torch.where(LABELS == 2, 3, LABELS)  # class 2 is new in the second batch, class 3 is gone
    first_labels = torch.where(first_labels == 255, 2, first_labels) if not training else first_labels
    running = terms(first.tolist(), first_labels.tolist(), spec).centers[0]
    expected = expected_gradients(x, LABELS, spec, running, training)
    for name in TERMS:
        car = build(spec)
        car(first, first_labels)
        found = gradient(car.train(training), x, LABELS, name)
        torch.testing.assert_close(found, expected[name], rtol=1e-5, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")
    assert bool(expected["inter_c2c"].abs().max() > 1e-6) == training


def test_total_is_the_weighted_sum_of_gradients() -> None:
    x, weights = features(12), {"intra_c2p": 0.5, "inter_c2c": 2.0, "inter_c2p": 3.0}
    car = build(Spec.preset("released", 4), **{f"{name}_weight": w for name, w in weights.items()})
    expected = sum(w * gradient(car, x, LABELS, name) for name, w in weights.items())
    torch.testing.assert_close(gradient(car, x, LABELS, "total"), expected, rtol=1e-10, atol=1e-14)


def test_ignored_pixels_have_no_gradient_in_the_masked_preset() -> None:
    x = features(13)
    found = gradient(build(Spec.preset("masked", 4)), x, LABELS, "total").movedim(1, -1)
    assert found[LABELS == 255].count_nonzero() == 0
    assert found[LABELS != 255].count_nonzero() > 0


def test_ignored_pixels_move_only_by_c2p_in_the_released_preset() -> None:
    x, car = features(14), build(Spec.preset("released", 4))
    ignored = LABELS == 255
    for name, moves in (("intra_c2p", False), ("inter_c2c", False), ("inter_c2p", True)):
        found = gradient(car, x, LABELS, name).movedim(1, -1)[ignored]
        assert bool(found.count_nonzero() > 0) == moves, name


def test_intra_is_a_sign_gradient_of_one_size() -> None:
    """2 · mean / (N·P·C) · V · sign(x − µ)."""
    x, y = features(15), torch.where(LABELS == 2, 0, LABELS)
    found = gradient(build(Spec.preset("released", 4)), x, y, "intra_c2p")
    pixels, valid = x.movedim(1, -1), (y != 255)[..., None]
    mu = torch.stack([pixels[y == k].mean(0) if k < 2 else torch.zeros(2, dtype=x.dtype) for k in range(4)])
    distance = (pixels - mu[y.where(y != 255, 3)]) * valid
    expected = 2 * distance.abs().mean() / x.numel() * distance.sign()
    torch.testing.assert_close(found.movedim(1, -1), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("spread", "moves"), [(3.0e-3, False), (3.3e-3, True)])
def test_intra_gradient_stops_below_the_floor(spread: float, moves: bool) -> None:
    """sqrt(1e-5) is 3.16e-3."""
    x = torch.full((1, 1, 1, 4), spread, dtype=torch.float64) * torch.tensor([1.0, -1.0, 1.0, -1.0])
    y = torch.zeros(1, 1, 4, dtype=torch.long)
    found = gradient(build(Spec.preset("released", 2)), x, y, "intra_c2p")
    assert bool(found.count_nonzero() == 4) == moves
    assert bool(found.count_nonzero() == 0) != moves


def test_gradients_of_masked_absence_do_not_depend_on_the_absent() -> None:
    x = features(16)
    few, many = (gradient(build(Spec.preset("masked", k)), x, LABELS, "total") for k in (3, 30))
    torch.testing.assert_close(few, many, rtol=1e-10, atol=1e-14)
