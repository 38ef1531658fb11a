"""Means, intervals, pairs and differences of class-dependency maps."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from classaware.errors import InputError
from classaware.insight.centers import GROUPS, CenterAccumulator
from classaware.insight.dependency import FORMS, Form, mean_cosine, mean_dependency, similarity_map
from classaware.insight.dependency_numbers import jackknife_interval, summarize_dependency

NAMES = ("sky", "road", "car", "person", "never")


def centers(seed: int, images: int = 25, classes: int = 5, scale: float = 1.0) -> CenterAccumulator:
    generator = torch.Generator().manual_seed(seed)
    accumulator = CenterAccumulator(classes)
    for index in range(images):
        label = torch.randint(0, classes - 1, (1, 4, 4), generator=torch.Generator().manual_seed(index))
        features = torch.randn(1, 3, 4, 4, generator=generator) + torch.nn.functional.one_hot(label, 3 + classes)[
            ..., :3
        ].permute(0, 3, 1, 2)
        accumulator.update(scale * features, label)
    return accumulator


def mean(square: torch.Tensor, form: Form) -> float:
    return mean_cosine(square) if form == "cosine" else mean_dependency(square)


def test_interval_of_a_mean_is_that_of_students_t() -> None:
    values = np.random.default_rng(0).normal(size=12)
    without = np.array([np.delete(values, i).mean() for i in range(12)])
    interval = jackknife_interval(float(values.mean()), without)
    expected = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert interval == pytest.approx(expected)
    assert jackknife_interval(1.0, np.array([1.0])) is None
    assert jackknife_interval(math.nan, without) is None


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    # One channel: 1 for the one class, of mean 0.3 for the other, with a part that the pixels of an image share.
    rng = np.random.default_rng(1)
    truth = mean_dependency(torch.softmax(torch.tensor([[1.0, 0.3], [0.3, 0.09]], dtype=torch.float64), 1))
    inside = 0
    for _ in range(100):
        accumulator = CenterAccumulator(2)
        label = torch.tensor([[[0, 1, 1, 1]]])
        values = rng.normal(0.3, 1, size=(60, 3)) + rng.normal(0, 0.5, size=(60, 1))
        for row in values:
            accumulator.update(torch.tensor([1.0, *row]).view(1, 1, 1, 4), label)
        interval = summarize_dependency({"n": accumulator}, ("a", "b")).forms["paper"].means["n"].interval
        assert interval is not None
        inside += interval[0] <= truth <= interval[1]
    assert 88 <= inside <= 100


@pytest.mark.parametrize("form", FORMS)
def test_means_and_differences_against_the_maps(form: Form) -> None:
    networks = {"one": centers(0), "two": centers(1, scale=2.0)}
    part = summarize_dependency(networks, NAMES).forms[form]
    replicates = {}
    for name, accumulator in networks.items():
        square = similarity_map(accumulator, form)
        np.testing.assert_array_equal(part.maps[name], square.numpy())
        assert part.means[name].value == mean(square, form)
        replicates[name] = np.array([mean(similarity_map(accumulator, form, None, g), form) for g in range(GROUPS)])
        assert part.means[name].interval == jackknife_interval(part.means[name].value, replicates[name])
    value = part.means["two"].value - part.means["one"].value
    assert list(part.differences) == ["two"]
    assert part.differences["two"].value == value
    assert part.differences["two"].interval == jackknife_interval(value, replicates["two"] - replicates["one"])


@pytest.mark.parametrize("form", FORMS)
def test_pairs_against_loops(form: Form) -> None:
    part = summarize_dependency({"one": centers(0), "two": centers(1)}, NAMES).forms[form]
    one, two = part.maps["one"], part.maps["two"]
    pairs = [(a, b) for a in range(4) for b in range(4) if (a < b if form == "cosine" else a != b)]
    strongest = sorted(pairs, key=lambda pair: -two[pair])[:10]
    assert [(p.of, p.on) for p in part.strongest["two"]] == strongest
    assert all(p.value == two[p.of, p.on] for p in part.strongest["two"])
    up = [pair for pair in sorted(pairs, key=lambda p: one[p] - two[p]) if two[pair] > one[pair]][:10]
    down = [pair for pair in sorted(pairs, key=lambda p: two[p] - one[p]) if two[pair] < one[pair]][:10]
    assert up
    assert down
    assert [(c.of, c.on) for c in part.up["two"]] == up
    assert [(c.of, c.on) for c in part.down["two"]] == down
    for change in part.up["two"] + part.down["two"]:
        assert (change.first, change.other) == (one[change.of, change.on], two[change.of, change.on])
        assert change.difference == change.other - change.first
    assert "one" not in part.up


def test_a_network_does_not_differ_from_itself() -> None:
    for part in summarize_dependency({"a": centers(0), "b": centers(0)}, NAMES).forms.values():
        assert part.differences["b"] == (0.0, (0.0, 0.0))
        assert part.up["b"] == part.down["b"] == []


def test_only_classes_that_all_networks_have_take_part() -> None:
    one, two = centers(0, classes=5), CenterAccumulator(5)
    for _ in range(25):
        two.update(torch.randn(1, 3, 1, 3), torch.tensor([[[0, 2, 4]]]))
    summary = summarize_dependency({"one": one, "two": two}, NAMES)
    assert summary.present_names == ["sky", "car"]
    for form in FORMS:
        assert all(square.shape == (2, 2) for square in summary.present_maps(form).values())
        np.testing.assert_array_equal(
            np.isnan(summary.forms[form].maps["one"]), ~np.outer(summary.present_K, summary.present_K)
        )
        assert {pair.of for pair in summary.forms[form].strongest["one"]} <= {0, 2}
    assert np.nansum(summary.forms["paper"].maps["one"], axis=1)[[0, 2]] == pytest.approx([1, 1])


def test_json_is_plain_and_complete() -> None:
    summary = summarize_dependency({"one": centers(0), "two": centers(1)}, NAMES)
    content = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert content["images"] == 25
    assert content["present"] == [True, True, True, True, False]
    assert [n["channels"] for n in content["networks"]] == [3, 3]
    for form in FORMS:
        first, second = content["forms"][form]["networks"]
        assert "difference_to_first" not in first
        assert set(second) == {
            "name",
            "mean",
            "strongest",
            "difference_to_first",
            "more_than_first",
            "less_than_first",
            "map",
        }
        assert second["map"][4] == [None] * 5
        assert second["map"][0][1] == summary.forms[form].maps["two"][0, 1]
        top = second["strongest"][0]
        assert top["value"] == summary.forms[form].maps["two"][NAMES.index(top["class"]), NAMES.index(top["on"])]


def test_one_image_and_one_class_have_no_interval() -> None:
    summary = summarize_dependency({"one": centers(0, images=1)}, NAMES)
    assert summary.forms["paper"].means["one"].interval is None
    alone = CenterAccumulator(2)
    alone.update(torch.randn(3, 2, 2, 2), torch.zeros(3, 2, 2, dtype=torch.int64))
    summary = summarize_dependency({"one": alone}, ("a", "b"))
    assert summary.forms["paper"].means["one"].value == 0
    assert math.isnan(summary.forms["cosine"].means["one"].value)
    json.dumps(summary.to_dict(), allow_nan=False)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="no network"):
        summarize_dependency({}, NAMES)
    with pytest.raises(InputError, match="'one' has 5 classes and there are 2"):
        summarize_dependency({"one": centers(0)}, ("a", "b"))
    with pytest.raises(InputError, match="'one' saw 3 images and 'two' 4"):
        summarize_dependency({"one": centers(0, images=3), "two": centers(0, images=4)}, NAMES)
    dark = CenterAccumulator(2)
    dark.update(torch.randn(1, 2, 2, 2), torch.full((1, 2, 2), 255))
    with pytest.raises(InputError, match="no pixel of these images is labeled"):
        summarize_dependency({"one": dark}, ("a", "b"))
