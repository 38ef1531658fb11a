"""Whether cells with the same arguments were trained in the same way."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from fake_records import fake_record
from PIL import Image

from classaware.commands.configuration import plain_values
from classaware.commands.fit import build_parser
from classaware.commands.studies.adopting import Twin
from classaware.commands.studies.checking import parse_cell
from classaware.commands.studies.sameness import Sameness
from classaware.errors import InputError
from classaware.study.cell import CellResult
from classaware.study.plan import Cell, Study
from classaware.study.reading import read_study
from classaware.training.folder import without_places

CELL = Cell("mine", "default", "small", 4)


def write_study(folder: Path, root: str, lr: float = 0.1) -> Study:
    """A study of a folder's images, with a file of its own beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "own.yaml").write_text(yaml.safe_dump({"training": {"lr": lr}}))
    dataset = ["--data.dataset=FolderDataset", f"--data.dataset.root={root}"]
    content = {
        "datasets": {"mine": {"fit": dataset, "splits": ["val"]}},
        "variants": {"small": ["biased-scenes", "own.yaml", *dataset]},
        "seeds": [4],
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return read_study(path)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return write_study(tmp_path / "here", "nowhere/cats")


@pytest.fixture
def trained(study: Study) -> Callable[..., Twin]:
    """A twin as a training of the study leaves it, with changes by dotted name; its images are image0 to image11."""

    def make(seed: int = 4, changes: dict[str, Any] | None = None) -> Twin:
        parsed = plain_values(parse_cell(build_parser(), study, CELL))
        configuration = {name: copy.deepcopy(parsed[name]) for name in ("data", "network", "training", "trainer")}
        configuration["trainer"]["precision"] = "32-true"
        configuration = without_places(configuration)
        for name, value in (changes or {}).items():
            *path, last = name.split(".")
            part = configuration
            for step in path:
                part = part[step]
            part[last] = value
        record = fake_record(training={"seed": seed, "configuration": configuration})
        return Twin(Path("there"), CellResult(CELL, (), 9, {}), {"val": record})

    return make


def difference(study: Study, twin: Twin) -> str | None:
    return Sameness(build_parser(), study).difference(CELL, twin)


def make_images(folder: Path, count: int) -> Path:
    """A folder whose split "val" has images image0, image1, ..."""
    for kind, mode in (("images", "RGB"), ("masks", "L")):
        (folder / kind / "val").mkdir(parents=True)
        for index in range(count):
            Image.new(mode, (8, 8)).save(folder / kind / "val" / f"image{index}.png")
    (folder / "classes.txt").write_text("a\nb\n")
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data.num_workers": 7, "trainer.accelerator": "cuda"},
        {"training.of_another_version": 1},
        {"trainer.precision": "bf16-mixed"},
    ],
)
def test_what_decides_nothing_may_differ(
    changes: dict[str, Any], study: Study, trained: Callable[..., Twin], tmp_path: Path
) -> None:
    assert difference(study, trained(changes=changes)) is None
    elsewhere = write_study(tmp_path / "elsewhere", "/mnt/other/cats")
    assert difference(elsewhere, trained(changes=changes)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training.lr": 0.2}, "training.lr is 0.2 there, 0.1 here."),
        ({"data.dataset.init_args.root": "dogs"}, 'data.dataset.init_args.root is "dogs" there, "cats" here.'),
        ({"trainer.max_steps": 9}, "trainer.max_steps is 9 there, 800 here."),
        ({"network.head.class_path": "x.Head"}, 'network.head.class_path is "x.Head" there, '),
        ({"network.backbone.weights": "w.pt"}, 'network.backbone.weights is "w.pt" there, null here.'),
    ],
)
def test_the_first_difference_is_told(
    changes: dict[str, Any], said: str, study: Study, trained: Callable[..., Twin]
) -> None:
    assert (difference(study, trained(changes=changes)) or "").startswith(said)


def test_a_file_beside_the_study_is_looked_into(study: Study, trained: Callable[..., Twin], tmp_path: Path) -> None:
    changed = write_study(tmp_path / "changed", "nowhere/cats", lr=5.0)
    assert changed.arguments(CELL) == study.arguments(CELL)
    assert difference(changed, trained()) == "training.lr is 0.1 there, 5.0 here."


def test_a_cell_that_does_not_say_how_it_was_trained(study: Study, trained: Callable[..., Twin]) -> None:
    assert difference(study, trained(seed=3)) == "it does not say how it was trained."
    bare = Twin(Path("there"), CellResult(CELL, (), 9, {}), {"val": fake_record(training={"seed": 4})})
    assert difference(study, bare) == "it does not say how it was trained."


@pytest.mark.parametrize(("count", "said"), [(12, None), (11, "its data set has other images in the split 'val'.")])
def test_images_tell_two_folders_of_one_name_apart(
    count: int, said: str | None, trained: Callable[..., Twin], tmp_path: Path
) -> None:
    folder = make_images(tmp_path / "data" / "cats", count)
    assert difference(write_study(tmp_path / "found", str(folder)), trained()) == said
    (folder / "classes.txt").unlink()  # a folder that is no data set says nothing
    assert difference(write_study(tmp_path / "again", str(folder)), trained()) is None


def test_arguments_that_are_no_configuration(trained: Callable[..., Twin], tmp_path: Path) -> None:
    wrong = write_study(tmp_path / "wrong", "nowhere/cats")
    (tmp_path / "wrong" / "own.yaml").write_text("training: {speed: 3}\n")
    with pytest.raises(InputError, match=r"mine/default/small/seed-4 cannot be trained: .*speed"):
        difference(wrong, trained())
