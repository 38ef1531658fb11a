"""Moved objects: which, where to, and what networks that do and do not use context make of them."""

import csv
import io
import json
import math

import numpy as np
import pytest
import torch
from staged_scenes import THINGS, StagedScenes, by_context, by_own_color, familiarity_of
from tiny_world import chance_contacts
from torch import Tensor

from classaware.data import Sample
from classaware.data.pairs import PairCounts
from classaware.errors import InputError
from classaware.evaluation.composites import context_around
from classaware.evaluation.context_effects import Measured, contrasts, resampled_means
from classaware.evaluation.counterfactual import Counterfactual, counterfactual, measure_moves
from classaware.evaluation.counterfactual_text import as_csv, as_markdown, sentences
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.moves import Draw, Plan, plan_moves, views
from classaware.evaluation.places import movable_objects, place_kinds
from classaware.evaluation.side_by_side import pair_seeds
from classaware.evaluation.statistics import image_weights, paired_t_test


@pytest.fixture(scope="module")
def scenes() -> StagedScenes:
    return StagedScenes()


@pytest.fixture(scope="module")
def plan(scenes: StagedScenes) -> Plan:
    return plan_moves(scenes, "test", familiarity_of(scenes), workers=0)


@pytest.fixture(scope="module")
def both(scenes: StagedScenes) -> Counterfactual:
    """The network of context against that of own pixels, and a third that guesses."""
    ours = {"context-1": by_context, "context-2": guessing}
    theirs = {"own": by_own_color, "own too": by_own_color}
    seeds = {"context-1": 1, "context-2": 2, "own": 2, "own too": 1}
    return counterfactual(ours, scenes, "test", familiarity_of(scenes), theirs, seeds, resamples=200)


def guessing(image: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(int(image.sum()))
    return torch.randint(0, 5, image.shape[1:], generator=generator)


def test_reading_context_alone_is_all_sensitivity(scenes: StagedScenes) -> None:
    result = counterfactual({"net": by_context}, scenes, "test", familiarity_of(scenes))
    effect = result.networks[0].effect
    assert (effect.sensitivity, effect.interval) == (1.0, (1.0, 1.0))
    assert (effect.iou.home, effect.iou.familiar, effect.iou.unfamiliar) == (1.0, 1.0, 0.0)
    assert (effect.flips.home, effect.flips.familiar, effect.flips.unfamiliar) == (0.0, 0.0, 1.0)
    assert (effect.recall.home, effect.recall.unfamiliar) == (1.0, 0.0)
    assert (effect.moving_objects, effect.moving, effect.moving_interval) == (12, 0.0, (0.0, 0.0))
    assert (effect.objects, effect.images) == (12, 12)


def test_reading_own_pixels_alone_is_no_sensitivity(scenes: StagedScenes) -> None:
    result = counterfactual({"net": by_own_color}, scenes, "test", familiarity_of(scenes))
    effect = result.networks[0].effect
    assert (effect.sensitivity, effect.interval) == (0.0, (0.0, 0.0))
    assert (effect.iou.home, effect.iou.unfamiliar, effect.flips.unfamiliar) == (1.0, 1.0, 0.0)
    assert result.sides is None
    assert result.contrasts == ()
    assert result.groups == result.networks


def test_places_hold_what_they_promise(scenes: StagedScenes, plan: Plan) -> None:
    kinds = place_kinds(familiarity_of(scenes))
    labels = [scenes.read_label(sample) for sample in plan.samples]
    assert len(plan.moves) == plan.found == 12
    for move in plan.moves:
        label = labels[move.source]
        thing = movable_objects(label, move.class_index)[move.number]
        assert move.class_index in THINGS
        assert move.settled
        assert move.home == {3: 0, 4: 1}[move.class_index]
        for place, kind in ((move.familiar, 1), (move.unfamiliar, -1)):
            host = labels[place.host]
            assert place.host != move.source
            assert move.class_index not in host
            assert kinds[move.class_index, place.context] == kind
            near = context_around(thing.moved(place.corner), host, 255, 5)
            assert near is not None
            assert near[0] == place.context
            assert near[1] >= 0.75
        assert (move.familiar.rarity, move.unfamiliar.rarity) == ("familiar", "never")
        assert [view.image_3HW.shape[1:] for view in views(scenes, plan, move)] == [label.shape] * 3


def test_the_draw_is_a_function_of_the_seed(scenes: StagedScenes, plan: Plan) -> None:
    known = familiarity_of(scenes)
    assert plan_moves(scenes, "test", known, workers=0).moves == plan.moves
    assert plan_moves(scenes, "test", known, Draw(seed=1), workers=0).moves != plan.moves
    # Neither a smaller number nor fewer classes change what is drawn for the rest.
    assert plan_moves(scenes, "test", known, Draw(objects=5), workers=0).moves == plan.moves[:5]
    cows = plan_moves(scenes, "test", known, Draw(classes=("cow",)), workers=0)
    assert cows.moves == tuple(move for move in plan.moves if move.class_index == 3)
    assert [move.class_index for move in plan.moves] == [3, 4] * 6  # in turn


def test_objects_without_both_places_are_counted() -> None:
    class WithoutGrass(StagedScenes):
        """Its test images have no grass but what cows stand on."""

        def samples(self, split: str) -> list[Sample]:
            found = super().samples(split)
            return [each for each in found if not each.name.startswith("test-2")]

    scenes = WithoutGrass()
    plan = plan_moves(scenes, "test", familiarity_of(scenes), workers=0)
    assert (plan.found, plan.lacking) == (12, {"familiar": 6})
    assert [move.class_index for move in plan.moves] == [4] * 6


def test_thin_objects_stay(scenes: StagedScenes) -> None:
    known = familiarity_of(scenes)
    thick = plan_moves(scenes, "test", known, Draw(feather=0), workers=0)
    assert (thick.found, thick.thin) == (12, 0)
    with pytest.raises(InputError, match="12 are too thin"):
        plan_moves(scenes, "test", known, Draw(feather=9), workers=0)


def test_bad_input(scenes: StagedScenes) -> None:
    known = familiarity_of(scenes)
    with pytest.raises(InputError, match="'horse' does not exist"):
        plan_moves(scenes, "test", known, Draw(classes=("cow", "horse")))
    with pytest.raises(InputError, match="split 'val'"):
        plan_moves(scenes, "val", known)
    with pytest.raises(InputError, match="could move"):
        plan_moves(scenes, "test", known, Draw(classes=("water",)))
    for wrong in ({"objects": 0}, {"feather": -1}, {"seed": -1}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
            Draw(**wrong)
    one_image = Familiarity(PairCounts(scenes.class_names, 1, np.zeros((5, 5), dtype=np.int64)))
    with pytest.raises(InputError, match="touching"):
        plan_moves(scenes, "test", one_image)
    nothing = Familiarity(PairCounts(scenes.class_names, 1, np.zeros((5, 5), dtype=np.int64), 1, "touching"))
    with pytest.raises(InputError, match="none of 12 objects"):
        plan_moves(scenes, "test", nothing)
    others = Familiarity(PairCounts(("a", "b"), 1, np.zeros((2, 2), dtype=np.int64), 1, "touching"))
    with pytest.raises(InputError, match="other classes"):
        plan_moves(scenes, "test", others)
    with pytest.raises(InputError, match="'half' predicts"):
        counterfactual({"half": lambda image: by_context(image)[::2]}, scenes, "test", known)
    for predictors, against in (({}, None), ({"a": by_context}, {"a": by_context})):
        with pytest.raises(InputError, match="names"):
            counterfactual(predictors, scenes, "test", known, against)


def test_which_contexts_are_wanted() -> None:
    counts = np.array([[20, 10, 1, 1], [10, 20, 8, 0], [1, 8, 20, 6], [1, 0, 6, 20]])
    known = Familiarity(PairCounts(("a", "b", "c", "d"), 20, counts, 1, "touching"))
    kinds = place_kinds(known)
    chance = chance_contacts(counts)
    for i, j in np.ndindex(4, 4):
        lift = counts[i, j] / chance[i, j] if i != j else 0
        assert kinds[i, j] == (0 if i == j else 1 if lift >= 1 else -1 if lift < 0.5 else 0)
    assert {-1, 0, 1} == set(kinds[np.triu_indices(4, 1)].tolist())


def test_home_is_predicted_once_an_image(scenes: StagedScenes, plan: Plan) -> None:
    calls: list[int] = []

    def counted(image: Tensor) -> Tensor:
        calls.append(1)
        return by_context(image)

    told: list[tuple[int, int]] = []
    measure_moves({"net": counted}, scenes, plan, lambda done, total: told.append((done, total)))
    assert len(calls) == len({move.source for move in plan.moves}) + 2 * len(plan.moves)
    assert told == [(i + 1, 12) for i in range(12)]


def test_two_sides_are_paired_by_their_seeds(both: Counterfactual) -> None:
    assert both.sides is not None
    assert both.paired_by == "seed"
    ours, theirs = both.sides
    assert (ours.name, theirs.name) == ("context", "own")
    assert (ours.networks, theirs.networks) == (("context-1", "context-2"), ("own too", "own"))
    assert (theirs.seeds, theirs.sensitivities) == ((1, 2), (0.0, 0.0))
    guessed = both.networks[1].effect.sensitivity
    assert ours.effect.sensitivity == pytest.approx((1 + guessed) / 2)
    first = both.contrasts[0]
    assert first.quantity == "context sensitivity"
    assert first.difference == pytest.approx(ours.effect.sensitivity)
    assert first.test == paired_t_test(ours.sensitivities, theirs.sensitivities)
    assert first.image_interval is not None
    assert first.image_interval[0] < first.difference < first.image_interval[1]
    assert first.run_and_image_interval is not None
    assert [row.name for row in both.classes] == [StagedScenes.class_names[k] for k in THINGS]
    assert sum(row.effects[0].objects for row in both.classes) == 12
    mean = sum(row.effects[0].sensitivity * row.effects[0].objects for row in both.classes) / 12
    assert mean == pytest.approx(ours.effect.sensitivity)


def test_places_are_means_of_their_objects(both: Counterfactual) -> None:
    assert sum(row.objects for row in both.places) == 24
    mean = both.measured.mean([0, 1])
    for row in both.places:
        inside = [
            (index, kind)
            for index, move in enumerate(both.plan.moves)
            for kind, place in ((1, move.familiar), (2, move.unfamiliar))
            if both.plan.class_names[move.class_index] == row.class_name
            and both.plan.class_names[place.context] == row.context
        ]
        assert len(inside) == row.objects
        assert row.iou[0] == pytest.approx(sum(mean.iou_Rn3[0, i, k] for i, k in inside) / len(inside))
        assert row.iou_home[0] == pytest.approx(sum(mean.iou_Rn3[0, i, 0] for i, _ in inside) / len(inside))
        assert row.flips[0] == pytest.approx(sum(mean.flips_Rn3[0, i, k] for i, k in inside) / len(inside))


def test_resampled_means_draw_whole_images() -> None:
    rng = np.random.default_rng(0)
    values, source = rng.random((2, 10)), np.array([4, 4, 7, 7, 7, 2, 9, 9, 4, 3])
    found = resampled_means(values, source, 450)
    assert found is not None
    assert found.shape == (2, 450)
    images = [2, 3, 4, 7, 9]
    rows = [row for weights in image_weights(5, 450) for row in weights]
    for draw in (0, 201, 449):
        picked = [
            i
            for image, times in zip(images, rows[draw], strict=True)
            for _ in range(times)
            for i in np.flatnonzero(source == image)
        ]
        np.testing.assert_allclose(found[:, draw], values[:, picked].mean(axis=1), rtol=1e-12)
    assert resampled_means(values, np.arange(10) % 4, 10) is None


def test_one_run_a_side_has_no_interval_over_runs() -> None:
    scores = np.random.default_rng(0).random((2, 5, 3))
    source = np.arange(5)
    found = contrasts(Measured(scores, scores, scores), 1, False, source, 100)
    for row, (first, other) in zip(found[1:4], zip(*scores.mean(axis=1)[:, :3], strict=True), strict=True):
        assert row.difference == pytest.approx(first - other)
        assert (row.difference_sd, row.run_and_image_interval, row.test.p) == (None, None, None)
        assert row.image_interval is not None


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([0, 1, 2], [2, 0, 1], [1, 2, 0]),
        ([0, 0], [0, 0], None),
        ([0, 1], [0], None),
        ([0, None], [0, None], None),
        ([0, 1], [0, 2], None),
    ],
)
def test_pairing(ours: list[int | None], theirs: list[int | None], expected: list[int] | None) -> None:
    assert pair_seeds(ours, theirs) == expected


def test_json_is_plain_and_the_same_again(scenes: StagedScenes, both: Counterfactual) -> None:
    text = json.dumps(both.to_dict(), allow_nan=False)
    ours = {"context-1": by_context, "context-2": guessing}
    theirs = {"own": by_own_color, "own too": by_own_color}
    seeds = {"context-1": 1, "context-2": 2, "own": 2, "own too": 1}
    again = counterfactual(ours, scenes, "test", familiarity_of(scenes), theirs, seeds, resamples=200)
    assert json.dumps(again.to_dict(), allow_nan=False) == text
    content = json.loads(text)
    assert (content["format"], content["version"]) == ("classaware-counterfactual", 1)
    assert content["objects"] == {"found": 12, "too_thin": 0, "lacking_a_place": {}, "moved": 12, "sources": 12}


def test_csv_holds_every_object_of_every_network(both: Counterfactual) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(both))))
    assert len(rows) == 4 * 12
    for group in both.networks:
        own = [row for row in rows if row["network"] == group.name]
        assert {row["seed"] for row in own} == {str(group.seeds[0])}
        differences = [float(row["iou_familiar"]) - float(row["iou_unfamiliar"]) for row in own]
        assert math.fsum(differences) / 12 == pytest.approx(group.effect.sensitivity)
    assert {row["class"] for row in rows} == {"cow", "<img src=x>|$camel$"}


def test_text_tells_the_number_and_escapes_names(both: Counterfactual) -> None:
    text = as_markdown(both)
    assert text.count("<img") == text.count(r"\<img src=x\>\|\$camel\$") > 0
    first = sentences(both)[0]
    assert first.startswith("Context sensitivity of context: +")
    for part in ("sd of the 2 networks", "(12 objects from 12 images)"):
        assert part in first
    for part in ("paired by their seeds", "t-test over runs", "12 of 12 objects in 30 images of test moved"):
        assert part in text
