"""The cells of a study that are done, as they lie on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path

from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord
from classaware.study.cell import CellResult, evaluation_path, read_cell, read_evaluation
from classaware.study.plan import Cell, Study

_NEAR = 1e-9  # means of the same counts

# What differs from machine to machine and decides no number.
_OF_MACHINES = ("--data.dataset.root=", "--data.num_workers=", "--trainer.accelerator=")


@dataclass(frozen=True)
class DoneCell:
    """A cell that is done.

    Attributes:
        result: its numbers.
        records: its evaluations by split. Their paths are those within the study's folder, wherever that lies.
    """

    result: CellResult
    records: Mapping[str, EvaluationRecord]


def read_done(study: Study, folder: Path) -> dict[Cell, DoneCell]:
    """The study's cells that are done, in its order.

    Args:
        study: what the folder should hold.
        folder: of the study, the one that has ``cells`` in it.

    Raises:
        InputError: a damaged file; a cell that was trained with other arguments than the study has now, that lies in
            the wrong place, or that was not measured on a split of the study.
    """
    done = {}
    for cell in study.cells:
        result = read_cell(folder / "cells" / cell.folder)
        if result is not None:
            data = study.datasets[cell.dataset]
            _check_arguments(result, study.arguments(cell), cell, folder)
            if result.train_split != data.train_split:
                raise InputError(
                    f"what is familiar in the cell {cell} was found in the split {result.train_split!r}, the study's "
                    f"file says {data.train_split!r}: {_cure(cell, folder)}"
                )
            done[cell] = DoneCell(result, {split: _record(result, split, cell, folder) for split in data.splits})
    return done


def _check_arguments(result: CellResult, now: Sequence[str], cell: Cell, folder: Path) -> None:
    place = folder / "cells" / cell.folder
    if result.cell != cell:
        raise InputError(f"{place} holds the cell {result.cell}, not {cell}: put it where it belongs, or remove it.")
    if change := first_change(result.arguments, now):
        raise InputError(
            f"the cell {cell} was trained with {change[0]} where the study's file now says {change[1]}: choose "
            f"another --output, or remove {place} and {folder / 'runs' / cell.folder} to train it anew."
        )


def first_change(before: Sequence[str], now: Sequence[str]) -> tuple[str, str] | None:
    """Where two lists of arguments of ``classaware fit`` first differ in what decides numbers: how they say it."""
    before, now = what_decides(before), what_decides(now)
    changes = SequenceMatcher(None, before, now, autojunk=False).get_opcodes()
    change = next((change for change in changes if change[0] != "equal"), None)
    if change is None:
        return None
    _, start, end, new_start, new_end = change
    return _first(before[start:end]), _first(now[new_start:new_end])


def what_decides(arguments: Sequence[str]) -> tuple[str, ...]:
    """Arguments of ``classaware fit`` without those that differ from machine to machine and decide no number."""
    return tuple(part for part in arguments if not part.startswith(_OF_MACHINES))


def _first(arguments: Sequence[str]) -> str:
    return repr(arguments[0]) if arguments else "nothing"


def _record(result: CellResult, split: str, cell: Cell, folder: Path) -> EvaluationRecord:
    if split not in result.splits:
        raise InputError(
            f"the cell {cell} was not measured on the split {split!r}, which the study's file names: "
            f"{_cure(cell, folder)}"
        )
    record = checked_evaluation(result, split, folder / "cells" / cell.folder, _cure(cell, folder))
    # Paired by the seed of the cell; the path is told as it is in any copy of the study.
    path = evaluation_path(Path("cells") / cell.folder, split)
    return replace(record, training=record.training | {"seed": cell.seed}, path=path)


def checked_evaluation(result: CellResult, split: str, place: Path, cure: str) -> EvaluationRecord:
    """The evaluation of a cell on a split that it was measured on.

    Args:
        result: the cell.
        split: on which.
        place: the folder of both.
        cure: what helps if it is not as it should be, the end of a sentence.

    Raises:
        InputError: it is missing, damaged, or not of the training that ``result`` is of.
    """
    if not evaluation_path(place, split).exists():
        raise InputError(f"{evaluation_path(place, split)} is missing: put it back, or {cure}")
    record = read_evaluation(place, split)
    stated = result.splits[split].mean_iou
    if not abs(record.mean_iou - stated) <= _NEAR:
        raise InputError(
            f"{record.path} has mIoU {record.mean_iou}, cell.json beside it says {stated}: they are of two trainings. "
            f"To measure again, {cure}"
        )
    return record


def _cure(cell: Cell, folder: Path) -> str:
    place = folder / "cells" / cell.folder
    return f"remove {place} (its training under {folder / 'runs'} stays) and run the study again."


def made_with(done: Mapping[Cell, DoneCell]) -> dict[str, object]:
    """Versions, commits and devices of trainings and evaluations, each as a sorted list of what occurs."""
    records = [record for cell in done.values() for record in cell.records.values()]
    sources: list[tuple[Mapping[str, str], str | None, str | None]]
    sources = [(record.versions, record.commit, record.device) for record in records]
    for training in (record.training for record in records):
        sources.append((training.get("versions") or {}, training.get("commit"), training.get("device")))
    packages = sorted({name for versions, _, _ in sources for name in versions})
    return {
        "versions": {
            name: sorted({str(versions[name]) for versions, _, _ in sources if name in versions}) for name in packages
        },
        "commits": sorted({str(commit) for _, commit, _ in sources if commit}),
        "devices": sorted({str(device) for _, _, device in sources if device}),
    }
