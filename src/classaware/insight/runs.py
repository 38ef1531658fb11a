"""What a report is about: training runs, and all that was found of them."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classaware.errors import InputError
from classaware.evaluation.comparison import Comparison
from classaware.evaluation.rare_combinations import RareCombinations
from classaware.evaluation.record import EvaluationRecord
from classaware.evaluation.statistics import or_none
from classaware.insight.dependency_summary import DependencySummary
from classaware.insight.report_blocks import SampleRow

Curves = dict[str, tuple[list[int], list[float]]]

_NO_CURVES = ("step", "epoch", "train/lr")


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: shown wherever the run is.
        provenance: of the checkpoint: "path", "sha256", "step".
        training: what the checkpoint's card says of the training: "seed", "configuration", "versions", ...
        records: split -> evaluation.
        curves: logged quantity -> steps and values.
    """

    name: str
    provenance: Mapping[str, Any]
    training: Mapping[str, Any]
    records: Mapping[str, EvaluationRecord]
    curves: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """All that a report says; what is empty is left out.

    Attributes:
        runs: at least one; differences are to the first.
        splits: of the data set, in order.
        things: indices of the classes that are things, where the data set knows them.
        comparisons: split -> one a further run, against the first.
        rarity: split -> one a run by itself, or, of the further runs, against the first.
        dependency: of all networks on all splits.
        samples: split -> images, each with its ground truth and one prediction a run.
        palette: (K, 3) colors of the classes.
        explorer: path of the explorer, from the report.
    """

    runs: Sequence[Run]
    splits: Sequence[str]
    things: Sequence[int] = ()
    comparisons: Mapping[str, Sequence[Comparison]] = field(default_factory=dict)
    rarity: Mapping[str, Sequence[RareCombinations]] = field(default_factory=dict)
    dependency: DependencySummary | None = None
    samples: Mapping[str, Sequence[SampleRow]] = field(default_factory=dict)
    palette: Sequence[Sequence[int]] = ()
    explorer: str | None = None

    @property
    def names(self) -> list[str]:
        """Of the runs."""
        return [run.name for run in self.runs]

    def to_dict(self, folder: Path) -> dict[str, Any]:
        """Every number, for JSON; differences are ours, a further run's, minus theirs, the first's.

        Args:
            folder: of the report, from which the evaluations' paths start.
        """
        return {
            "format": "classaware-report",
            "version": 1,
            "runs": [self._run_dict(run, folder) for run in self.runs],
            "comparisons": {split: [each.to_dict() for each in found] for split, found in self.comparisons.items()},
            "rare_combinations": {split: [each.to_dict() for each in found] for split, found in self.rarity.items()},
            "dependency": None if self.dependency is None else self.dependency.to_dict(),
        }

    def _run_dict(self, run: Run, folder: Path) -> dict[str, Any]:
        result: dict[str, Any] = {"name": run.name, **run.provenance, "seed": run.training.get("seed"), "splits": {}}
        for split, record in run.records.items():
            path = None if record.path is None else _path_from(folder, record.path)
            found = {"evaluation": path, **record.scores.to_dict()}
            if self.things:
                found["mean_iou_of_things"] = or_none(record.scores.mean_iou_over(self.things))
            result["splits"][split] = found
        return result


def _path_from(folder: Path, path: Path) -> str:
    # Links followed, for ".." leads elsewhere from behind one.
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def read_curves(path: Path) -> Curves:
    """Logged quantity -> steps and values of the CSV log of a run; empty where there is no log.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    curves: Curves = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, restval=""):
                for name, value in row.items():
                    if value and name not in _NO_CURVES:
                        steps, values = curves.setdefault(name, ([], []))
                        steps.append(int(row["step"]))
                        values.append(float(value))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check the path.") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is no log of 'classaware fit' ({error}): remove it, or restore it.") from error
    return curves
