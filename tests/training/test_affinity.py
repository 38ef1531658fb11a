"""CPNet's affinity loss against loops over pairs of positions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.errors import InputError
from classaware.training import affinity_loss

IGNORE = 255


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def published(affinity: Tensor, labels: Tensor, ignore: int) -> float:
    """Eqs. 4 to 8 over the positions that have a label; labels are at the grid's size."""
    entropies, logs = [], []
    for logits, y in zip(affinity.tolist(), labels.flatten(1).tolist(), strict=True):
        labeled = [j for j, label in enumerate(y) if label != ignore]
        for j in labeled:
            p = {i: sigmoid(logits[j][i]) for i in labeled}
            same = {i: y[i] == y[j] for i in labeled}
            entropies += [-math.log(p[i] if same[i] else 1 - p[i]) for i in labeled]
            hits = sum(p[i] for i in labeled if same[i])
            precision, recall = hits / sum(p.values()), hits / sum(same.values())
            logs.append(math.log(precision) + math.log(recall))
            if not all(same.values()):
                others = [i for i in labeled if not same[i]]
                logs[-1] += math.log(sum(1 - p[i] for i in others) / len(others))
    return mean(entropies) - mean(logs)


def released(affinity: Tensor, labels: Tensor, side: int) -> float:
    """The cross-entropy with logit and target exchanged, softplus of the ratios over √N, ignored as one more class."""
    entropies: list[float] = []
    parts: dict[str, list[float]] = {"recall": [], "specificity": [], "precision": []}
    for logits, y in zip(affinity.tolist(), labels.flatten(1).tolist(), strict=True):
        everywhere = range(len(y))
        for j in everywhere:
            p = [sigmoid(logits[j][i]) for i in everywhere]
            a = [float(y[i] == y[j]) for i in everywhere]
            for i in everywhere:  # the target is p, the probability is sigmoid(a)
                entropies.append(-p[i] * math.log(sigmoid(a[i])) - (1 - p[i]) * math.log(1 - sigmoid(a[i])))
            hits = sum(x * z for x, z in zip(p, a, strict=True))
            others = len(a) - sum(a)
            spared = sum((1 - x) * (1 - z) for x, z in zip(p, a, strict=True))
            ratios = {"recall": hits / sum(a), "specificity": spared / others if others else 1.0}
            ratios["precision"] = hits / sum(p)
            for name, ratio in ratios.items():
                parts[name].append(math.log(1 + math.exp(-ratio)))
    return mean(entropies) + sum(mean(values) for values in parts.values()) / side


def case(seed: int, side: int, classes: int, ignored: float, images: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    affinity = 2 * torch.randn(images, side**2, side**2, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (images, side, side), generator=generator)
    return affinity, labels.masked_fill(torch.rand(labels.shape, generator=generator) < ignored, IGNORE)


cases = st.builds(
    case, st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.0, 0.4, 0.9, 1.0])
)


@settings(max_examples=40, deadline=None)
@given(cases)
def test_published_form_equals_loops(inputs: tuple[Tensor, Tensor]) -> None:
    loss = affinity_loss(*inputs, IGNORE)
    assert float(loss) == pytest.approx(published(*inputs, IGNORE), rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(cases)
def test_released_form_equals_loops(inputs: tuple[Tensor, Tensor]) -> None:
    loss = affinity_loss(*inputs, IGNORE, "released")
    assert float(loss) == pytest.approx(released(*inputs, inputs[1].shape[-1]), rel=1e-9)


@pytest.mark.parametrize("form", ["published", "released"])
def test_gradients_equal_finite_differences(form: str) -> None:
    affinity, labels = case(1, 2, 2, 0.3)
    assert torch.autograd.gradcheck(lambda x: affinity_loss(x, labels, IGNORE, form), affinity.requires_grad_())


def test_perfect_prior_costs_nothing_in_the_published_form_alone() -> None:
    """The released one has its least value far from zero: its "logits" are 0 and 1."""
    _, labels = case(0, 4, 3, 0.0)
    y = labels.flatten(1)
    same = (y.unsqueeze(1) == y.unsqueeze(2)).double()
    perfect, opposite = 60 * same - 30, 30 - 60 * same
    assert 0 <= float(affinity_loss(perfect, labels, IGNORE)) < 1e-9
    assert float(affinity_loss(opposite, labels, IGNORE)) > 50
    low, high = (float(affinity_loss(x, labels, IGNORE, "released")) for x in (perfect, opposite))
    assert 0.6 < low < high < 1.6


@pytest.mark.parametrize("ignore", [IGNORE, 1, -1])
def test_unlabeled_positions_take_no_part_in_the_published_form(ignore: int) -> None:
    """Neither as rows nor as columns, whatever is predicted there; in the released form they do."""
    affinity, labels = case(3, 3, 3, 0.0)
    labels[:, 0] = ignore
    affinity = affinity.requires_grad_()
    affinity_loss(affinity, labels, ignore).backward()
    valid = (labels != ignore).flatten(1)
    pairs = valid.unsqueeze(1) & valid.unsqueeze(2)
    assert (affinity.grad[~pairs] == 0).all()
    assert (affinity.grad[pairs] != 0).all()
    affinity.grad = None
    affinity_loss(affinity, labels, ignore, "released").backward()
    assert (affinity.grad[~pairs] != 0).any()


def test_nothing_labeled_is_zero_with_a_graph() -> None:
    affinity = torch.randn(2, 4, 4, requires_grad=True)
    loss = affinity_loss(affinity, torch.full((2, 5, 5), IGNORE), IGNORE)
    loss.backward()
    assert loss.item() == 0
    assert not affinity.grad.any()


def test_labels_come_to_the_grid_with_corners_on_corners() -> None:
    affinity, _ = case(0, 3, 2, 0.0, images=1)
    labels = torch.randint(0, 3, (1, 9, 5), generator=torch.Generator().manual_seed(0))
    expected = affinity_loss(affinity, labels[:, ::4, ::2], IGNORE)
    assert float(affinity_loss(affinity, labels, IGNORE)) == float(expected)


@pytest.mark.parametrize("form", ["published", "released"])
def test_half_precision_is_computed_in_float32(form: str) -> None:
    affinity, labels = case(5, 3, 3, 0.2)
    with torch.autocast("cpu", torch.bfloat16):
        loss = affinity_loss(affinity.bfloat16(), labels, IGNORE, form)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(affinity_loss(affinity, labels, IGNORE, form)), rel=0.02)


@pytest.mark.parametrize("logit", [30.0, 200.0, -200.0])
@pytest.mark.parametrize("form", ["published", "released"])
def test_extreme_logits_stay_finite(form: str, logit: float) -> None:
    labels = torch.tensor([[[0, 1], [1, IGNORE]]])
    affinity = torch.full((1, 4, 4), logit, requires_grad=True)
    loss = affinity_loss(affinity, labels, IGNORE, form)
    loss.backward()
    assert loss.isfinite()
    assert affinity.grad.isfinite().all()


def test_a_saturated_prior_still_learns_in_float32() -> None:
    """Above a logit of 17, 1 - sigmoid is zero in float32; what remains of the other classes must not vanish there."""
    labels = torch.tensor([[[0, 1], [1, 1]]])
    results = []
    for dtype in (torch.float32, torch.float64):
        affinity = torch.full((1, 4, 4), 25.0, dtype=dtype, requires_grad=True)
        loss = affinity_loss(affinity, labels, IGNORE)
        loss.backward()
        results.append((loss.detach().double(), affinity.grad.double()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((1, 5, 5), (1, 4, 4), "square of a grid's side"),
        ((1, 4, 9), (1, 4, 4), "square of a grid's side"),
        ((4, 4), (1, 4, 4), "square of a grid's side"),
        ((2, 4, 4), (1, 4, 4), "the affinity's B=2"),
        ((1, 4, 4), (4, 4), "labels: shape"),
    ],
)
def test_wrong_shapes_are_named(shape: tuple[int, ...], labels: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        affinity_loss(torch.zeros(shape), torch.zeros(labels, dtype=torch.long), IGNORE)
