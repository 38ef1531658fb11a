"""What a study shows: every variant against the baseline, from the small files of its cells alone.

Fractions throughout; a difference is the variant's minus the baseline's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from classaware.study.contrast import holm
from classaware.study.groups import SplitResult, make_group
from classaware.study.loading import made_with, read_done
from classaware.study.plan import Cell, Study

_NOTHING: dict[Cell, str] = {}


@dataclass(frozen=True)
class StudyResults:
    """What `collect` finds.

    Attributes:
        name: of the study.
        baseline: the variant that all others are compared against.
        done: cells, in the study's order.
        missing: cells that are neither done nor failed.
        failed: cells and why.
        groups: by data set and network, and within these by split; those without a cell that is done are left out.
        tested: number of contrasts of mIoU that have a p.
        settings: arguments of ``classaware fit`` by what they belong to, as in the study's file.
        made_with: see `classaware.study.loading.made_with`.
    """

    name: str
    baseline: str
    done: tuple[Cell, ...]
    missing: tuple[Cell, ...]
    failed: Mapping[Cell, str]
    groups: tuple[SplitResult, ...]
    tested: int
    settings: Mapping[str, Any]
    made_with: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: no date, no place and no duration, so the same cells give the same file."""
        return {
            "format": "classaware-study",
            "version": 1,
            "name": self.name,
            "baseline": self.baseline,
            "settings": dict(self.settings),
            "made_with": dict(self.made_with),
            "cells": {
                "done": [str(cell) for cell in self.done],
                "missing": [str(cell) for cell in self.missing],
                "failed": {str(cell): reason for cell, reason in self.failed.items()},
            },
            "tested": self.tested,
            "groups": [group.to_dict() for group in self.groups],
        }


def collect(study: Study, folder: Path, failed: Mapping[Cell, str] = _NOTHING) -> StudyResults:
    """Read the cells that are done, and compare every variant with the baseline.

    Args:
        study: what the folder should hold.
        folder: of the study, the one that has ``cells`` in it.
        failed: why cells are not done; of no account for those that are.

    Raises:
        InputError: a damaged file; a cell that is not of this study, see `read_done`; evaluations of one group that
            were made on other images.
    """
    done = read_done(study, folder)
    why = {cell: failed[cell] for cell in study.cells if cell in failed and cell not in done}
    groups = [
        make_group(study, done, why, dataset, network, split)
        for dataset, network in study.groups()
        if any(cell[:2] == (dataset, network) for cell in done)
        for split in study.datasets[dataset].splits
    ]
    groups, tested = _adjusted(groups)
    return StudyResults(
        name=study.name,
        baseline=study.baseline,
        done=tuple(done),
        missing=tuple(cell for cell in study.cells if cell not in done and cell not in why),
        failed=why,
        groups=tuple(groups),
        tested=tested,
        settings=_settings(study),
        made_with=made_with(done),
    )


def _adjusted(groups: Sequence[SplitResult]) -> tuple[list[SplitResult], int]:
    """With Holm's p over all contrasts of mIoU, and their number."""
    tests = [v.contrasts["mIoU"].test.p if v.contrasts else None for group in groups for v in group.variants]
    adjusted = iter(holm(tests))
    found = [
        replace(group, variants=tuple(replace(variant, holm=next(adjusted)) for variant in group.variants))
        for group in groups
    ]
    return found, sum(p is not None for p in tests)


def _settings(study: Study) -> dict[str, Any]:
    return {
        "fit": list(study.fit),
        "datasets": {name: asdict(choice) for name, choice in study.datasets.items()},
        "networks": {name: list(arguments) for name, arguments in study.networks.items()},
        "variants": {name: list(arguments) for name, arguments in study.variants.items()},
    }
