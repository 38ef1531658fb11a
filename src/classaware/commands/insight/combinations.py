"""``classaware insight combinations``: scores by how familiar training made what stands together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.table import Table

from classaware.commands.compare import read_side
from classaware.commands.configuration import plain_values
from classaware.commands.insight.training_data import warn_of_other_data
from classaware.commands.networks import open_dataset
from classaware.commands.output import fitted_table, paragraphs, print_parts, progress_bar
from classaware.data import SegmentationDataset
from classaware.data.pairs import Together, count_pairs
from classaware.errors import InputError
from classaware.evaluation.combinations import aligned_combinations, read_combinations
from classaware.evaluation.combinations_csv import pairs_csv
from classaware.evaluation.combinations_tables import tables
from classaware.evaluation.combinations_text import as_markdown, sentences
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.rare_combinations import HEAD, RareCombinations, rare_combinations
from classaware.evaluation.record import EvaluationRecord
from classaware.files import check_writable, write_atomically, write_json

_KINDS = ("json", "md", "csv", "png", "svg")


def build_parser() -> ArgumentParser:
    """Evaluations of one or two groups of runs, what is familiar, and where the files go."""
    parser = ArgumentParser(
        prog="classaware insight combinations",
        description="mIoU where classes stand together that the training labels show often, rarely or never together; "
        "the matched gap between familiar and unfamiliar company; and what each class gains or loses beside each other "
        "one. RECORD is a file of 'classaware evaluate --json', or a folder that holds one.",
        exit_on_error=False,
    )
    parser.add_argument("records", type=Path, nargs="+", metavar="RECORD", help="evaluations, such as one a seed")
    parser.add_argument("--against", type=Path, nargs="+", metavar="RECORD", default=[], help="what to compare them to")
    parser.add_argument("--names", type=str, nargs="+", default=None, help="of the side or sides, to be shown")
    parser.add_argument(
        "--dataset", type=SegmentationDataset, default=None, help="default: the one that was evaluated on"
    )
    parser.add_argument("--train_split", type=str, default="train", help="whose labels say what is familiar")
    parser.add_argument(
        "--together",
        type=Together,
        default="touching",
        help="touching: classes are together where they touch, or nearly; image: wherever both are in the image",
    )
    parser.add_argument("--min_pixels", type=int, default=1, help="an image holds a class with at least so many pixels")
    parser.add_argument(
        "--rare", type=float, default=0.5, help="a pair is rare below so many times as often as by chance, 0 to 1"
    )
    parser.add_argument("--workers", type=int | None, default=None, help="processes; default: one a core")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for combinations.json, .md, .csv, .png and .svg"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Read labels and evaluations, score, print, write the files."""
    parser = build_parser()
    config = parser.parse_args(arguments)
    names = _names(config)
    paths = [config.output / f"combinations.{kind}" for kind in _KINDS]
    for path in paths:
        check_writable(path)
    ours, theirs = read_side(config.records), read_side(config.against)
    given = parser.instantiate(config).dataset
    dataset = open_dataset(ours[0].data.get("dataset"), ours[0].path) if given is None else given
    dataset.check_split(config.train_split)
    counted: dict[str, Any] = ours[0].data["dataset"] if given is None else plain_values(config.dataset.as_dict())
    result = _score(ours, theirs, dataset, config, names)
    trained_on = {str(run.path): _trained_on(run) for run in (*ours, *theirs)}
    result = replace(result, warnings=(*result.warnings, *warn_of_other_data(trained_on, counted)))
    facts = {"dataset": counted, "split": ours[0].data["split"], "train_split": config.train_split}
    print_parts(*parts(result))
    write_combinations(config.output, result, facts)
    for path in paths:
        print(path)


def parts(result: RareCombinations) -> list[Table | str]:
    """What is printed: groups, the rarest pairs, and what the numbers say."""
    found: list[Table | str] = [paragraphs(result.descriptions)]
    for title, (head, rows), names in tables(result):
        found += [paragraphs([f"{title}:"]), fitted_table(head, rows, names)]
    found.append(paragraphs(sentences(result)))
    return [*found, *([paragraphs(f"WARNING: {each}" for each in result.warnings)] if result.warnings else [])]


def write_combinations(folder: Path, result: RareCombinations, facts: Mapping[str, Any]) -> None:
    """Write the five files; ``facts`` stand in the JSON before the numbers."""
    from classaware.commands.insight.figure_files import write_figure
    from classaware.insight.combinations_plot import combinations_figure  # slow to import, and comes last

    write_figure(folder, "combinations", combinations_figure(result))
    write_json(folder / "combinations.json", {**HEAD, **facts, **result.to_dict()})
    write_atomically(folder / "combinations.md", as_markdown(result).encode())
    write_atomically(folder / "combinations.csv", pairs_csv(result).encode())


def _names(config: Namespace) -> list[str]:
    defaults = ["first", "second"] if config.against else ["network"]
    names: list[str] = config.names or defaults
    if len(names) != len(defaults):
        raise InputError(f"--names gives {len(names)} for {len(defaults)} (one a side): give as many.")
    if len(set(names)) < len(names):
        raise InputError(f"both sides are named {names[0]!r}: give two names.")
    return names


def _trained_on(run: EvaluationRecord) -> Any:
    return run.training.get("configuration", {}).get("data", {}).get("dataset")


def _score(
    ours: Sequence[EvaluationRecord],
    theirs: Sequence[EvaluationRecord],
    dataset: SegmentationDataset,
    config: Namespace,
    names: Sequence[str],
) -> RareCombinations:
    split, way = ours[0].data.get("split"), (config.min_pixels, config.together)
    Familiarity.check(config.rare)
    if not isinstance(split, str):
        raise InputError(f"{ours[0].path} does not say which split was evaluated: evaluate again.")
    with progress_bar(f"reading labels of {split}") as progress:
        combinations = read_combinations(dataset, split, *way, config.workers, progress)
    aligned_combinations(combinations, ours[0])  # before the training labels are read, which are many
    with progress_bar(f"reading labels of {config.train_split}") as progress:
        pairs = count_pairs(dataset, config.train_split, way[0], config.workers, progress, way[1])
    return rare_combinations(ours, theirs, combinations, Familiarity(pairs, config.rare), names)
