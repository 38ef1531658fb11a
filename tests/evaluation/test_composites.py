"""Objects, edges, places and scores, each against plain loops."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from classaware.data.pairs import default_reach
from classaware.evaluation.composites import (
    Region,
    SceneObject,
    compose,
    context_around,
    core_of,
    find_objects,
    object_scores,
    same_place,
    scored_region,
    soft_mask,
)

IGNORED = 255
Pixels = set[tuple[int, int]]


def flooded(label: NDArray[np.int64], class_index: int) -> list[Pixels]:
    """Regions of a class by flood fill, in the order of their first pixels."""
    height, width = label.shape
    seen: Pixels = set()
    found = []
    for start in np.ndindex(height, width):
        if label[start] != class_index or start in seen:
            continue
        region, waiting = {start}, [start]
        while waiting:
            y, x = waiting.pop()
            for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                inside = 0 <= near[0] < height and 0 <= near[1] < width
                if inside and near not in region and label[near] == class_index:
                    region.add(near)
                    waiting.append(near)
        seen |= region
        found.append(region)
    return found


def pixels_of(thing: SceneObject) -> Pixels:
    return {(thing.top + int(y), thing.left + int(x)) for y, x in np.argwhere(thing.mask_hw)}


def random_label(seed: int, height: int, width: int) -> NDArray[np.int64]:
    """Two classes and ignored pixels in lumps."""
    rng = np.random.default_rng(seed)
    fine = rng.choice([0, 1, 1, IGNORED], (height // 2 + 1, width // 2 + 1))
    label: NDArray[np.int64] = np.kron(fine, np.ones((2, 2), dtype=np.int64))[:height, :width]
    return label


@given(seed=st.integers(0, 10_000), height=st.integers(3, 14), width=st.integers(3, 14))
def test_objects_are_what_a_flood_fill_finds(seed: int, height: int, width: int) -> None:
    label = random_label(seed, height, width)
    smallest, largest = 0.03, 0.5
    expected = [
        region
        for region in flooded(label, 1)
        if smallest * height * width <= len(region) <= largest * height * width
        and all(0 < y < height - 1 and 0 < x < width - 1 for y, x in region)
    ]
    found = find_objects(label, 1, smallest, largest)
    assert sorted(map(sorted, map(pixels_of, found))) == sorted(map(sorted, expected))
    for thing in found:
        assert thing.class_index == 1
        for side in (thing.mask_hw[0], thing.mask_hw[-1], thing.mask_hw[:, 0], thing.mask_hw[:, -1]):
            assert side.any()


def looped_alpha(mask: NDArray[np.bool_], feather: int) -> NDArray[np.float64]:
    """From distances to every pixel that is not the object's, also those far outside its box."""
    height, width = mask.shape
    outside = [
        (y, x)
        for y in range(-3, height + 3)
        for x in range(-3, width + 3)
        if not (0 <= y < height and 0 <= x < width and mask[y, x])
    ]
    alpha = np.zeros(mask.shape)
    for y, x in np.ndindex(height, width):
        if mask[y, x]:
            nearest = min((y - v) ** 2 + (x - u) ** 2 for v, u in outside)
            alpha[y, x] = min(math.sqrt(nearest) / (feather + 1), 1.0)
    return alpha


@given(seed=st.integers(0, 10_000), height=st.integers(1, 11), width=st.integers(1, 11), feather=st.integers(0, 3))
@settings(max_examples=60)
def test_edge_follows_brute_force_distances(seed: int, height: int, width: int, feather: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.85
    np.testing.assert_allclose(soft_mask(mask, feather), looped_alpha(mask, feather), rtol=1e-15)


def test_without_a_feather_the_edge_is_hard() -> None:
    mask = np.random.default_rng(0).random((9, 9)) < 0.7
    np.testing.assert_array_equal(soft_mask(mask, 0), mask.astype(float))


@given(seed=st.integers(0, 10_000), feather=st.integers(0, 3))
@settings(max_examples=40)
def test_composite_pixel_by_pixel(seed: int, feather: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 256, (3, 20, 18)).astype(np.uint8)
    host = rng.integers(0, 256, (3, 15, 25)).astype(np.uint8)
    host_label = rng.choice([0, 2, IGNORED], (15, 25))
    thing = SceneObject(1, 3, 4, rng.random((11, 9)) < 0.9)
    corner = (int(rng.integers(0, 5)), int(rng.integers(0, 17)))
    before = host.copy(), host_label.copy(), source.copy()
    image, label = compose(source, thing, host, host_label, corner, feather, IGNORED)
    alpha = looped_alpha(thing.mask_hw, feather)
    for y, x in np.ndindex(15, 25):
        v, u = y - corner[0], x - corner[1]
        a = alpha[v, u] if 0 <= v < 11 and 0 <= u < 9 else 0.0
        for channel in range(3):
            old = int(host[channel, y, x])
            new = int(source[channel, thing.top + v, thing.left + u]) if a else 0
            assert image[channel, y, x] == round(a * new + (1 - a) * old)
        assert label[y, x] == (1 if a == 1 else IGNORED if a > 0 else host_label[y, x])
    assert image.dtype == np.uint8
    for kept, given_ in zip(before, (host, host_label, source), strict=True):
        np.testing.assert_array_equal(kept, given_)


@given(
    top=st.integers(0, 30),
    left=st.integers(0, 30),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    room=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    other=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_places_keep_the_relative_center(
    top: int, left: int, height: int, width: int, room: tuple[int, int], other: tuple[int, int]
) -> None:
    thing = SceneObject(0, top, left, np.ones((height, width), dtype=bool))
    size = (top + height + room[0], left + width + room[1])
    assert same_place(thing, size, size) == (top, left)
    found = same_place(thing, size, other)
    if height > other[0] or width > other[1]:
        assert found is None
        return
    assert found is not None
    for start, length, old, new, at in zip((top, left), (height, width), size, other, found, strict=True):
        center = Fraction(2 * start + length, 2 * old) * new
        wanted = math.floor(center - Fraction(length, 2) + Fraction(1, 2))
        assert at == min(max(wanted, 0), new - length)


@given(seed=st.integers(0, 10_000), top=st.integers(0, 9), left=st.integers(0, 9))
@settings(max_examples=60)
def test_context_is_counted_near_the_object(seed: int, top: int, left: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.choice([0, 1, 2, 3, IGNORED], (16, 17), p=[0.3, 0.2, 0.1, 0.1, 0.3])
    thing = SceneObject(1, top, left, rng.random((6, 7)) < 0.6)
    own, reach = pixels_of(thing), default_reach(label.shape)
    counts = [0] * 4
    for y, x in np.ndindex(16, 17):
        near = any(max(abs(y - v), abs(x - u)) <= reach for v, u in own)
        if near and (y, x) not in own and label[y, x] not in (1, IGNORED):
            counts[label[y, x]] += 1
    found = context_around(thing, label, IGNORED, 4)
    if not sum(counts):
        assert found is None
    else:
        assert found == (counts.index(max(counts)), pytest.approx(max(counts) / sum(counts)))


def test_nothing_near_is_labeled() -> None:
    label = np.full((20, 20), IGNORED)
    label[8:12, 8:12] = 1
    thing = SceneObject(1, 8, 8, np.ones((4, 4), dtype=bool))
    assert context_around(thing, label, IGNORED, 2) is None


@given(seed=st.integers(0, 10_000), top=st.integers(0, 9), left=st.integers(0, 8), feather=st.integers(0, 2))
@settings(max_examples=60)
def test_scores_against_loops(seed: int, top: int, left: int, feather: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.choice([0, 1, 2, IGNORED], (18, 20), p=[0.4, 0.2, 0.2, 0.2])
    thing = SceneObject(1, top, left, np.ones((9, 12), dtype=bool))
    thing.mask_hw[0, :3] = False
    label[thing.rows, thing.columns][thing.mask_hw] = 1
    predicted = rng.integers(0, 3, label.shape)
    alpha, own = looped_alpha(thing.mask_hw, feather), pixels_of(thing)
    right = core = wrong = 0
    for y, x in np.ndindex(18, 20):
        if not (top - 3 <= y < top + 12 and left - 3 <= x < left + 15):  # a quarter of 9 is 3 whole pixels
            continue
        if (y, x) in own:
            if alpha[y - top, x - left] == 1:
                core += 1
                right += predicted[y, x] == 1
        elif label[y, x] not in (1, IGNORED):
            wrong += predicted[y, x] == 1
    region = scored_region(thing, label, feather, IGNORED)
    assert object_scores(predicted, 1, region) == (right / (core + wrong), right / core)
    assert core_of(predicted, region).tolist() == [
        predicted[y, x] for y, x in sorted(own) if alpha[y - top, x - left] == 1
    ]


def test_scores_of_a_perfect_and_an_empty_prediction() -> None:
    region = Region(slice(0, 2), slice(0, 2), np.array([[True, False], [True, False]]), np.array([[False, True]] * 2))
    assert object_scores(np.array([[1, 0], [1, 0]]), 1, region) == (1.0, 1.0)
    assert object_scores(np.array([[0, 0], [0, 0]]), 1, region) == (0.0, 0.0)
    assert object_scores(np.array([[1, 1], [1, 1]]), 1, region) == (0.5, 1.0)
