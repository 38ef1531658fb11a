"""Whether a cell of another study was trained as one of this study would be: the same words may mean something else."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from classaware.commands.configuration import plain_values
from classaware.commands.studies.adopting import Twin
from classaware.commands.studies.checking import parse_cell
from classaware.errors import InputError
from classaware.evaluation.comparable import flat
from classaware.evaluation.record import EvaluationRecord
from classaware.study.plan import Cell, Study
from classaware.training.card import build_dataset
from classaware.training.folder import without_places

_INDIFFERENT = ("data.num_workers", "trainer.accelerator")  # what decides no number


class Sameness:
    """Compares whole configurations, with the contents of all recipes and files, and the names of the images.

    Args:
        parser: of ``classaware fit``.
        study: whose cells are asked about.
    """

    def __init__(self, parser: ArgumentParser, study: Study) -> None:
        self._parser, self._study = parser, study
        self._parsed: dict[tuple[str, ...], dict[str, Any]] = {}
        self._images: dict[str, tuple[str, ...] | None] = {}

    def difference(self, cell: Cell, twin: Twin) -> str | None:
        """The first thing in which they differ, as a sentence; None where there is none.

        An option that only one of two versions of the package knows is not compared, nor the precision where nobody
        asked for one. Of the places of files only the last part of the path is compared, for that is all that a cell
        keeps; data sets are also told apart by the names of their images, where they can be opened.

        Raises:
            InputError: the cell's arguments are no configuration.
        """
        key = cell[:3]
        if key not in self._parsed:
            self._parsed[key] = plain_values(parse_cell(self._parser, self._study, cell))
        ours = self._parsed[key]
        portable = without_places(ours)
        for split, record in twin.records.items():
            theirs = record.training.get("configuration")
            if not isinstance(theirs, dict) or record.training.get("seed") != cell.seed:
                return "it does not say how it was trained."
            if (change := _first_change(theirs, portable)) is not None:
                return f"{change[0]} is {change[1]} there, {change[2]} here."
            if split in self._study.datasets[cell.dataset].splits and self._other_images(ours, split, record):
                return f"its data set has other images in the split {split!r}."
        return None

    def _other_images(self, configuration: Mapping[str, Any], split: str, record: EvaluationRecord) -> bool:
        arguments = configuration["data"]["dataset"]
        root = (arguments.get("init_args") or {}).get("root")
        if root is None or not Path(root).exists():  # generated, or not here
            return False
        key = repr((arguments, split))
        if key not in self._images:
            try:
                self._images[key] = tuple(sample.name for sample in build_dataset(arguments).samples(split))
            except InputError:
                self._images[key] = None
        names = self._images[key]
        return names is not None and sorted(names) != sorted(record.names)


def _first_change(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Dotted name and both values of the first option that both have and that is not the same."""
    # fit writes down less than it parses: not where the run lies, or of which files its configuration was made.
    left, right = flat(theirs), flat({name: value for name, value in ours.items() if name in theirs})
    for name in (name for name in left if name in right and name not in _INDIFFERENT):
        asked_for = name != "trainer.precision" or right[name] is not None
        if left[name] != right[name] and asked_for:
            return name, json.dumps(left[name]), json.dumps(right[name])
    return None
