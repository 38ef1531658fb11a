"""Two groups of networks, against maps of images that were measured anew without each group."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from classaware.insight.centers import GROUPS, CenterAccumulator
from classaware.insight.dependency import FORMS, Form, mean_cosine, mean_dependency, similarity_map
from classaware.insight.dependency_numbers import summarize_dependency
from classaware.insight.dependency_sides import DependencySides, Side, compare_sides
from classaware.insight.dependency_text import sentences, tables

IMAGES = 2 * GROUPS + 3
CLASSES = ("sky", "road", "car", "person", "never")
OURS, THEIRS = ("car 0", "car 1", "car 2"), ("base 0", "base 1", "base 2")


def image(network: int, index: int) -> tuple[Tensor, Tensor]:
    label = torch.randint(0, 4, (1, 4, 4), generator=torch.Generator().manual_seed(index))
    noise = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1000 * network + index))
    means = torch.randn(5, 3, generator=torch.Generator().manual_seed(network))
    return noise + (1 + network / 4) * means[label[0]].permute(2, 0, 1), label


def accumulated(network: int, images: Sequence[int]) -> CenterAccumulator:
    accumulator = CenterAccumulator(len(CLASSES))
    for index in images:
        accumulator.update(*image(network, index))
    return accumulator


def compared(seeds: Sequence[int | None] = (0, 1, 2), others: Sequence[int | None] = (2, 0, 1)) -> DependencySides:
    names = [*OURS[: len(seeds)], *THEIRS[: len(others)]]
    everyone = {name: accumulated(number, range(IMAGES)) for number, name in enumerate(names)}
    ours, theirs = (Side(n, tuple(w), tuple(s)) for n, w, s in (("CAR", OURS, seeds), ("base", THEIRS, others)))
    ours, theirs = ours._replace(networks=OURS[: len(seeds)]), theirs._replace(networks=THEIRS[: len(others)])
    return compare_sides(summarize_dependency(everyone, CLASSES), ours, theirs)


@pytest.fixture(scope="module")
def paired() -> DependencySides:
    return compared()


def mean(square: Tensor, form: Form) -> float:
    return mean_cosine(square) if form == "cosine" else mean_dependency(square)


@pytest.mark.parametrize("form", FORMS)
def test_difference_and_intervals_against_measuring_anew(paired: DependencySides, form: Form) -> None:
    def means(images: Sequence[int]) -> list[float]:
        return [mean(similarity_map(accumulated(number, images), form), form) for number in range(6)]

    found = paired.forms[form]
    values = means(range(IMAGES))
    assert found.ours.runs == pytest.approx(values[:3])
    # Theirs in the order of our seeds: they were given as 2, 0, 1.
    assert found.theirs.runs == pytest.approx([values[4], values[5], values[3]])
    without = [means([i for i in range(IMAGES) if i % GROUPS != group]) for group in range(GROUPS)]

    def check(estimate: tuple[float, tuple[float, float] | None], weights: Sequence[float]) -> None:
        value = math.fsum(w * v for w, v in zip(weights, values, strict=True))
        fewer = [math.fsum(w * v for w, v in zip(weights, row, strict=True)) for row in without]
        center = math.fsum(fewer) / GROUPS
        error = math.sqrt((GROUPS - 1) / GROUPS * math.fsum((one - center) ** 2 for one in fewer))
        reach = stats.t.ppf(0.975, GROUPS - 1) * error
        assert estimate[0] == pytest.approx(value)
        assert estimate[1] == pytest.approx((value - reach, value + reach))

    third = 1 / 3
    check(found.ours.mean, [third] * 3 + [0] * 3)
    check(found.theirs.mean, [0] * 3 + [third] * 3)
    check(found.difference, [third] * 3 + [-third] * 3)
    assert found.ours.sd == pytest.approx(np.std(values[:3], ddof=1))


@pytest.mark.parametrize("form", FORMS)
def test_runs_are_paired_by_their_seeds(paired: DependencySides, form: Form) -> None:
    found, reference = paired.forms[form], stats.ttest_rel
    assert paired.paired_by == "seed"
    assert (paired.theirs.networks, paired.theirs.seeds) == (("base 1", "base 2", "base 0"), (0, 1, 2))
    expected = reference(found.ours.runs, found.theirs.runs)
    assert (found.test.kind, found.test.degrees) == ("paired", 2)
    assert (found.test.t, found.test.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.difference_sd == pytest.approx(np.std(np.subtract(found.ours.runs, found.theirs.runs), ddof=1))


@pytest.mark.parametrize("others", [(0, 1, 3), (0, 1), (0, 1, None), (0, 1, 1)])
def test_other_seeds_are_not_paired(others: tuple[int | None, ...]) -> None:
    sides = compared(others=others)
    assert sides.paired_by is None
    assert sides.theirs.networks == THEIRS[: len(others)]
    for found in sides.forms.values():
        expected = stats.ttest_ind(found.ours.runs, found.theirs.runs, equal_var=False)
        assert found.test.kind == "Welch"
        assert found.test.p == pytest.approx(expected.pvalue)
        assert found.difference_sd is None


@pytest.mark.parametrize("form", FORMS)
def test_maps_and_pairs_are_of_the_mean_maps(paired: DependencySides, form: Form) -> None:
    found = paired.forms[form]
    maps = [similarity_map(accumulated(number, range(IMAGES)), form).numpy() for number in range(6)]
    ours, theirs = sum(maps[:3]) / 3, sum(maps[3:]) / 3
    np.testing.assert_allclose(paired.maps(form)["CAR"], ours, rtol=1e-12)
    np.testing.assert_allclose(paired.maps(form)["base"], theirs, rtol=1e-12)
    assert mean(torch.from_numpy(found.ours.map), form) == pytest.approx(found.ours.mean.value)  # both are linear
    pairs = [(a, b) for a in range(4) for b in range(4) if (a < b if form == "cosine" else a != b)]
    up = [pair for pair in sorted(pairs, key=lambda p: theirs[p] - ours[p]) if ours[pair] > theirs[pair]][:10]
    down = [pair for pair in sorted(pairs, key=lambda p: ours[p] - theirs[p]) if ours[pair] < theirs[pair]][:10]
    assert up
    assert down
    assert [(c.of, c.on) for c in found.up] == up
    assert [(c.of, c.on) for c in found.down] == down
    assert found.up[0].difference == pytest.approx(ours[up[0]] - theirs[up[0]])
    assert [(p.of, p.on) for p in found.theirs.strongest] == sorted(pairs, key=lambda p: -theirs[p])[:10]


def test_json_is_plain_and_says_whose_value_is_whose(paired: DependencySides) -> None:
    content = json.loads(json.dumps(paired.to_dict(), allow_nan=False))
    assert content["theirs"] == {"name": "base", "networks": ["base 1", "base 2", "base 0"], "seeds": [0, 1, 2]}
    part, found = content["forms"]["unit"], paired.forms["unit"]
    assert part["difference"]["value"] == part["ours"]["mean"]["value"] - part["theirs"]["mean"]["value"]
    assert part["ours"]["map"][4] == [None] * 5
    change = part["less_than_theirs"][0]
    a, b = CLASSES.index(change["class"]), CLASSES.index(change["on"])
    assert (change["ours"], change["theirs"]) == (found.ours.map[a, b], found.theirs.map[a, b])
    assert change["difference"] == change["ours"] - change["theirs"] < 0


def test_one_network_a_side_and_one_class() -> None:
    single = compared((0,), (0,))
    for found in single.forms.values():
        assert (found.ours.sd, found.difference_sd, found.test.p) == (None, None, None)
        assert found.difference.interval is not None
    everyone = {}
    for name in ("a", "b"):
        everyone[name] = CenterAccumulator(1)
        everyone[name].update(torch.randn(3, 2, 2, 2), torch.zeros(3, 2, 2, dtype=torch.int64))
    summary = summarize_dependency(everyone, ("only",))
    sides = compare_sides(summary, Side("A", ("a",), (0,)), Side("B", ("b",), (0,)))
    content = json.loads(json.dumps(sides.to_dict(), allow_nan=False))["forms"]["cosine"]
    assert content["difference"]["value"] is None
    assert content["test"]["undefined"] == "not defined: a network has no mean"
    assert tables(summary, sides, "cosine")
    assert "not defined for one run a side" in " ".join(sentences(summary, sides))


def test_texts_hold_the_numbers(paired: DependencySides) -> None:
    everyone = {name: accumulated(number, range(IMAGES)) for number, name in enumerate((*OURS, *THEIRS))}
    found = tables(summarize_dependency(everyone, CLASSES), paired, "unit")
    (head, rows), names = next(rest for title, *rest in found if title == "Mean dependency of a side")
    assert (head, names) == (["form", "side", "mean", "95 %", "sd", "p"], 2)
    contrast = paired.forms["unit"]
    low, high = contrast.difference.interval or (math.nan, math.nan)
    assert rows[5] == [
        "unit",
        "difference",
        f"{100 * contrast.difference.value:+.2f}",
        f"{100 * low:+.2f}..{100 * high:+.2f}",
        f"{100 * (contrast.difference_sd or 0):.2f}",
        f"{contrast.test.p:.4f}",
    ]
    assert rows[3][:3] == ["unit", "CAR", f"{100 * contrast.ours.mean.value:.2f}"]
    assert rows[8][2] == f"{paired.forms['cosine'].difference.value:+.3f}"
