"""From runs to their report: evaluates, measures, looks, and writes the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from classaware.commands.evaluate import Evaluation
from classaware.commands.evaluations import file_names, stored_or_new
from classaware.commands.insight.dependency import measure
from classaware.commands.networks import Named, check_features, open_networks
from classaware.commands.output import progress_bar
from classaware.commands.run_images import choose_shown, explore_shown, forget_explorer, paint_shown
from classaware.commands.subjects import make_subjects, name_networks
from classaware.data import SegmentationDataset
from classaware.data.pairs import count_pairs
from classaware.evaluation.combinations import read_combinations
from classaware.evaluation.comparison import Comparison, compare
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.rare_combinations import RareCombinations, rare_combinations
from classaware.evaluation.record import EvaluationRecord
from classaware.files import check_writable, write_atomically, write_json
from classaware.insight.report import write_report
from classaware.insight.report_provenance import data_name
from classaware.insight.run_report import run_report
from classaware.insight.runs import Findings, Run, read_curves
from classaware.insight.subject import Subject

REPORT, EXPLORER, NUMBERS = "report.html", "explorer.html", "report.json"


@dataclass(frozen=True)
class Options:
    """What a report is to show.

    Attributes:
        splits: of the data set.
        names: of the runs; None: those of their folders.
        train_split: whose labels say which combinations are familiar; None: no rare combinations.
        explorer: write the explorer too.
        images: how many of each split are shown.
        num_workers: processes that read images.
        title: of the report; None: made of the names.
        intro: paragraph below it.
    """

    splits: Sequence[str] = ("test",)
    names: Sequence[str] | None = None
    train_split: str | None = "train"
    explorer: bool = True
    images: int = 6
    num_workers: int = 2
    title: str | None = None
    intro: str = ""


def write_run_report(
    checkpoints: Sequence[Path],
    output: Path,
    options: Options,
    dataset: SegmentationDataset | None = None,
    arguments: dict[str, Any] | None = None,
    device: torch.device | None = None,
) -> Findings:
    """Write report.html, report.json, explorer.html and the evaluations of runs.

    Evaluations that are there already, of the same checkpoints, data and way of inference, are not made again.

    Args:
        checkpoints: one a run; its log is looked for beside it.
        output: folder of the files.
        options: what to show.
        dataset: of the splits; None: the one that the first run was trained on.
        arguments: of ``dataset``, plain values.
        device: where the networks run; None: the CPU.

    Raises:
        InputError: a run, split or image that cannot be used, or a file that cannot be written.
    """
    for name in (REPORT, NUMBERS, *([EXPLORER] if options.explorer else [])):
        check_writable(output / name)
    networks, dataset, arguments = open_networks([str(path) for path in checkpoints], dataset, arguments)
    check_features(networks)
    for split in dict.fromkeys([*options.splits, *([options.train_split] if options.train_split else [])]):
        dataset.samples(split)
    names = name_networks(networks, options.names)
    subjects = make_subjects(names, networks, device or torch.device("cpu"))
    runs = _evaluate(checkpoints, networks, subjects, Data(dataset, arguments), options, output / "evaluations")
    comparisons = {split: _compare(runs, split) for split in options.splits} if len(runs) > 1 else {}
    rarity = _rarity(runs, dataset, options)
    dependency = measure(subjects, dataset, options.splits)
    chosen = {split: choose_shown(runs, dataset, split, options.images) for split in options.splits}
    if options.explorer:
        write_atomically(output / EXPLORER, explore_shown(subjects, dataset, chosen, dependency))
    else:
        forget_explorer(output / REPORT, output / EXPLORER)
    findings = Findings(
        runs=runs,
        splits=options.splits,
        things=getattr(dataset, "things", ()),
        comparisons=comparisons,
        rarity=rarity,
        dependency=dependency,
        samples={split: paint_shown(subjects, dataset, shown) for split, shown in chosen.items()},
        palette=dataset.palette,
        explorer=EXPLORER if options.explorer else None,
    )
    title = options.title or _title(names, runs[0].records[options.splits[0]])
    write_report(output / REPORT, run_report(findings, title, options.intro))
    write_json(output / NUMBERS, findings.to_dict(output))
    return findings


class Data(NamedTuple):
    """A data set, and the arguments that it was made with."""

    dataset: SegmentationDataset
    arguments: dict[str, Any]


def _evaluate(
    checkpoints: Sequence[Path],
    networks: Sequence[Named],
    subjects: Sequence[Subject],
    data: Data,
    options: Options,
    folder: Path,
) -> list[Run]:
    runs, files = [], file_names([subject.name for subject in subjects], options.splits)
    # All logs first: a damaged one is not to be found only after the evaluations of other runs.
    logs = [read_curves(checkpoint.parent / "logs" / "metrics.csv") for checkpoint in checkpoints]
    for checkpoint, named, subject, curves in zip(checkpoints, networks, subjects, logs, strict=True):
        records = {}
        for split in options.splits:
            evaluation = Evaluation(named, *data, split, subject.inference, subject.device)
            path = folder / files[subject.name, split]
            records[split] = stored_or_new(evaluation, [folder, checkpoint.parent], path, options.num_workers)
        runs.append(Run(subject.name, named.provenance, named.training(), records, curves))
    return runs


def _title(names: Sequence[str], record: EvaluationRecord) -> str:
    runs = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return f"{runs} on {data_name(record)}"


def _compare(runs: Sequence[Run], split: str) -> list[Comparison]:
    first, *others = runs
    return [compare([run.records[split]], [first.records[split]], (run.name, first.name)) for run in others]


def _rarity(
    runs: Sequence[Run], dataset: SegmentationDataset, options: Options
) -> Mapping[str, Sequence[RareCombinations]]:
    if options.train_split is None:
        return {}
    with progress_bar("counting combinations") as progress:
        pairs = count_pairs(dataset, options.train_split, progress=progress, together="touching")
    familiarity = Familiarity(pairs)
    found: dict[str, list[RareCombinations]] = {}
    for split in options.splits:
        with progress_bar(f"combinations of {split}") as progress:
            combinations = read_combinations(dataset, split, progress=progress)
        first, *others = runs
        record = first.records[split]
        found[split] = [
            rare_combinations([run.records[split]], [record], combinations, familiarity, (run.name, first.name))
            for run in others
        ] or [rare_combinations([record], None, combinations, familiarity, (first.name, ""))]
    return found
