"""``classaware demo``: a network without and with CAR on scenes whose classes are biased to contexts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

from classaware.commands import fit
from classaware.commands.configuration import expand_recipes
from classaware.commands.run_report import REPORT, Options, write_run_report
from classaware.data import BiasedScenes
from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord
from classaware.files import write_json

NETWORKS = {"baseline": [], "car": ["--config", "car"]}
TITLES = {"baseline": "baseline", "car": "with CAR"}
SPLITS = {"seen": "familiar pairs", "unseen": "unfamiliar pairs"}
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
    checkpoints = []
    for name, recipe in NETWORKS.items():
        console.print(f"[bold]{TITLES[name]}[/bold]: training")
        more = [*recipe, *(_QUICK if config.quick else [])]
        checkpoints.append(train(scenes, config.seed, config.output / name, more))
    findings = write_run_report(checkpoints, config.output, _options(config.quick))
    results: dict[str, Any] = {"seed": config.seed, "steps": findings.runs[-1].provenance["step"]}
    results |= {name: numbers(run.records, scenes) for name, run in zip(NETWORKS, findings.runs, strict=True)}
    write_json(config.output / "results.json", results)
    console.print(_table(results))
    console.print(f"report: {(config.output / REPORT).absolute()}", soft_wrap=True)


def _options(quick: bool) -> Options:
    return Options(
        splits=tuple(SPLITS),
        names=list(TITLES.values()),
        images=4 if quick else 6,
        num_workers=0,
        title="Class-aware regularization on biased scenes",
        intro="In training every thing stands on its favorite context with probability 0.95. Two networks of the same "
        "size were trained on the same scenes in the same order, one with CAR's three losses. 'Seen' are new scenes "
        "of the same kind; in 'unseen' no thing stands on its favorite context, so a network that reads the "
        "context in place of the thing is wrong.",
    )


def train(scenes: BiasedScenes, seed: int, output: Path, more: list[str]) -> Path:
    """Train as ``classaware fit --config biased-scenes ...`` does."""
    arguments = ["--config", "biased-scenes", *more, f"--seed={seed}", f"--output={output}"]
    arguments += [f"--data.dataset.{name}={value}" for name, value in scenes.parameters.items()]
    parser = fit.build_parser()
    return fit.fit(parser, parser.parse_args(expand_recipes(arguments)))


def numbers(records: Mapping[str, EvaluationRecord], scenes: BiasedScenes) -> dict[str, dict[str, float]]:
    """mIoU by split, over all classes and over things."""
    return {
        split: {"all": record.mean_iou, "things": record.scores.mean_iou_over(scenes.things)}
        for split, record in records.items()
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
