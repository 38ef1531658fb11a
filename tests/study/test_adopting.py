"""Cells that another study has done, taken over."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from holding import Holder

from classaware import locks
from classaware.commands.studies.adopting import Twin, adopt, find_twins
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


def twins_of(study: Study, places: Places, *folders: Path) -> dict[Cell, Twin]:
    """Where nothing but arguments and splits tells trainings apart."""
    return find_twins(study, places, folders, lambda cell, twin: None)[0]


def ours(make_study: Made, tmp_path: Path, **parts: Any) -> tuple[Study, Places]:
    """A study of which nothing is done."""
    study, _ = make_study(folder="unused", **OTHER | parts)
    return study, Places(tmp_path / "ours")


def test_the_same_trainings_are_taken_over_under_their_new_names(
    make_study: Made, theirs: Path, tmp_path: Path
) -> None:
    study, places = ours(make_study, tmp_path)
    before = {path: path.read_bytes() for path in theirs.rglob("*.json")}
    twins = twins_of(study, places, theirs)
    old = {"first": "car", "second": "plain"}
    assert {cell: twin.place for cell, twin in twins.items()} == {
        Cell("same", "small", variant, seed): theirs / "cells" / "scenes" / "default" / old[variant] / f"seed-{seed}"
        for seed in (1, 2)
        for variant in ("first", "second")
    }
    assert adopt(study, places, twins) == list(twins)
    done = read_done(study, places.folder)
    assert list(done) == list(twins)
    for cell, twin in twins.items():
        assert replace(done[cell].result, cell=twin.result.cell, arguments=twin.result.arguments) == twin.result
        for split in ("seen", "unseen"):  # also what this study does not ask for
            mine, other = (json.loads((at / f"{split}.json").read_bytes()) for at in (places.result(cell), twin.place))
            assert mine.pop("checkpoint") == other.pop("checkpoint") | {"path": f"runs/{cell}/last.ckpt"}
            assert mine == other
    assert before == {path: path.read_bytes() for path in theirs.rglob("*.json")}
    assert twins_of(study, places, theirs) == {}


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
    twins = twins_of(study, places, theirs)
    assert len(twins) == found
    assert adopt(study, places, twins) == list(twins)
    assert list(read_done(study, places.folder)) == list(twins)


def test_the_order_of_arguments_counts(make_study: Made, tmp_path: Path) -> None:
    """The last of two that say the same thing wins."""
    pair = ["--training.lr=1", "--training.lr=2"]
    theirs = make_study(variants={"plain": pair}, folder="pair")[1]
    study, places = ours(make_study, tmp_path, variants={"turned": pair[::-1], "same": pair}, seeds=[0])
    assert [cell.variant for cell in twins_of(study, places, theirs)] == ["same"]


def test_of_several_studies_the_first_that_has_it(make_study: Made, theirs: Path, tmp_path: Path) -> None:
    more = make_study(folder="more", variants={"papers": OTHER["variants"]["third"], "car": ["car"]}, seeds=[2, 3])[1]
    study, places = ours(make_study, tmp_path)
    twins = twins_of(study, places, theirs, more)
    assert {str(cell): twin.place.relative_to(tmp_path).parts[0] for cell, twin in twins.items()} == {
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
    adopt(study, places, twins_of(study, places, theirs))
    assert places.is_done(cell)
    assert places.failure(cell) is None


@pytest.mark.skipif(locks.fcntl is None, reason="no locks of POSIX here")
def test_a_cell_that_is_worked_on_is_left_to_whoever_does(
    make_study: Made, theirs: Path, tmp_path: Path, holder: Holder
) -> None:
    study, places = ours(make_study, tmp_path)
    twins = twins_of(study, places, theirs)
    busy, *others = twins
    holder(lambda: locks.locked(places.work_lock(busy)))
    assert adopt(study, places, twins) == others
    assert not places.is_done(busy)


def test_a_cell_whose_training_has_begun_is_trained_on(make_study: Made, theirs: Path, tmp_path: Path) -> None:
    study, places = ours(make_study, tmp_path)
    begun, *others = twins_of(study, places, theirs)
    places.run(begun).mkdir(parents=True)
    (places.run(begun) / "last.ckpt").touch()
    assert list(twins_of(study, places, theirs)) == others


def test_what_cannot_be_read_is_named(make_study: Made, theirs: Path, tmp_path: Path) -> None:
    study, places = ours(make_study, tmp_path)
    with pytest.raises(InputError, match=r"--adopt .*nothing: no cell of a study is done there"):
        twins_of(study, places, tmp_path / "nothing")
    with pytest.raises(InputError, match=r"--adopt .*out is the study's own folder"):
        twins_of(study, Places(theirs), tmp_path / "x" / ".." / "out")
    place = next(iter(twins_of(study, places, theirs).values())).place
    content = json.loads((place / "cell.json").read_bytes())
    (place / "cell.json").write_text(json.dumps(content | {"arguments": [1]}))
    with pytest.raises(InputError, match=r"cell\.json is damaged \(its arguments are no texts\)"):
        twins_of(study, places, theirs)


def test_why_others_are_not_taken(make_study: Made, theirs: Path, tmp_path: Path) -> None:
    """Once for all seeds, and another study may have it in order."""
    study, places = ours(make_study, tmp_path, datasets={"same": {"splits": ["unseen"], "train_split": None}})
    twins, refused = find_twins(study, places, [theirs], lambda cell, twin: None)
    assert twins == {}
    assert [line.partition(" from ")[0] for line in refused] == [
        "same/small/first/seed-1 is not adopted",
        "same/small/second/seed-1 is not adopted",
    ]
    assert refused[0].endswith("/car/seed-1: its train_split is 'train', here None.")
    study, places = ours(make_study, tmp_path, seeds=[0])
    cells = theirs / "cells" / "scenes" / "default"
    (cells / "car" / "seed-0" / "unseen.json").write_text("{")
    numbers = read_cell(cells / "plain" / "seed-0")
    assert numbers is not None
    changed = {split: replace(one, mean_iou=one.mean_iou + 0.1) for split, one in numbers.splits.items()}
    write_cell(cells / "plain" / "seed-0", replace(numbers, splits=changed))
    twins, refused = find_twins(study, places, [theirs], lambda cell, twin: None)
    assert twins == {}
    assert "unseen.json" in refused[0]
    assert "they are of two trainings" in refused[1]
    sound = make_study(folder="sound")[1]
    twins, refused = find_twins(study, places, [theirs, sound], lambda cell, twin: None)
    assert {twin.place.relative_to(tmp_path).parts[0] for twin in twins.values()} == {"sound"}
    assert (len(twins), len(refused)) == (2, 2)
    assert find_twins(study, places, [sound], lambda cell, twin: "no.")[0] == {}
