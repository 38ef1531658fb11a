"""The trainings of ideas.py as Markdown: mean differences to the baseline of the same seed, in points of mIoU.

python studies/ideas_table.py docs/results/evidence/ideas.jsonl [--unsettled]
"""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from classaware.evaluation.formatting import markdown_table, points, signed

SPLITS = ("unseen", "seen")


def table(path: Path, settled: bool) -> list[str]:
    """Rows of Markdown, best on unseen pairs first."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    ideas: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        if line["settled"] is settled:
            ideas.setdefault(line["name"], {})[line["seed"]] = line
    baseline = ideas.pop("baseline")
    differences = {
        name: {split: [runs[seed][split] - baseline[seed][split] for seed in sorted(runs)] for split in SPLITS}
        for name, runs in ideas.items()
    }
    means = [f"{points(mean(run[split] for run in baseline.values()) / 100)} %" for split in SPLITS]
    rows = [["baseline (its mean)", _seeds(baseline), *means]]
    for name in sorted(differences, key=lambda name: -mean(differences[name]["unseen"])):
        rows.append([name, _seeds(ideas[name]), *(_text(differences[name][split]) for split in SPLITS)])
    return markdown_table(["idea", "seeds", *SPLITS], rows)


def _seeds(runs: dict[int, Any]) -> str:
    return ", ".join(map(str, sorted(runs)))


def _text(differences: list[float]) -> str:
    text = signed(mean(differences) / 100)
    return f"{text} ({points(stdev(differences) / 100)})" if len(differences) > 1 else text


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--unsettled", action="store_true", help="trainings without --settled")
    options = parser.parse_args()
    print("\n".join(table(options.results, not options.unsettled)))


if __name__ == "__main__":
    main()
