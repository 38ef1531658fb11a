"""Every head on the biased scenes, without and with CAR: mIoU on familiar and on unfamiliar pairs.

    python benchmarks/biased_scenes_heads.py --output runs/heads [--heads ocr caa] [--seed 0] [--steps 800]

Each cell is the run ``classaware fit --config biased-scenes [--config car] --network.head ...`` in one thread; cells
whose result is there are not trained again. Prints a Markdown table and writes ``results.json``.
"""

import argparse
import json
from pathlib import Path

import torch

from classaware.commands.demo import NETWORKS, SPLITS, measure, numbers, train
from classaware.data import BiasedScenes
from classaware.files import write_json
from classaware.models import HEADS

# The demo's width; CPNet's grid is the map's own size at 128 x 128 and stride 8.
OPTIONS = {
    "cpnet": ["--network.head.init_args.grid=16"],
    "ocr": ["--regularizer.pool=2"],
    "upernet": ["--regularizer.pool=2"],
}


def train_and_measure(head: str, variant: str, seed: int, steps: int, folder: Path) -> dict[str, float]:
    """mIoU in percent by split and group of classes."""
    result = folder / "result.json"
    if result.is_file():
        return json.loads(result.read_text())
    scenes = BiasedScenes(seed=seed)
    options = [f"--network.head={HEADS[head].__name__}", "--network.head.init_args.channels=128"]
    options += [*OPTIONS.get(head, []), *NETWORKS[variant], f"--trainer.max_steps={steps}"]
    outcome = measure(train(scenes, seed, folder, options), scenes)
    by_split = numbers(outcome, scenes)
    percent = {f"{split}_{group}": 100 * iou for split, groups in by_split.items() for group, iou in groups.items()}
    write_json(result, percent)
    return percent


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """One row a head: baseline, with CAR and the difference on seen and unseen scenes."""
    groups = [f"{split}_{group}" for split in SPLITS for group in ("things", "all")]
    lines = ["| head | " + " | ".join(f"{g.replace('_', ', ')}: baseline / CAR / difference" for g in groups) + " |"]
    lines.append("|---|" + "---|" * len(groups))
    for head, by_variant in results.items():
        cells = [
            f"{by_variant['baseline'][g]:.2f} / {by_variant['car'][g]:.2f} / "
            f"{by_variant['car'][g] - by_variant['baseline'][g]:+.2f}"
            for g in groups
        ]
        lines.append(f"| {head} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="*", choices=list(HEADS), default=list(HEADS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--output", type=Path, default=Path("runs/heads"))
    options = parser.parse_args()
    torch.set_num_threads(1)  # as the demo: what threads sum up together is rounded by their number
    results: dict[str, dict[str, dict[str, float]]] = {}
    for head in options.heads:
        for variant in NETWORKS:
            folder = options.output / f"{head}-{variant}-{options.seed}"
            cell = train_and_measure(head, variant, options.seed, options.steps, folder)
            results.setdefault(head, {})[variant] = cell
            print(head, variant, {name: round(value, 2) for name, value in cell.items()}, flush=True)
    write_json(options.output / "results.json", results)
    print(table(results))


if __name__ == "__main__":
    main()
