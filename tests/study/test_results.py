import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from scipy.stats import ttest_rel

from classaware.errors import InputError
from classaware.evaluation.comparison import compare
from classaware.study.cell import SplitNumbers, read_evaluation
from classaware.study.plan import Cell, Study
from classaware.study.results import StudyResults, collect

Make = Callable[..., tuple[Study, Path]]


def cell(variant: str, seed: int, network: str = "default") -> Cell:
    return Cell("scenes", network, variant, seed)


def as_text(results: StudyResults) -> str:
    return json.dumps(results.to_dict(), allow_nan=False)


def test_every_number_follows_from_the_evaluations(make_study: Make) -> None:
    study, folder = make_study()
    results = collect(study, folder)
    assert [(g.dataset, g.network, g.split, g.without) for g in results.groups] == [
        ("scenes", "default", "seen", None),
        ("scenes", "default", "unseen", None),
    ]
    for group in results.groups:
        plain, car = group.variants
        assert (plain.name, plain.contrasts, plain.comparison, plain.holm) == ("plain", {}, None, None)
        records = {
            name: [read_evaluation(folder / "cells" / cell(name, seed).folder, group.split) for seed in range(3)]
            for name in ("plain", "car")
        }
        ours, theirs = ([record.mean_iou for record in records[name]] for name in ("car", "plain"))
        assert car.values["mIoU"] == pytest.approx(dict(enumerate(ours)))
        found = car.contrasts["mIoU"]
        assert found.difference == pytest.approx(mean(ours) - mean(theirs))
        assert found.test.p == pytest.approx(ttest_rel(ours, theirs).pvalue)
        expected = compare(records["car"], records["plain"], ("car", "plain"))
        assert car.comparison is not None
        assert car.comparison.classes == expected.classes
        assert car.comparison.image_interval == expected.image_interval
        assert car.comparison.paired_by == "seed"
    assert results.tested == 2
    low, high = sorted((g.variants[1].contrasts["mIoU"].test.p, g.variants[1].holm) for g in results.groups)  # type: ignore[type-var]
    assert low[1] == pytest.approx(2 * low[0])  # type: ignore[operator]
    assert high[1] == pytest.approx(max(2 * low[0], high[0]))  # type: ignore[operator, type-var]


def test_quantities_that_are_undefined_everywhere_are_left_out(make_study: Make) -> None:
    seen, unseen = collect(*make_study()).groups
    assert list(seen.variants[1].contrasts) == ["mIoU", "familiar", "rare", "gap", "dependency"]
    assert list(unseen.variants[0].values) == ["mIoU", "familiar", "rare", "never", "gap", "dependency"]
    assert unseen.variants[1].contrasts["dependency"].test.undefined == "not defined: the runs do not vary"
    assert unseen.variants[0].values["gap"] == pytest.approx({0: 0.1, 1: 0.11, 2: 0.12})


def test_a_value_that_one_seed_lacks(make_study: Make, numbers: Callable[..., SplitNumbers]) -> None:
    def partly(cell: Cell, split: str, mean_iou: float) -> SplitNumbers:
        found = numbers(cell, split, mean_iou)
        lost = cell.seed == 1 and cell.variant == "car"
        return SplitNumbers(mean_iou, None, {}, found.groups | {"rare": None} if lost else found.groups, None, {})  # type: ignore[operator]

    for group in collect(*make_study(numbers=partly)).groups:
        found = group.variants[1].contrasts
        assert found["mIoU"].seeds == (0, 1, 2)
        assert found["rare"].seeds == (0, 2)
        assert found["rare"].only_theirs == (1,)
        assert "gap" not in found


def test_missing_and_failed_cells(make_study: Make) -> None:
    lost = [cell("car", 1), cell("plain", 2)]
    study, folder = make_study(lost=lost)
    results = collect(study, folder, {lost[1]: "out of memory", cell("car", 0): "failed once, then done"})
    assert results.missing == (lost[0],)
    assert results.failed == {lost[1]: "out of memory"}
    assert len(results.done) == 4
    found = results.groups[0].variants[1].contrasts["mIoU"]
    assert (found.seeds, found.only_ours, found.only_theirs) == ((0,), (2,), (1,))
    assert found.test.undefined == "not defined for one run a side"
    assert results.tested == 0
    comparison = results.groups[0].variants[1].comparison
    assert comparison is not None
    assert comparison.ours.seeds == comparison.theirs.seeds == (0,)
    as_text(results)


@pytest.mark.parametrize("why", [{}, dict.fromkeys(range(3), "diverged")])
def test_without_a_baseline_there_are_values_and_a_reason(make_study: Make, why: dict[int, str]) -> None:
    study, folder = make_study(lost=[cell("plain", seed) for seed in range(3)])
    results = collect(study, folder, {cell("plain", seed): reason for seed, reason in why.items()})
    for group in results.groups:
        (variant,) = group.variants
        assert variant.contrasts == {}
        assert list(variant.values["mIoU"]) == [0, 1, 2]
        assert group.without == ("the baseline (plain) has failed" if why else "the baseline (plain) is not done")
    as_text(results)


def test_a_baseline_that_the_grid_does_not_have(make_study: Make) -> None:
    results = collect(*make_study(grid=[{"variants": ["car"]}]))
    assert {group.without for group in results.groups} == {"the study's grid does not have the baseline (plain) here"}


def test_no_seed_in_common(make_study: Make) -> None:
    lost = [cell("car", 1), cell("car", 2), cell("plain", 0)]
    found = collect(*make_study(lost=lost)).groups[0].variants[1]
    assert found.comparison is None
    assert found.contrasts["mIoU"].difference is None


def test_nothing_is_done(make_study: Make) -> None:
    study, folder = make_study(lost=[cell(name, seed) for name in ("plain", "car") for seed in range(3)])
    results = collect(study, folder)
    assert (results.groups, results.done, len(results.missing)) == ((), (), 6)
    as_text(results)


def test_json_depends_on_the_cells_alone(make_study: Make, write: Any, numbers: Any, tmp_path: Path) -> None:
    study, folder = make_study()
    other = tmp_path / "elsewhere"
    for one in reversed(study.cells):
        write(study, other, one, numbers, date="2031-01-01T00:00:00+00:00")
    text = as_text(collect(study, folder))
    assert text == as_text(collect(study, other))
    assert str(tmp_path) not in text
    assert "2026" not in text
    content = json.loads(text)
    assert content["made_with"]["versions"]["torch"] == ["2.14.0", "2.15.0"]
    assert content["made_with"]["commits"] == ["a" * 40, "b" * 40]
    assert content["made_with"]["devices"] == ["cpu"]
    assert content["settings"]["variants"] == {"plain": [], "car": ["car"]}


def test_cells_of_other_arguments_are_refused(make_study: Make) -> None:
    _, folder = make_study(fit=["--trainer.max_steps=400"])
    study, _ = make_study(fit=["--trainer.max_steps=500"], folder="unused")
    with pytest.raises(InputError) as error:
        collect(study, folder)
    message = str(error.value)
    assert "cell scenes/default/plain/seed-0 was trained with '--trainer.max_steps=400'" in message
    assert "now says '--trainer.max_steps=500'" in message
    assert str(folder / "cells" / "scenes" / "default" / "plain" / "seed-0") in message
    assert str(folder / "runs" / "scenes" / "default" / "plain" / "seed-0") in message
    assert "--output" in message


@pytest.mark.parametrize(("was", "now", "text"), [([], ["--a=1"], "with nothing where"), (["--a=1"], [], "'--a=1'")])
def test_arguments_added_and_removed(make_study: Make, was: list[str], now: list[str], text: str) -> None:
    _, folder = make_study(fit=was)
    study, _ = make_study(fit=now, folder="unused")
    with pytest.raises(InputError, match=text):
        collect(study, folder)


def test_a_split_that_was_not_measured(make_study: Make) -> None:
    _, folder = make_study()
    study, _ = make_study(datasets={"scenes": {"splits": ["seen", "new"]}}, folder="unused")
    with pytest.raises(InputError, match="not measured on the split 'new'"):
        collect(study, folder)


def test_another_split_that_says_what_is_familiar(make_study: Make) -> None:
    _, folder = make_study()
    changed = {"scenes": {"splits": ["seen", "unseen"], "train_split": "trainval"}}
    study, _ = make_study(datasets=changed, folder="unused")
    with pytest.raises(InputError, match="found in the split 'train', the study's file says 'trainval': remove"):
        collect(study, folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("splits"),
        lambda content: content.update(version=99),
        lambda content: content["splits"]["seen"].update(mean_iou="0.5"),
        lambda content: content["splits"]["seen"]["groups"].update(rare="much"),
        lambda content: content["splits"]["seen"].pop("gap"),
        lambda content: content.update(splits=[1]),
    ],
)
def test_a_damaged_cell_is_named(make_study: Make, damage: Callable[[dict[str, Any]], object]) -> None:
    study, folder = make_study()
    path = folder / "cells" / cell("car", 0).folder / "cell.json"
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"seed-0/cell\.json is damaged \(.+\): remove it"):
        collect(study, folder)


def test_an_evaluation_of_another_cell(make_study: Make) -> None:
    study, folder = make_study()
    one, other = (folder / "cells" / cell(name, 0).folder / "seen.json" for name in ("plain", "car"))
    shutil.copy(one, other)
    with pytest.raises(InputError, match="of two trainings"):
        collect(study, folder)


def test_a_cell_in_the_wrong_place(make_study: Make) -> None:
    study, folder = make_study()
    place = folder / "cells" / cell("car", 0).folder
    shutil.rmtree(place)
    shutil.copytree(folder / "cells" / cell("car", 1).folder, place)
    with pytest.raises(InputError, match="holds the cell scenes/default/car/seed-1"):
        collect(study, folder)
