"""Studies whose cells were never trained, and processes that hold locks."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from fake_records import fake_confusions, fake_record
from holding import Holder, hold

from classaware.evaluation.record import write_record
from classaware.study.cell import CellResult, SplitNumbers, evaluation_path, write_cell
from classaware.study.plan import Cell, Study
from classaware.study.reading import read_study

MadeStudy = tuple[Study, Path]
QUALITY = {"plain": 0.6, "car": 0.7, "other": 0.62}


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., MadeStudy]:
    """A study of two variants on two splits, and the folder with its cells; ``lost`` are left out."""

    def make(lost: Sequence[Cell] = (), folder: str = "out", numbers: Any = made_numbers, **parts: Any) -> MadeStudy:
        content = {"datasets": {"scenes": {"splits": ["seen", "unseen"]}}, "variants": {"plain": [], "car": ["car"]}}
        path = tmp_path / "animals.yaml"
        path.write_text(yaml.safe_dump(content | parts, sort_keys=False))
        study = read_study(path)
        for cell in study.cells:
            if cell not in lost:
                write_made(study, tmp_path / folder, cell, numbers)
        return study, tmp_path / folder

    return make


def write_made(study: Study, folder: Path, cell: Cell, numbers: Callable[..., SplitNumbers], **parts: Any) -> None:
    """A cell with evaluations whose images are the same in all cells of a split."""
    place = folder / "cells" / cell.folder
    splits = {}
    for index, split in enumerate(study.datasets[cell.dataset].splits):
        draw = 1000 * list(study.variants).index(cell.variant) + 10 * cell.seed + index
        record = fake_record(
            confusions=fake_confusions(draw, quality=QUALITY.get(cell.variant, 0.65)),
            training={"seed": cell.seed, "versions": {"torch": "2.14.0"}, "commit": "b" * 40},
            checkpoint={"path": f"{folder}/runs/{cell.folder}/last.ckpt", "sha256": str(cell)},
            data={"name": "Fake", "split": split, "images": 12},
            **parts,
        )
        write_record(evaluation_path(place, split), record)
        splits[split] = numbers(cell, split, record.mean_iou)
    write_cell(place, CellResult(cell, tuple(study.arguments(cell)), 400, splits))


def made_numbers(cell: Cell, split: str, mean_iou: float) -> SplitNumbers:
    """Of a data set that knows no things; regions of every company, but none that is never seen in split "seen"."""
    groups: Mapping[str, float | None] = {
        "familiar": mean_iou + 0.02 + 0.001 * cell.seed,
        "rare": mean_iou - 0.1,
        "never": None if split == "seen" else mean_iou - 0.2 + 0.01 * cell.seed,
    }
    return SplitNumbers(mean_iou, None, {"familiar": 9}, groups, 0.1 + 0.01 * cell.seed, {"cosine": 0.4, "unit": 0.1})


@pytest.fixture
def numbers() -> Callable[..., SplitNumbers]:
    """`made_numbers`."""
    return made_numbers


@pytest.fixture
def write() -> Callable[..., None]:
    """`write_made`."""
    return write_made


@pytest.fixture
def holder() -> Iterator[Holder]:
    """Start a process that enters a context and stays in it."""
    started: list[BaseProcess] = []

    def start(context: Callable[[], object]) -> BaseProcess:
        receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=hold, args=(context, sender))
        process.start()
        started.append(process)
        assert receiver.poll(20)
        assert receiver.recv() is True
        return process

    yield start
    for process in started:
        process.kill()
        process.join()
