import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.insight import CenterAccumulator, dependency_map, mean_dependency, measure_dependency, similarity_map
from classaware.insight.centers import GROUPS
from classaware.insight.dependency import FORMS, Form, cosine_map, mean_cosine
from classaware.insight.subject import Subject
from classaware.models import ForeignNetwork


def scene(seed: int, images: int = 4, classes: int = 5, size: tuple[int, int] = (9, 13)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(images, 6, 5, 7, generator=generator)
    labels = torch.randint(-1, classes - 1, (images, *size), generator=generator)  # the last class is absent
    return features, torch.where(labels < 0, 255, labels)


def centers_by_loop(features: Tensor, labels: Tensor, classes: int) -> tuple[list[list[float]], list[bool]]:
    images, channels, h, w = features.shape
    _, height, width = labels.shape
    found: list[list[list[float]]] = [[] for _ in range(classes)]
    for b in range(images):
        for i in range(h):
            for j in range(w):
                y = math.floor(i * (height - 1) / (h - 1) + 0.5)
                x = math.floor(j * (width - 1) / (w - 1) + 0.5)
                label = int(labels[b, y, x])
                if label != 255:
                    found[label].append(features[b, :, i, j].double().tolist())
    means = [[math.fsum(p[c] for p in f) / len(f) if f else 0.0 for c in range(channels)] for f in found]
    return means, [bool(f) for f in found]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.sampled_from([(9, 13), (5, 7), (17, 25), (3, 4)]))
def test_centers_equal_a_loop(seed: int, size: tuple[int, int]) -> None:
    features, labels = scene(seed, size=size)
    accumulator = CenterAccumulator(5)
    accumulator.update(features, labels)
    means, present = centers_by_loop(features, labels, 5)
    assert accumulator.centers().dtype == torch.float64
    torch.testing.assert_close(accumulator.centers(), torch.tensor(means, dtype=torch.float64), rtol=1e-13, atol=1e-13)
    assert accumulator.present.tolist() == present
    assert not accumulator.present[4]


def test_batches_do_not_matter_to_the_bit() -> None:
    features, labels = scene(3)
    whole, single = CenterAccumulator(5), CenterAccumulator(5)
    whole.update(features, labels)
    for index in range(len(features)):
        single.update(features[index : index + 1], labels[index : index + 1].to(torch.uint8))
    assert torch.equal(whole.centers(), single.centers())


def test_sums_are_float64() -> None:
    accumulator = CenterAccumulator(1)
    label = torch.zeros(1, 1, 1, dtype=torch.int64)
    for value in (1e8, 1.0, -1e8):
        accumulator.update(torch.full((1, 1, 1, 1), value), label)
    assert accumulator.centers().item() == 1 / 3


def test_bad_input_is_named() -> None:
    features, labels = scene(0)
    accumulator = CenterAccumulator(5)
    with pytest.raises(InputError, match="no class centers yet"):
        accumulator.centers()
    with pytest.raises(InputError, match=r"value 4.*0\.\.2"):
        CenterAccumulator(3).update(features, torch.full_like(labels, 4))
    with pytest.raises(InputError, match="same images"):
        accumulator.update(features, labels[:2])
    accumulator.update(features, labels)
    with pytest.raises(InputError, match="3 channels, earlier ones had 6"):
        accumulator.update(features[:, :3], labels)
    with pytest.raises(InputError, match="diverged"):
        accumulator.update(features * math.nan, labels)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.lists(st.booleans(), min_size=1, max_size=6))
def test_map_equals_a_loop(seed: int, present: list[bool]) -> None:
    size = len(present)
    centers = torch.randn(size, 4, generator=torch.Generator().manual_seed(seed)) * 2
    result = dependency_map(centers, torch.tensor(present))
    rows = []
    for i in range(size):
        weights = {}
        for j in range(size):
            if present[i] and present[j]:
                dot = math.fsum(a * b for a, b in zip(centers[i].tolist(), centers[j].tolist(), strict=True))
                weights[j] = math.exp(dot / math.sqrt(4))
        expected = [weights[j] / sum(weights.values()) if j in weights else math.nan for j in range(size)]
        assert result[i].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-15, nan_ok=True)
        if weights:
            rows.append(sum(weight for j, weight in weights.items() if j != i) / sum(weights.values()))
    expected_mean = sum(rows) / len(rows) if rows else math.nan
    assert mean_dependency(result) == pytest.approx(expected_mean, rel=1e-9, abs=1e-15, nan_ok=True)


def test_map_of_equal_and_of_far_centers() -> None:
    everyone = torch.ones(4, dtype=torch.bool)
    assert mean_dependency(dependency_map(torch.ones(4, 8), everyone)) == pytest.approx(3 / 4)
    far = mean_dependency(dependency_map(torch.eye(4) * 20, everyone))
    assert far == pytest.approx(3 * math.exp(-200), rel=1e-9)  # not lost in 1 - diagonal
    assert dependency_map(torch.eye(4) * 1e4, everyone).isfinite().all()


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InputError, match=r"\(3, 2\).*\(4,\)"):
        dependency_map(torch.zeros(3, 2), torch.ones(4, dtype=torch.bool))


def added(features: Tensor, labels: Tensor, classes: int = 5) -> CenterAccumulator:
    accumulator = CenterAccumulator(classes)
    accumulator.update(features, labels)
    return accumulator


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.01, 100))
def test_scale_equals_a_loop(seed: int, factor: float) -> None:
    features, labels = scene(seed, size=(5, 7))
    features = features * factor
    squares = [
        float(value) ** 2 for x, y in zip(features, labels, strict=True) for value in x[:, y != 255].flatten().double()
    ]
    expected = math.sqrt(math.fsum(squares) / len(squares))
    assert added(features, labels).scale() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("images", [3, GROUPS, 2 * GROUPS + 3])
def test_without_a_group_is_as_if_its_images_had_not_been(images: int) -> None:
    features, labels = scene(7, images=images)
    accumulator = added(features, labels)
    assert (accumulator.images, accumulator.groups) == (images, min(images, GROUPS))
    for group in range(accumulator.groups):
        kept = torch.arange(images) % GROUPS != group
        fewer = added(features[kept], labels[kept])
        assert torch.equal(fewer.present, accumulator.present)
        torch.testing.assert_close(accumulator.centers(group), fewer.centers(), rtol=1e-12, atol=1e-12)
        assert accumulator.scale(group) == pytest.approx(fewer.scale(), rel=1e-12)


def test_a_class_of_one_group_keeps_its_center_without_it() -> None:
    features = torch.randn(3, 2, 2, 2)
    labels = torch.zeros(3, 2, 2, dtype=torch.int64)
    labels[1, 0] = 1
    accumulator = added(features, labels, 2)
    assert torch.equal(accumulator.centers(1)[1], accumulator.centers()[1])
    assert not torch.equal(accumulator.centers(1)[0], accumulator.centers()[0])
    one = added(features[:1], labels[:1], 2)
    assert one.scale(0) == one.scale() > 0


def test_unlabeled_images_count_as_images_and_as_nothing_else() -> None:
    features, labels = scene(1, images=2)
    labels[0] = 255
    accumulator = added(features, labels)
    assert accumulator.images == 2
    torch.testing.assert_close(accumulator.centers(), added(features[1:], labels[1:]).centers(), rtol=0, atol=0)
    nothing = added(features[:1], labels[:1])
    assert not nothing.present.any()
    assert math.isnan(nothing.scale())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.lists(st.booleans(), min_size=1, max_size=5))
def test_cosines_equal_a_loop(seed: int, present: list[bool]) -> None:
    size = len(present)
    centers = torch.randn(size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    result = cosine_map(centers, torch.tensor(present))
    pairs = []
    for i in range(size):
        for j in range(size):
            a, b = centers[i].tolist(), centers[j].tolist()
            dot = sum(p * q for p, q in zip(a, b, strict=True))
            expected = dot / math.hypot(*a) / math.hypot(*b) if present[i] and present[j] else math.nan
            assert float(result[i, j]) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
            if i != j and present[i] and present[j]:
                pairs.append(expected)
    mean = sum(pairs) / len(pairs) if pairs else math.nan
    assert mean_cosine(result) == pytest.approx(mean, rel=1e-9, abs=1e-12, nan_ok=True)


def test_centers_and_features_of_zero() -> None:
    cosines = cosine_map(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.ones(2, dtype=torch.bool))
    assert cosines.tolist() == [[0.0, 0.0], [0.0, pytest.approx(1.0)]]
    nothing = added(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]), 2)
    assert similarity_map(nothing, "unit").tolist() == [[0.5, 0.5], [0.5, 0.5]]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.sampled_from([1e-3, 0.5, 7.0, 1e4]))
def test_unit_and_cosine_do_not_know_the_scale(seed: int, factor: float) -> None:
    features, labels = scene(seed)
    one, other = added(features.double(), labels), added(features.double() * factor, labels)
    forms: tuple[Form, ...] = ("unit", "cosine")
    for form in forms:
        torch.testing.assert_close(
            similarity_map(one, form), similarity_map(other, form), rtol=1e-9, atol=1e-12, equal_nan=True
        )
    assert not torch.allclose(similarity_map(one), similarity_map(other), rtol=1e-9, equal_nan=True)
    torch.testing.assert_close(
        similarity_map(one, "unit"), dependency_map(one.centers() / one.scale(), one.present), equal_nan=True
    )


def test_one_pass_for_all_networks() -> None:
    torch.manual_seed(0)
    device = torch.device("cpu")
    subjects = [
        Subject(
            name, ForeignNetwork(nn.Sequential(nn.Conv2d(3, c, 3, 2), nn.Conv2d(c, 4, 1)), "0", 4), Inference(), device
        )
        for name, c in (("a", 5), ("b", 6))
    ]
    images = [torch.randint(0, 256, (3, 9, 11), dtype=torch.uint8) for _ in range(4)]
    labels = [torch.randint(0, 4, (9, 11)) for _ in range(4)]
    told: list[tuple[int, int]] = []
    pairs = iter(zip(images, labels, strict=True))  # can be read only once
    found = measure_dependency(subjects, pairs, 255, 4, lambda done, total: told.append((done, total)), 4)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert list(found) == ["a", "b"]
    for subject in subjects:
        features = torch.stack([subject.look(image).features_CHW for image in images])
        assert torch.equal(found[subject.name].centers(), added(features, torch.stack(labels), 4).centers())


def test_maps_without_a_group_take_centers_and_scale_without_it() -> None:
    features, labels = scene(5)
    accumulator, present = added(features, labels), torch.tensor([True, True, False, True, False])
    centers, scale = accumulator.centers(2), accumulator.scale(2)
    assert scale != accumulator.scale()
    expected = {
        "paper": dependency_map(centers, present),
        "unit": dependency_map(centers / scale, present),
        "cosine": cosine_map(centers, present),
    }
    for form in FORMS:
        torch.testing.assert_close(
            similarity_map(accumulator, form, present, 2), expected[form], rtol=0, atol=0, equal_nan=True
        )
