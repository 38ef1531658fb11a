"""Cells that another study has done, taken over."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from holding import Holder

from classaware import locks
from classaware.commands.studies.adopting import adopt, find_twins
from classaware.errors import InputError
from classaware.study.cell import read_cell, write_cell
from classaware.study.loading import read_done
from classaware.study.places import Places
from classaware.study.plan import Cell, Study

Made = Callable[..., tuple[Study, Path]]
OTHER: dict[str, Any] = {
    "datasets": {"same": {"splits": ["unseen"]}},
    "networks": {"small": []},
    "variants": {"first": ["car"], "second": [], "third": ["car", "--regularizer.preset=paper"]},
    "seeds": [1, 2, 3],
}


@pytest.fixture
def theirs(make_study: Made) -> Path:
    """Folder of a study with the variants "plain" and "car" of the seeds 0, 1 and 2."""
    return make_study()[1]


def ours(make_study: Made, tmp_path: Path, **parts: Any) -> tuple[Study, Places]:
    """A study of which nothing is done."""
    study, _ = make_study(folder="unused", **OTHER | parts)
    return study, Places(tmp_path / "ours")


def test_the_same_trainings_are_taken_over_under_their_new_names(
    make_study: Made, theirs: Path, tmp_path: Path
) -> None:
    study, places = ours(make_study, tmp_path)
    before = {path: path.read_bytes() for path in theirs.rglob("*.json")}
    twins = find_twins(study, places, [theirs])
    old = {"first": "car", "second": "plain"}
    assert twins == {
        Cell("same", "small", variant, seed): theirs / "cells" / "scenes" / "default" / old[variant] / f"seed-{seed}"
        for seed in (1, 2)
        for variant in ("first", "second")
    }
    assert adopt(study, places, twins) == list(twins)
    done = read_done(study, places.folder)
    assert list(done) == list(twins)
    for cell, twin in twins.items():
        source = read_cell(twin)
        assert source is not None
        assert done[cell].result.splits == {"unseen": source.splits["unseen"]}
        assert done[cell].result.step == source.step
        mine, other = (json.loads((place / "unseen.json").read_bytes()) for place in (places.result(cell), twin))
        assert mine.pop("checkpoint") == other.pop("checkpoint") | {"path": f"runs/{cell}/last.ckpt"}
        assert mine == other
    assert before == {path: path.read_bytes() for path in theirs.rglob("*.json")}
    assert find_twins(study, places, [theirs]) == {}


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"fit": ["--data.dataset.root=elsewhere", "--data.num_workers=3"]}, 4),
        ({"fit": ["--trainer.max_steps=9"]}, 0),
        ({"datasets": {"same": {"splits": ["val"]}}}, 0),
        ({"datasets": {"same": {"splits": ["unseen"], "train_split": None}}}, 0),
        ({"datasets": {"same": {"splits": ["unseen", "seen"]}}}, 4),
        ({"seeds": [0]}, 2),
        ({"seeds": [10]}, 0),
    ],
)
def test_what_is_the_same_training(
    parts: dict[str, Any], found: int, make_study: Made, theirs: Path, tmp_path: Path
) -> None:
    study, places = ours(make_study, tmp_path, **parts)
    twins = find_twins(study, places, [theirs])
    assert len(twins) == found
    assert adopt(study, places, twins) == list(twins)
    assert list(read_done(study, places.folder)) == list(twins)


def test_the_order_of_arguments_counts(make_study: Made, tmp_path: Path) -> None:
    """The last of two that say the same thing wins."""
    pair = ["--training.lr=1", "--training.lr=2"]
    theirs = make_study(variants={"plain": pair}, folder="pair")[1]
    study, places = ours(make_study, tmp_path, variants={"turned": pair[::-1], "same": pair}, seeds=[0])
    assert [cell.variant for cell in find_twins(study, places, [theirs])] == ["same"]


def test_of_several_studies_the_first_that_has_it(make_study: Made, theirs: Path, tmp_path: Path) -> None:
    more = make_study(folder="more", variants={"papers": OTHER["variants"]["third"], "car": ["car"]}, seeds=[2, 3])[1]
    study, places = ours(make_study, tmp_path)
    twins = find_twins(study, places, [theirs, more])
    assert {str(cell): twin.relative_to(tmp_path).parts[0] for cell, twin in twins.items()} == {
        "same/small/first/seed-1": "out",
        "same/small/second/seed-1": "out",
        "same/small/first/seed-2": "out",
        "same/small/second/seed-2": "out",
        "same/small/third/seed-2": "more",
        "same/small/first/seed-3": "more",
        "same/small/third/seed-3": "more",
    }


def test_a_cell_that_failed_before_is_forgiven(make_study: Made, theirs: Path, tmp_path: Path) -> None:
    study, places = ours(make_study, tmp_path)
    cell = Cell("same", "small", "first", 1)
    places.fail(cell, "no memory")
    adopt(study, places, find_twins(study, places, [theirs]))
    assert places.is_done(cell)
    assert places.failure(cell) is None


@pytest.mark.skipif(locks.fcntl is None, reason="no locks of POSIX here")
def test_a_cell_that_is_worked_on_is_left_to_whoever_does(
    make_study: Made, theirs: Path, tmp_path: Path, holder: Holder
) -> None:
    study, places = ours(make_study, tmp_path)
    twins = find_twins(study, places, [theirs])
    busy, *others = twins
    holder(lambda: locks.locked(places.work_lock(busy)))
    assert adopt(study, places, twins) == others
    assert not places.is_done(busy)


def test_what_cannot_be_read_is_named(make_study: Made, theirs: Path, tmp_path: Path) -> None:
    study, places = ours(make_study, tmp_path)
    with pytest.raises(InputError, match=r"--adopt .*nothing: no cell of a study is done there"):
        find_twins(study, places, [tmp_path / "nothing"])
    twins = find_twins(study, places, [theirs])
    cell, twin = next(iter(twins.items()))
    (twin / "unseen.json").write_text("{")
    with pytest.raises(InputError, match=r"unseen\.json"):
        adopt(study, places, {cell: twin})
    assert not places.is_done(cell)
    (twin / "cell.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        find_twins(study, places, [theirs])


def test_a_cell_whose_numbers_are_of_another_training_is_refused(
    make_study: Made, theirs: Path, tmp_path: Path
) -> None:
    study, places = ours(make_study, tmp_path)
    cell, twin = next(iter(find_twins(study, places, [theirs]).items()))
    found = read_cell(twin)
    assert found is not None
    numbers = {split: replace(one, mean_iou=one.mean_iou + 0.1) for split, one in found.splits.items()}
    write_cell(twin, replace(found, splits=numbers))
    with pytest.raises(InputError, match="they are of two trainings"):
        adopt(study, places, {cell: twin})
    assert not places.is_done(cell)
