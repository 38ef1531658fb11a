"""``classaware demo``: a network without and with CAR on scenes whose classes are biased to contexts."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

from classaware import __version__
from classaware.commands import fit
from classaware.commands.configuration import expand_recipes
from classaware.data import BiasedScenes, SegmentationData
from classaware.errors import InputError
from classaware.evaluation import SegmentationScores, confusion_matrix, predictions, scores
from classaware.files import write_json
from classaware.insight import (
    CenterAccumulator,
    Report,
    SampleRow,
    colorize,
    curves_exhibit,
    dependency_exhibit,
    dependency_map,
    write_report,
)
from classaware.insight import Table as ReportTable
from classaware.training import load_network

NETWORKS = {"baseline": [], "car": ["--config", "car"]}
TITLES = {"baseline": "baseline", "car": "with CAR"}
SPLITS = {"seen": "familiar pairs", "unseen": "unfamiliar pairs"}
_SAMPLES = 6  # scenes of each split in the report
_QUICK = ["--trainer.max_steps=12", "--trainer.val_check_interval=12", "--trainer.log_every_n_steps=4"]


def build_parser() -> ArgumentParser:
    """Seed, folder, and a form for tests."""
    parser = ArgumentParser(
        prog="classaware demo",
        description="Train a small network on generated scenes without and with CAR and compare them on class "
        "combinations that training hardly showed.",
        exit_on_error=False,
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of scenes, weights and sampling")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for report, numbers and runs")
    parser.add_argument("--quick", type=bool, nargs="?", const=True, default=False, help="a few steps, to see it run")
    return parser


@dataclass(frozen=True)
class Outcome:
    """One network on the test sets: scores and predictions by split, dependency map over both."""

    scores: dict[str, SegmentationScores]
    labels: dict[str, list[np.ndarray]]
    dependency: np.ndarray
    curves: dict[str, tuple[list[int], list[float]]]


def run(arguments: Sequence[str]) -> None:
    """Train both, evaluate both, print the table, write results.json and report.html."""
    config = build_parser().parse_args(arguments)
    if (config.output / "results.json").exists():
        raise InputError(f"{config.output} already holds a demo: remove it or choose another --output.")
    scenes = (
        BiasedScenes(seed=config.seed, train=48, val=8, test=12) if config.quick else BiasedScenes(seed=config.seed)
    )
    console = Console()
    config.output.mkdir(parents=True, exist_ok=True)
    # How many threads share a sum decides how it is rounded: with one, the numbers do not depend on the cores.
    torch.set_num_threads(1)
    outcomes = {}
    for name, recipe in NETWORKS.items():
        console.print(f"[bold]{TITLES[name]}[/bold]: training")
        checkpoint = train(scenes, config.seed, config.output / name, [*recipe, *(_QUICK if config.quick else [])])
        outcomes[name] = measure(checkpoint, scenes)
    steps = int(torch.load(config.output / "car" / "last.ckpt", weights_only=True)["global_step"])
    results = {"seed": config.seed, "steps": steps} | {name: numbers(o, scenes) for name, o in outcomes.items()}
    write_report(config.output / "report.html", _report(results, outcomes, scenes))
    write_json(config.output / "results.json", results)
    console.print(_table(results))
    console.print(f"report: {(config.output / 'report.html').absolute()}", soft_wrap=True)


def train(scenes: BiasedScenes, seed: int, output: Path, more: list[str]) -> Path:
    """Train as ``classaware fit --config biased-scenes ...`` does."""
    arguments = ["--config", "biased-scenes", *more, f"--seed={seed}", f"--output={output}"]
    arguments += [f"--data.dataset.{name}={value}" for name, value in scenes.parameters.items()]
    parser = fit.build_parser()
    return fit.fit(parser, parser.parse_args(expand_recipes(arguments)))


def measure(checkpoint: Path, scenes: BiasedScenes) -> Outcome:
    """Scores on both test sets, predictions of the first scenes, and the class-dependency map over all test scenes."""
    network, card = load_network(checkpoint)
    data = SegmentationData(scenes, eval_batch_size=20, num_workers=0)
    centers = CenterAccumulator(network.num_classes, card.ignore_index)
    result: dict[str, SegmentationScores] = {}
    labels: dict[str, list[np.ndarray]] = {}
    for split in SPLITS:
        confusion = torch.zeros(network.num_classes, network.num_classes, dtype=torch.int64)
        shown: list[np.ndarray] = []
        for batch, output, prediction in predictions(network, data.eval_dataloader(split)):
            confusion += confusion_matrix(prediction, batch["label"], network.num_classes, card.ignore_index)
            centers.update(output.features, batch["label"])
            shown.extend(prediction.numpy()[: _SAMPLES - len(shown)])
        result[split] = scores(confusion, scenes.class_names)
        labels[split] = shown
    dependency = dependency_map(centers.centers(), centers.present).numpy()
    return Outcome(result, labels, dependency, read_curves(checkpoint.parent / "logs" / "metrics.csv"))


def read_curves(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Logged quantity -> steps and values, from the CSV log."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in ("step", "epoch", "train/lr"):
                    steps, values = curves.setdefault(name, ([], []))
                    steps.append(int(row["step"]))
                    values.append(float(value))
    return curves


def numbers(outcome: Outcome, scenes: BiasedScenes) -> dict[str, dict[str, float]]:
    """mIoU by split, over all classes and over things."""
    return {
        split: {"all": result.mean_iou, "things": result.mean_iou_over(scenes.things)}
        for split, result in outcome.scores.items()
    }


def _rows(results: dict[str, Any]) -> list[list[str]]:
    """One row a test set and group of classes: name, baseline, with CAR, difference, in points of mIoU."""
    rows = []
    for split, title in SPLITS.items():
        for group in ("things", "all"):
            baseline, car = (100 * results[name][split][group] for name in NETWORKS)
            kind = "things" if group == "things" else "all classes"
            rows.append([f"{split} ({title}), {kind}", f"{baseline:.2f}", f"{car:.2f}", f"{car - baseline:+.2f}"])
    return rows


_HEADER = ["mIoU (%)", TITLES["baseline"], TITLES["car"], "difference"]


def _table(results: dict[str, Any]) -> Table:
    table = Table(title=f"biased scenes, seed {results['seed']}, {results['steps']} steps")
    for i, name in enumerate(_HEADER):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in _rows(results):
        table.add_row(*row)
    return table


def _report(results: dict[str, Any], outcomes: dict[str, Outcome], scenes: BiasedScenes) -> Report:
    quantities = sorted({name for outcome in outcomes.values() for name in outcome.curves})
    curves = {
        quantity: {TITLES[name]: o.curves[quantity] for name, o in outcomes.items() if quantity in o.curves}
        for quantity in quantities
    }
    maps = {TITLES[name]: outcome.dependency for name, outcome in outcomes.items()}
    return Report(
        title="Class-aware regularization on biased scenes",
        intro="In training every thing stands on its favorite context with probability 0.95. Two networks of the same "
        "size were trained on the same scenes in the same order, one with CAR's three losses. 'Seen' are new scenes "
        "of the same kind; in 'unseen' no thing stands on its favorite context, so a network that reads the "
        "context in place of the thing is wrong.",
        facts={
            "seed": str(results["seed"]),
            "training steps": str(results["steps"]),
            "training scenes": str(len(scenes.samples("train"))),
            "test scenes": f"{len(scenes.samples('seen'))} seen, {len(scenes.samples('unseen'))} unseen",
            "classaware": __version__,
            "torch": torch.__version__,
        },
        tables=[ReportTable("Mean intersection over union", _HEADER, _rows(results))],
        figures=[curves_exhibit(curves), dependency_exhibit(maps, scenes.class_names)],
        samples=[row for split in SPLITS for row in _samples(split, outcomes, scenes)],
        sample_columns=["scene", "ground truth", *TITLES.values()],
        legend=list(zip(scenes.class_names, scenes.palette, strict=True)),
    )


def _samples(split: str, outcomes: dict[str, Outcome], scenes: BiasedScenes) -> list[SampleRow]:
    rows = []
    for i, sample in enumerate(scenes.samples(split)[:_SAMPLES]):
        image, label = scenes.read(sample)
        pictures = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()), colorize(label.numpy(), scenes.palette)]
        pictures += [colorize(outcome.labels[split][i], scenes.palette) for outcome in outcomes.values()]
        rows.append(SampleRow(f"{split}: {SPLITS[split]}, scene {i}", pictures))
    return rows
