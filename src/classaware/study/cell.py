"""What is kept of one cell of a study: a small JSON, and an evaluation a split beside it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord, read_record
from classaware.files import write_json
from classaware.study.plan import Cell

FORMAT, VERSION = "classaware-cell", 1
RESULT = "cell.json"


@dataclass(frozen=True)
class SplitNumbers:
    """What is known of a trained network on one split, beside its evaluation; fractions, None where undefined.

    Attributes:
        mean_iou: over all classes.
        things: mean IoU over the classes that the data set calls things; None where it knows none.
        regions: number of regions (a class in an image) by how familiar what they touch is, see
            `classaware.evaluation.rare_combinations`: "familiar", "rare", "never", "alone".
        groups: mean IoU of these regions.
        gap: the matched gap between familiar company and unfamiliar one.
        dependency: mean class dependency by form ("paper", "unit", "cosine").
    """

    mean_iou: float
    things: float | None
    regions: Mapping[str, int]
    groups: Mapping[str, float | None]
    gap: float | None
    dependency: Mapping[str, float | None]


@dataclass(frozen=True)
class CellResult:
    """A cell that is done.

    Attributes:
        cell: its place in the grid.
        arguments: of ``classaware fit``, what it was trained with.
        step: at which the training ended.
        splits: the numbers of every split, in the study's order.
        train_split: whose labels say what is familiar in these; None: that was not looked at.
    """

    cell: Cell
    arguments: tuple[str, ...]
    step: int
    splits: Mapping[str, SplitNumbers]
    train_split: str | None = "train"


def write_cell(folder: Path, result: CellResult) -> None:
    """Write ``folder/cell.json``; the evaluations have to be there already, for this says that the cell is done."""
    content = {"format": FORMAT, "version": VERSION, **result.cell._asdict(), "arguments": list(result.arguments)}
    splits = {split: asdict(numbers) for split, numbers in result.splits.items()}
    write_json(folder / RESULT, content | {"step": result.step, "train_split": result.train_split, "splits": splits})


def read_cell(folder: Path) -> CellResult | None:
    """What ``folder`` holds; None where the cell is not done.

    Raises:
        InputError: a damaged file.
    """
    path = folder / RESULT
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    try:
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"it is {content['format']!r}, version {content['version']!r}")
        splits = {split: _numbers(numbers) for split, numbers in content["splits"].items()}
        cell = Cell(content["dataset"], content["network"], content["variant"], content["seed"])
        train_split = content.get("train_split", "train")  # the first cells do not say it, and all had this one
        arguments = content["arguments"]
        if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
            raise ValueError("its arguments are no texts")
        return CellResult(cell, tuple(arguments), int(content["step"]), splits, train_split)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error


def _numbers(content: dict[str, Any]) -> SplitNumbers:
    numbers = SplitNumbers(**content)
    groups, dependency = dict(numbers.groups), dict(numbers.dependency)
    values = (numbers.things, numbers.gap, *groups.values(), *dependency.values())
    if not isinstance(numbers.mean_iou, float) or any(not isinstance(value, float | None) for value in values):
        raise ValueError("what should be a number is none")
    return numbers


def read_evaluation(folder: Path, split: str) -> EvaluationRecord:
    """The evaluation on one split of a cell that is done.

    Raises:
        InputError: missing or damaged.
    """
    return read_record(evaluation_path(folder, split))


def evaluation_path(folder: Path, split: str) -> Path:
    """Where the evaluation on a split lies."""
    return folder / f"{split}.json"


def _damaged(path: Path, error: Exception) -> InputError:
    reason = f"no {error}" if isinstance(error, KeyError) else str(error)
    return InputError(f"{path} is damaged ({reason}): remove it, and run the study again.")
