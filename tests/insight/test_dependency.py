import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.errors import InputError
from classaware.insight import CenterAccumulator, dependency_map, mean_dependency


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
