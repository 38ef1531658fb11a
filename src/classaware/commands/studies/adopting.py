"""Cells that another study has done already: the same training need not be done twice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from classaware.commands.studies.measuring import portable_record
from classaware.errors import InputError
from classaware.evaluation.record import write_record
from classaware.study.cell import RESULT, CellResult, evaluation_path, read_cell, write_cell
from classaware.study.loading import checked_evaluation, what_decides
from classaware.study.places import Places
from classaware.study.plan import Cell, Study

Twins = Mapping[Cell, Path]


def find_twins(study: Study, places: Places, folders: Sequence[Path]) -> Twins:
    """Folders of done cells, of the same or other studies, that are what cells of this study would become.

    That is: trained with the same arguments in the same order, seed included; measured on all splits of this study, and
    with the same split that says what is familiar. Names of data sets, networks and variants do not matter.

    Args:
        study: whose cells are looked for; those that are done are not.
        places: the study's folder.
        folders: of other studies, those that have ``cells`` in them.

    Returns:
        By cell, in the study's order; of several that would do the first.

    Raises:
        InputError: a folder without cells, or a damaged cell in it.
    """
    known: dict[tuple[str, ...], list[tuple[Path, CellResult]]] = {}
    for folder in folders:
        paths = sorted((folder / "cells").rglob(RESULT))
        if not paths:
            raise InputError(f"--adopt {folder}: no cell of a study is done there; name folders that 'cells' lies in.")
        for place in (path.parent for path in paths):
            if (result := read_cell(place)) is not None:
                known.setdefault(what_decides(result.arguments), []).append((place, result))
    twins: dict[Cell, Path] = {}
    for cell in study.cells:
        if not places.is_done(cell):
            data = study.datasets[cell.dataset]
            for place, result in known.get(what_decides(study.arguments(cell)), ()):
                if result.train_split == data.train_split and set(data.splits) <= set(result.splits):
                    twins.setdefault(cell, place)
    return twins


def adopt(study: Study, places: Places, twins: Twins) -> list[Cell]:
    """Write cells that `find_twins` found, their evaluations first; whoever works on a cell at the moment keeps it.

    Returns:
        The cells that were written.

    Raises:
        InputError: an evaluation that is missing, damaged or of another training; the study's folder cannot be written
            to.
    """
    adopted = []
    for cell, twin in twins.items():
        with places.claim(cell) as mine:
            if mine and not places.is_done(cell):
                _adopt(study, places, cell, twin)
                adopted.append(cell)
    return adopted


def _adopt(study: Study, places: Places, cell: Cell, twin: Path) -> None:
    theirs = read_cell(twin)
    assert theirs is not None
    splits = study.datasets[cell.dataset].splits
    cure = f"remove {twin} and run that study again."
    records = {split: portable_record(checked_evaluation(theirs, split, twin, cure), cell) for split in splits}
    place = places.result(cell)
    for split, record in records.items():
        write_record(evaluation_path(place, split), record)
    numbers = {split: theirs.splits[split] for split in splits}
    write_cell(place, replace(theirs, cell=cell, arguments=tuple(study.arguments(cell)), splits=numbers))
    places.forgive(cell)
