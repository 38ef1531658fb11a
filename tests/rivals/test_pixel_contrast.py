"""Cross-image pixel contrast against loops over pairs, and its memories against lists."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.rivals import PixelContrast
from classaware.rivals.info_nce import contrast_anchors
from classaware.rivals.sampling import random_keys, sample_pixels

Labeled = list[tuple[list[float], int]]


def by_hand(anchors: Labeled, memory: Labeled, temperature: float) -> float:
    """Eq. 3 in loops, over the anchors that have a positive."""
    values = []
    for i, (anchor, label) in enumerate(anchors):
        others = [other for j, other in enumerate(anchors) if j != i] + memory
        dots = [(math.fsum(a * b for a, b in zip(anchor, z, strict=True)) / temperature, y) for z, y in others]
        negatives = math.fsum(math.exp(dot) for dot, y in dots if y != label)
        positives = [-math.log(math.exp(dot) / (math.exp(dot) + negatives)) for dot, y in dots if y == label]
        if positives:
            values.append(math.fsum(positives) / len(positives))
    return math.fsum(values) / max(len(values), 1)


def labeled(z: Tensor, y: Tensor, usable: Tensor) -> Labeled:
    return [(vector, label) for vector, label, use in zip(z.tolist(), y.tolist(), usable.tolist(), strict=True) if use]


def vectors(seed: int, count: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = F.normalize(torch.randn(count, 4, generator=generator, dtype=torch.float64), dim=1)
    usable = torch.rand(count, generator=generator) < 0.7
    return z, torch.randint(0, classes, (count,), generator=generator), usable


def case(seed: int, shape: tuple[int, ...] = (2, 6, 5, 4), classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    y = torch.randint(0, classes, (shape[0], *shape[2:]), generator=generator)
    return x, y.where(torch.rand(y.shape, generator=generator) < 0.7, 255)


def small(**options: object) -> PixelContrast:
    torch.manual_seed(0)
    defaults: dict[str, object] = {"embedding_channels": 4, "anchors": 3, "pixels_per_update": 2}
    return PixelContrast(6, 3, **{**defaults, **options})  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 12), st.integers(0, 9), st.integers(1, 4), st.sampled_from([0.07, 0.1, 2.0])
)
def test_loss_equals_loops(seed: int, anchors: int, others: int, classes: int, temperature: float) -> None:
    first, second = vectors(seed, anchors, classes), vectors(seed + 1, others, classes)
    expected = by_hand(labeled(*first), labeled(*second), temperature)
    assert float(contrast_anchors(*first, *second, temperature)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("others", [0, 6])
def test_gradient_of_the_loss(others: int) -> None:
    z, y, usable = vectors(4, 9, 3)
    second = vectors(5, others, 3)
    z.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda v: contrast_anchors(v, y, usable, *second, 0.5), (z,))
    (gradient,) = torch.autograd.grad(contrast_anchors(z, y, usable, *second, 0.5), z)
    assert not gradient[~usable].any()
    assert gradient[usable].any(1).all()


def test_float32_at_a_small_temperature_is_finite() -> None:
    z, y, usable = vectors(6, 40, 3)
    z = z.float().requires_grad_(True)
    loss = contrast_anchors(z, y, usable, z[:0], y[:0], usable[:0], 1e-4)
    (gradient,) = torch.autograd.grad(loss, z)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([3, 50]), st.sampled_from([5, 1024]), st.booleans())
def test_module_equals_loops_over_its_sample(seed: int, anchors: int, limit: int, with_predictions: bool) -> None:
    loss = small(anchors=anchors, max_anchors=limit, weight=0.5, temperature=0.3).double().eval()
    x, y = case(seed)
    x = x.double()
    predictions = case(seed + 1)[1].clamp(max=2) if with_predictions else None
    z = F.normalize(loss.projection(x), dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    valid = (y != 255).flatten(1)
    hard = None if predictions is None else (predictions != y).flatten(1)
    keys = random_keys(y.numel(), 0, torch.tensor(0), 0)
    index, chosen = sample_pixels(y.flatten(1).where(valid, 0), valid, keys, 3, anchors, limit, hard)
    expected = 0.5 * by_hand(labeled(z[index], y.flatten()[index], chosen), [], 0.3)
    assert float(loss(x, y, predictions).detach()) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_memories_equal_lists() -> None:
    """Each image gives one mean per class to the regions and a few pixels to the pixel memory, after its loss."""
    size = 3
    loss = small(memory_size=size).double()
    assert loss.regions is not None
    assert loss.pixels is not None
    regions: list[list[list[float]]] = [[], [], []]
    pixels: list[list[list[float]]] = [[], [], []]
    for step in range(4):
        x, y = case(step)
        x = x.double()
        with torch.no_grad():
            stats = {name: value.clone() for name, value in loss.projection.state_dict().items()}
            z = F.normalize(loss.projection(x), dim=1).permute(0, 2, 3, 1)
            loss.projection.load_state_dict(stats)
        flat = y.flatten(1)
        index, chosen = loss.sample(flat.where(flat != 255, 0), flat != 255)
        memory = [(v, k) for kind in (regions, pixels) for k in range(3) for v in kind[k][-size:]]
        expected = by_hand(labeled(z.flatten(0, 2)[index], y.flatten()[index], chosen), memory, 0.1)
        assert float(loss(x, y).detach()) == pytest.approx(expected, rel=1e-9)

        keys = random_keys(y.numel(), 0, torch.tensor(step), 1)
        index, chosen = sample_pixels(flat.where(flat != 255, 0), flat != 255, keys, 3, 2, 1000)
        for n in index[chosen].tolist():
            pixels[int(y.flatten()[n])].append(z.flatten(0, 2)[n].tolist())
        for image in range(2):
            for k in range(3):
                own = z[image][y[image] == k]
                regions[k] += [F.normalize(own.mean(0), dim=0).tolist()] if len(own) else []
    for memory, lists in ((loss.regions, regions), (loss.pixels, pixels)):
        assert memory.pushed_K.tolist() == [len(own) for own in lists]
        for k, own in enumerate(lists):
            latest = torch.tensor(own, dtype=torch.float64)[-size:]
            oldest = len(own) % size
            torch.testing.assert_close(memory.vectors_KMC[k].roll(-oldest, 0), latest)


def test_gradient_through_projection_and_memory() -> None:
    loss = small(memory_size=4).double()
    loss(*(part.double() if part.is_floating_point() else part for part in case(0)))
    loss.eval()
    x, y = case(1, (1, 6, 3, 3))
    x = x.double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda v: loss(v, y), (x,))


def test_every_parameter_and_drawn_pixel_gets_a_gradient() -> None:
    loss = small(memory_size=4, anchors=50)
    x, y = case(1)
    x.requires_grad_(True)
    loss(x, y).backward()
    assert x.grad is not None
    assert x.grad.permute(0, 2, 3, 1)[y != 255].any(1).all()
    for name, parameter in loss.named_parameters():
        assert parameter.grad is not None, name
        # A batch norm takes the bias in front of it away again.
        assert parameter.grad.any() or name == "projection.0.bias", name


@pytest.mark.parametrize("memory_size", [0, 4])
@pytest.mark.parametrize("label", [255, 1])
def test_nothing_to_contrast_is_zero_with_a_graph(memory_size: int, label: int) -> None:
    loss = small(memory_size=memory_size)
    x = case(0)[0].requires_grad_(True)
    for _ in range(2):  # nothing but ignored pixels, or one class and no negatives; then with a memory of it
        value = loss(x, torch.full((2, 5, 4), label))
        value.backward()
        assert float(value.detach()) == 0
        assert x.grad is not None
        assert not x.grad.any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.permutations([0, 1, 2]))
def test_names_of_classes_do_not_matter(seed: int, order: list[int]) -> None:
    first, second = small(memory_size=3).double(), small(memory_size=3).double()
    for step in range(3):
        x, y = case(seed + step)
        renamed = torch.tensor(order)[y.clamp(max=2)].where(y != 255, 255)
        assert float(first(x, y).detach()) == pytest.approx(float(second(x, renamed).detach()), rel=1e-9, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([255, -1, 2]))
def test_ignored_pixels_do_not_matter_but_to_the_batch_norm(seed: int, ignore_index: int) -> None:
    first, second = (small(memory_size=3, ignore_index=ignore_index) for _ in range(2))
    for module in (first, second):
        module.projection[1].eval()
    for step in range(3):
        x, y = case(seed + step)
        y = y.where(y != 255, ignore_index)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 77))
        hidden = torch.where((y == ignore_index).unsqueeze(1), noise, x)
        torch.testing.assert_close(first(x, y), second(hidden, y))


def test_a_batch_that_overflowed_is_not_remembered() -> None:
    loss = small(memory_size=3)
    loss.projection[1].eval()
    x, y = case(0)
    x[0] = float("inf")
    loss(x, y)
    assert loss.regions is not None
    assert loss.pixels is not None
    assert loss.regions.pushed_K.tolist() == [1, 1, 1]  # the other image's
    assert loss.pixels.pushed_K.tolist() == [2, 2, 2]
    assert loss.pixels.vectors_KMC.isfinite().all()


def test_draws_change_with_the_step_and_the_seed_and_not_in_eval_mode() -> None:
    x, y = case(0, (2, 6, 12, 12))
    loss, other = small(), small(seed=1)
    flat = y.flatten(1)

    def drawn(module: PixelContrast) -> list[int]:
        return module.sample(flat.where(flat != 255, 0), flat != 255)[0].tolist()

    start = drawn(loss)
    assert drawn(loss) == start != drawn(other)
    loss.eval()(x, y)
    assert drawn(loss) == start
    loss.train()(x, y)
    assert drawn(loss) != start


@pytest.mark.parametrize("memory_size", [0, 4])
def test_learning_separates_the_classes(memory_size: int) -> None:
    """The loss falls when the features may move, and then pixels are nearest to their own class."""
    loss = small(memory_size=memory_size, anchors=20)
    x, y = case(0)
    x.requires_grad_(True)
    optimizer = torch.optim.Adam([x, *loss.parameters()], lr=0.05)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(x, y)
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < values[0] / 3
    z, valid = loss.embed(x).flatten(0, 1), (y != 255).flatten()
    z, own = z[valid], y.flatten()[valid]
    means = F.normalize(torch.stack([z[own == k].mean(0) for k in range(3)]), dim=1)
    assert ((z @ means.T).argmax(1) == own).double().mean() > 0.9
