"""Cells that another study has done already: the same training need not be done twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from classaware.commands.studies.measuring import portable_record
from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord, write_record
from classaware.study.begun import has_begun
from classaware.study.cell import RESULT, CellResult, evaluation_path, read_cell, write_cell
from classaware.study.loading import checked_evaluation, what_decides
from classaware.study.places import Places
from classaware.study.plan import Cell, Study


@dataclass(frozen=True)
class Twin:
    """A done cell of another study that is what a cell of this one would become.

    Attributes:
        place: its folder.
        result: what lies there.
        records: its evaluations by split.
    """

    place: Path
    result: CellResult
    records: Mapping[str, EvaluationRecord]


Difference = Callable[[Cell, Twin], str | None]
"""Why what has the same arguments is another training all the same; None: it is the same."""


def find_twins(
    study: Study, places: Places, folders: Sequence[Path], difference: Difference
) -> tuple[dict[Cell, Twin], list[str]]:
    """Look in other studies for cells of this one that are neither done nor begun.

    What counts are the arguments (where data lie and the number of workers aside) with their order and the seed, and
    that the twin was measured on all splits of this study, with the same split that says what is familiar. Names of
    data sets, networks and variants do not matter.

    Args:
        study: whose cells are looked for.
        places: the study's folder.
        folders: of other studies, those that have ``cells`` in them.
        difference: is asked about everything else.

    Returns:
        Twins by cell, in the study's order; of several that would do the first. And, in a sentence each, why cells with
        the same arguments are not taken over, once for all seeds.

    Raises:
        InputError: a folder without cells, a damaged cell in it, or the study's own folder.
    """
    known: dict[tuple[str, ...], list[tuple[Path, CellResult]]] = {}
    for folder in folders:
        for place, result in _cells(folder, places):
            known.setdefault(what_decides(result.arguments), []).append((place, result))
    twins: dict[Cell, Twin] = {}
    refused: dict[tuple[str, ...], str] = {}
    for cell in study.cells:
        if places.is_done(cell) or has_begun(places.run(cell)):
            continue
        for place, result in known.get(what_decides(study.arguments(cell)), ()):
            try:
                twin = _twin(place, result)
                reason = _measured_otherwise(study, cell, result) or difference(cell, twin)
            except InputError as error:
                reason = str(error)
            if reason is None:
                twins[cell] = twin
                break
            refused.setdefault((*cell[:3], str(place.parent)), f"{cell} is not adopted from {place}: {reason}")
    return twins, list(refused.values())


def _cells(folder: Path, places: Places) -> list[tuple[Path, CellResult]]:
    if folder.resolve() == places.folder.resolve():
        raise InputError(f"--adopt {folder} is the study's own folder: name those of others.")
    paths = [path.parent for path in sorted(folder.glob(f"cells/*/*/*/*/{RESULT}"))]
    if not paths:
        raise InputError(f"--adopt {folder}: no cell of a study is done there; name folders that 'cells' lies in.")
    return [(place, result) for place in paths if (result := read_cell(place)) is not None]


def _twin(place: Path, result: CellResult) -> Twin:
    cure = f"remove {place} and run that study again."
    return Twin(place, result, {split: checked_evaluation(result, split, place, cure) for split in result.splits})


def _measured_otherwise(study: Study, cell: Cell, result: CellResult) -> str | None:
    data = study.datasets[cell.dataset]
    if result.train_split != data.train_split:
        return f"its train_split is {result.train_split!r}, here {data.train_split!r}."
    missing = [split for split in data.splits if split not in result.splits]
    return f"it was not measured on the split {missing[0]!r}." if missing else None


def adopt(study: Study, places: Places, twins: Mapping[Cell, Twin]) -> list[Cell]:
    """Write cells that `find_twins` found, their evaluations first; whoever works on a cell at the moment keeps it.

    Returns:
        The cells that were written.

    Raises:
        InputError: the study's folder cannot be written to.
    """
    adopted = []
    for cell, twin in twins.items():
        with places.claim(cell) as mine:
            if mine and not places.is_done(cell):
                for split, record in twin.records.items():
                    write_record(evaluation_path(places.result(cell), split), portable_record(record, cell))
                own = replace(twin.result, cell=cell, arguments=tuple(study.arguments(cell)))
                write_cell(places.result(cell), own)
                places.forgive(cell)
                adopted.append(cell)
    return adopted
