"""What can be said against a study before hours of training."""

from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from classaware.commands.checks import check_numbers
from classaware.commands.choices import explain, refuse_bases
from classaware.commands.configuration import expand_recipes, plain_values
from classaware.errors import InputError
from classaware.study.begun import check_begun
from classaware.study.places import Places
from classaware.study.plan import Cell, DataChoice, Study
from classaware.training.card import build_dataset


def check_open_cells(study: Study, places: Places) -> None:
    """Read the configuration of all that is to be trained, and see that its images are there.

    Raises:
        InputError: a recipe, an option, a data set or a split that is not there, with the first cell that asks for it;
            a training that was begun with other arguments.
    """
    from classaware.commands.fit import build_parser  # slow to import

    parser = build_parser()
    seen: set[tuple[str, ...]] = set()
    looked_at: set[str] = set()
    for cell in study.cells:
        if places.is_done(cell):
            continue
        check_begun(places.run(cell), study.arguments(cell), cell)
        if cell[:3] not in seen:
            seen.add(cell[:3])
            _check(parser, study, cell, looked_at)


def _check(parser: ArgumentParser, study: Study, cell: Cell, looked_at: set[str]) -> None:
    """``looked_at`` gets the data sets that are in order, for they are those of many cells."""
    config = parse_cell(parser, study, cell)
    with _told(cell):
        check_numbers(config.seed, config.trainer)
        dataset, splits = plain_values(config.data.dataset), _splits(config, study.datasets[cell.dataset])
        if (key := repr((dataset, splits))) not in looked_at:
            _check_splits(dataset, splits)
            looked_at.add(key)


def parse_cell(parser: ArgumentParser, study: Study, cell: Cell) -> Namespace:
    """The configuration of ``classaware fit`` for a cell.

    Raises:
        InputError: a recipe or an option that there is not.
    """
    with _told(cell):
        config = parser.parse_args(expand_recipes(study.resolved_arguments(cell)))
        refuse_bases(config)
    return config


@contextmanager
def _told(cell: Cell) -> Iterator[None]:
    """What is wrong is said of the cell."""
    try:
        yield
    except ArgumentError as error:
        raise InputError(f"{cell} cannot be trained: {explain(error)}") from error
    except InputError as error:
        raise InputError(f"{cell} cannot be trained: {error}") from error


def _splits(config: Namespace, choice: DataChoice) -> list[str]:
    """All that are looked at, in training and behind it."""
    names = [config.data.train_split, config.data.val_split, *choice.splits, choice.train_split]
    return sorted({name for name in names if name is not None})


def _check_splits(arguments: dict[str, Any], splits: list[str]) -> None:
    dataset = build_dataset(arguments)
    for split in splits:
        dataset.samples(split)
