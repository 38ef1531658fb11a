"""Scores by familiarity against plain loops over pixels and over resamples."""

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tiny_world import IGNORED, Maps, chance_contacts, guesses, pairs_by_loops, record_of, striped_maps, write_dataset

from classaware.data.pairs import Together, count_pairs
from classaware.errors import InputError
from classaware.evaluation.combinations import read_combinations
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.rare_combinations import RareCombinations, rare_combinations
from classaware.evaluation.side_by_side import ENOUGH, Estimate, Measure
from classaware.evaluation.statistics import image_weights, paired_t_test, welch_t_test

K, S, N = 4, 40, 30
Pair = tuple[int, int]


class World(NamedTuple):
    """Labels, what two sides with two runs each say of them, and the training's labels."""

    labels: Maps
    training: Maps
    ours: list[Maps]
    theirs: list[Maps]
    together: Together

    def score(self, root: Path, seeds: tuple[int, ...] = (0, 1, 0, 1), two: bool = True) -> RareCombinations:
        data = write_dataset(root, {"test": self.labels, "train": self.training}, K)
        combinations = read_combinations(data, "test", 1, self.together, workers=0)
        familiarity = Familiarity(count_pairs(data, "train", 1, 0, together=self.together))
        runs = [
            record_of(self.labels, guess, K, training={"seed": seed}, checkpoint={"sha256": str(place)})
            for place, (guess, seed) in enumerate(zip([*self.ours, *self.theirs], seeds, strict=True))
        ]
        split = len(self.ours)
        return rare_combinations(runs[:split], runs[split:] if two else None, combinations, familiarity, ("a", "b"), S)


@pytest.fixture(scope="module", params=["touching", "image"])
def world(request: pytest.FixtureRequest) -> World:
    labels, training = striped_maps(5, N, K), striped_maps(6, 10, K)
    ours, theirs = ([guesses(labels, 10 * side + run, K, 0.6 + 0.2 * side) for run in range(2)] for side in range(2))
    return World(labels, training, ours, theirs, request.param)


class Loops:
    """Everything from pixels, image by image."""

    def __init__(self, world: World) -> None:
        self.world, touching = world, world.together == "touching"
        self.found = [pairs_by_loops(label, touching) for label in world.labels]
        trained = [pairs_by_loops(label, touching) for label in world.training]
        self.training = {
            (a, b): sum((a, b) in pairs for _, pairs in trained) for a in range(K) for b in range(K) if a != b
        }
        self.holding = holding = [sum(k in present for present, _ in trained) for k in range(K)]
        self.expected = {(a, b): holding[a] * holding[b] / len(trained) for a, b in self.training}
        if touching:
            counts = np.array([[self.training.get((a, b), 0) for b in range(K)] for a in range(K)])
            chance = chance_contacts(counts)
            self.expected = {pair: float(chance[pair]) for pair in self.training}
        self.weights = [np.ones(N, dtype=np.int64), *np.concatenate(list(image_weights(N, S)))]

    def category(self, pair: Pair) -> int:
        if not self.training[pair]:
            return 2
        return int(self.training[pair] < 0.5 * self.expected[pair])

    def score(self, pair: Pair) -> float:
        known = all(self.holding[k] for k in pair)
        return (self.training[pair] + 0.5) / (self.expected[pair] + 0.5) if known else 0.0

    def group(self, image: int, k: int | None) -> int:
        present, pairs = self.found[image]
        if k is None:
            return max((self.category(pair) for pair in pairs), default=3 if present else -1)
        return max((self.category(pair) for pair in pairs if pair[0] == k), default=3) if k in present else -1

    def often(self, image: int, k: int) -> bool:
        """All that stands with the class does so at least as often as by chance."""
        lifts = [self.training[pair] / self.expected[pair] for pair in self.found[image][1] if pair[0] == k]
        return bool(lifts) and min(lifts) >= 1

    def iou(self, guess: Maps, k: int, images: list[int], weights: Any) -> float:
        """IoU of a class over images, each as often as it is drawn; nan without a true pixel."""
        run = next(i for i, each in enumerate([*self.world.ours, *self.world.theirs]) if each is guess)
        right = union = truth = 0
        for image in images:
            one, either, true = self.pixels(run, k, image)
            right += weights[image] * one
            union += weights[image] * either
            truth += weights[image] * true
        return right / union if truth else float("nan")

    @cache  # noqa: B019
    def pixels(self, run: int, k: int, image: int) -> tuple[int, int, int]:
        """Right, right or wrong, and true pixels of a class."""
        label, said = self.world.labels[image], [*self.world.ours, *self.world.theirs][run][image]
        both = [(int(a), int(b)) for a, b in zip(label.ravel(), said.ravel(), strict=True) if a != IGNORED]
        return sum(a == b == k for a, b in both), sum(k in pair for pair in both), sum(a == k for a, _ in both)

    def values(self, of: Callable[[Maps, Any], float]) -> np.ndarray[Any, Any]:
        """(4, 1 + S): a number of every run and resample."""
        return np.array([[of(guess, w) for w in self.weights] for guess in [*self.world.ours, *self.world.theirs]])


@pytest.fixture(scope="module")
def result(world: World, tmp_path_factory: pytest.TempPathFactory) -> RareCombinations:
    return world.score(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def loops(world: World) -> Loops:
    return Loops(world)


def mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def same_estimate(found: Estimate | None, values: np.ndarray[Any, Any], enough: bool) -> None:
    assert found is not None
    assert found.value == pytest.approx(values[0], abs=1e-12)
    resampled = values[1:][~np.isnan(values[1:])]
    wanted = [np.quantile(resampled, q) for q in (0.025, 0.975)] if enough else None
    assert found.interval == (None if wanted is None else pytest.approx(wanted, abs=1e-12))


def same(found: Any, values: np.ndarray[Any, Any], images: int) -> None:
    ours, theirs, enough = values[:2].mean(axis=0), values[2:].mean(axis=0), images >= ENOUGH
    same_estimate(found.ours, ours, enough)
    same_estimate(found.theirs, theirs, enough)
    same_estimate(found.difference, ours - theirs, enough)
    if isinstance(found, Measure):
        assert [*found.our_runs, *found.their_runs] == pytest.approx(values[:, 0].tolist(), abs=1e-12)
        assert found.test is not None
        assert found.test.p == pytest.approx(paired_t_test(values[:2, 0].tolist(), values[2:, 0].tolist()).p, abs=1e-9)


def test_groups(result: RareCombinations, loops: Loops) -> None:
    assert len(result.groups) == 8
    filled = 0
    for row in result.groups:
        number = ("familiar", "rare", "never", "alone").index(row.group)
        if row.unit == "image":
            chosen = [i for i in range(N) if loops.group(i, None) == number]
            members = dict.fromkeys(range(K), chosen)
            count, images = len(chosen), len(chosen)
        else:
            members = {k: [i for i in range(N) if loops.group(i, k) == number] for k in range(K)}
            count, images = sum(map(len, members.values())), len({i for each in members.values() for i in each})
        assert (row.units, row.images) == (count, images)
        held = [k for k in range(K) if any((loops.world.labels[i] == k).any() for i in members[k])]
        assert row.classes == len(held)
        if not count:
            assert row.mean_iou.ours == Estimate(None, None)
            continue
        filled += 1

        def of(guess: Maps, w: Any, members: dict[int, list[int]] = members) -> float:
            return mean([loops.iou(guess, k, members[k], w) for k in range(K)])

        same(row.mean_iou, loops.values(of), images)
    assert filled >= 5  # or the world is too simple


def test_matched_gap(result: RareCombinations, loops: Loops) -> None:
    familiar = {k: [i for i in range(N) if loops.group(i, k) == 0 and loops.often(i, k)] for k in range(K)}
    unfamiliar = {k: [i for i in range(N) if loops.group(i, k) in (1, 2)] for k in range(K)}
    both = [k for k in range(K) if familiar[k] and unfamiliar[k]]
    assert result.gap is not None
    assert len(both) >= 2
    names = [result.gap.classes[place].name for place in range(len(both))]
    assert names == [("sky", "road", "car", "person")[k] for k in both]

    def each(guess: Maps, w: Any) -> list[tuple[float, float, float]]:
        found = [(loops.iou(guess, k, familiar[k], w), loops.iou(guess, k, unfamiliar[k], w)) for k in both]
        regions = [float(sum(w[i] for i in unfamiliar[k])) for k in both]
        return [(*pair, n) for pair, n in zip(found, regions, strict=True) if not np.isnan(pair[0] - pair[1])]

    def weighted(guess: Maps, w: Any) -> float:
        rows = each(guess, w)
        return sum((a - b) * n for a, b, n in rows) / sum(n for _, _, n in rows) if rows else float("nan")

    images = min(len({i for k in both for i in of[k]}) for of in (familiar, unfamiliar))
    same(result.gap.familiar, loops.values(lambda guess, w: mean([a for a, _, _ in each(guess, w)])), images)
    same(result.gap.unfamiliar, loops.values(lambda guess, w: mean([b for _, b, _ in each(guess, w)])), images)
    same(result.gap.gap, loops.values(lambda guess, w: mean([a - b for a, b, _ in each(guess, w)])), images)
    same(result.gap.weighted_gap, loops.values(weighted), images)
    for row, k in zip(result.gap.classes, both, strict=True):
        assert (row.familiar_regions, row.unfamiliar_regions) == (len(familiar[k]), len(unfamiliar[k]))

        def gap(guess: Maps, w: Any, k: int = k) -> float:
            return loops.iou(guess, k, familiar[k], w) - loops.iou(guess, k, unfamiliar[k], w)

        same(row.gap, loops.values(gap), min(len(familiar[k]), len(unfamiliar[k])))


def test_pairs(result: RareCombinations, loops: Loops) -> None:
    names = ("sky", "road", "car", "person")
    wanted = sorted({pair for _, pairs in loops.found for pair in pairs})
    assert [(names.index(row.name), names.index(row.partner)) for row in result.pairs] == wanted
    for row, (a, b) in zip(result.pairs, wanted, strict=True):
        beside = [i for i in range(N) if (a, b) in loops.found[i][1]]
        others = [i for i in range(N) if a in loops.found[i][0] and i not in beside]
        assert (row.images, row.other_images) == (len(beside), len(others))
        assert row.training == loops.training[a, b]
        assert row.expected == pytest.approx(loops.expected[a, b])
        assert row.category == ("familiar", "rare", "never")[loops.category((a, b))]
        for found, images in ((row.together, beside), (row.apart, others)):
            if images:

                def of(guess: Maps, w: Any, images: list[int] = images, a: int = a) -> float:
                    return loops.iou(guess, a, images, w)

                same(found, loops.values(of), len(images))
        if not others:
            assert row.effect.ours == row.apart.ours == Estimate(None, None)
            continue

        def effect(guess: Maps, w: Any, a: int = a, one: list[int] = beside, other: list[int] = others) -> float:
            return loops.iou(guess, a, one, w) - loops.iou(guess, a, other, w)

        same(row.effect, loops.values(effect), min(len(beside), len(others)))


def test_curve_covers_every_unit_once(result: RareCombinations, loops: Loops) -> None:
    for unit in ("image", "region"):
        rows = [row for row in result.curve if row.unit == unit]
        paired = [row for row in result.groups if row.unit == unit and row.group != "alone"]
        assert sum(row.units for row in rows) == sum(row.units for row in paired)
        assert all(row.lowest <= row.middle <= row.highest for row in rows)
        assert all(one.highest < other.lowest for one, other in pairwise(rows))
    (first, *_) = [row for row in result.curve if row.unit == "image"]
    scores = {i: min(map(loops.score, pairs), default=np.inf) for i, (_, pairs) in enumerate(loops.found)}
    chosen = [i for i in range(N) if scores[i] <= first.highest + 1e-12]
    assert first.units == len(chosen)
    same(first.mean_iou, loops.values(lambda g, w: mean([loops.iou(g, k, chosen, w) for k in range(K)])), len(chosen))


def test_facts_and_json(result: RareCombinations, world: World) -> None:
    assert (result.images, result.training_images, result.paired_by) == (N, 10, "seed")
    assert result.together == world.together
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (content["format"], content["version"]) == ("classaware-combinations", 1)
    assert content["gap"]["gap"]["ours"]["value"] == result.gap.gap.ours.value  # type: ignore[union-attr]


def test_one_side_has_the_same_numbers(result: RareCombinations, world: World, tmp_path: Path) -> None:
    alone = world.score(tmp_path, two=False)
    assert alone.theirs is None
    for one, other in zip(alone.groups, result.groups, strict=True):
        assert one.mean_iou.ours == other.mean_iou.ours
        assert one.mean_iou.theirs is one.mean_iou.difference is one.mean_iou.test is None
    assert [row.effect.ours for row in alone.pairs] == [row.effect.ours for row in result.pairs]


def test_seeds_pair_the_runs(world: World, result: RareCombinations, tmp_path: Path) -> None:
    turned = world._replace(theirs=world.theirs[::-1]).score(tmp_path / "a", (0, 1, 1, 0))
    assert turned.groups == result.groups  # their order does not matter
    free = world.score(tmp_path / "b", (0, 1, 2, 3))
    assert free.paired_by is None
    measure = free.groups[0].mean_iou
    assert measure.test == welch_t_test(measure.our_runs, measure.their_runs)  # type: ignore[arg-type]


def by_company(labels: Maps, fails: Callable[[set[int]], bool]) -> Maps:
    """The truth, but for images with certain classes: there the left half of every class is said to be the last."""
    found = labels.copy()
    for image, label in enumerate(labels):
        if fails(set(np.unique(label)) - {IGNORED}):
            found[image, :2] = np.where(label[:2] == IGNORED, IGNORED, K - 1)
    return found


def test_a_network_that_fails_in_strange_company_alone_has_a_gap(tmp_path: Path) -> None:
    halves = [(0, 1), (1, 2), (0, 2)]
    labels = np.array([np.repeat([[a] * 12 + [b] * 12], 4, axis=0) for a, b in halves * 10])
    training = labels[[0, 1, 0, 1]]  # 0 with 1, 1 with 2, never 0 with 2
    strange = by_company(labels, lambda classes: classes == {0, 2})
    everywhere = by_company(labels, lambda classes: True)
    world = World(labels, training, [strange], [everywhere], "touching")
    found = world.score(tmp_path, (0, 0))
    never = {(row.name, row.partner) for row in found.pairs if row.category == "never"}
    assert never == {("sky", "car"), ("car", "sky")}
    assert found.gap is not None
    assert [row.name for row in found.gap.classes] == ["sky", "car"]
    assert found.gap.gap.ours == Estimate(pytest.approx(0.5), (pytest.approx(0.5), pytest.approx(0.5)))
    assert found.gap.gap.theirs == Estimate(0.0, (0.0, 0.0))
    assert found.gap.gap.difference is not None
    assert found.gap.gap.difference.value == pytest.approx(0.5)
    assert found.gap.weighted_gap.ours.value == pytest.approx(0.5)
    by = {(row.unit, row.group): row.mean_iou.ours.value for row in found.groups}
    assert by["region", "familiar"] == by["image", "familiar"] == 1.0
    assert by["region", "never"] == by["image", "never"] == pytest.approx(0.5)
    effects = {(row.name, row.partner): row.effect.ours.value for row in found.pairs}
    assert effects["sky", "car"] == pytest.approx(-0.5)
    assert effects["sky", "road"] == pytest.approx(0.5)
    assert effects["road", "sky"] == 0.0


def test_without_unfamiliar_company_there_is_no_gap(tmp_path: Path) -> None:
    labels = striped_maps(0, 8, 2)
    world = World(labels, labels, [labels], [], "image")
    assert world.score(tmp_path, (0,), two=False).gap is None


def test_nothing_to_score_is_named(world: World) -> None:
    with pytest.raises(InputError, match="at least one evaluation"):
        rare_combinations([], None, None, None)  # type: ignore[arg-type]
