"""``classaware compare``: evaluations of several trainings against those of others."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console

from classaware.errors import InputError
from classaware.evaluation.comparison import Comparison, compare
from classaware.evaluation.comparison_text import as_markdown, show
from classaware.evaluation.record import FORMAT, EvaluationRecord, read_record
from classaware.files import write_atomically, write_json

_DEPTH = 2  # folders below a run's own that are searched


def build_parser() -> ArgumentParser:
    """Two groups of runs, and where the comparison goes."""
    parser = ArgumentParser(
        prog="classaware compare",
        description="Mean and spread of mIoU on either side, difference of every class, t-test over trainings and "
        "bootstrap interval over images. RUN is a file of 'classaware evaluate --json', or a folder that holds one.",
        exit_on_error=False,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="evaluations, such as one a seed")
    parser.add_argument("--against", type=Path, nargs="+", metavar="RUN", required=True, help="what to compare them to")
    parser.add_argument("--names", type=str, nargs=2, default=["first", "second"], help="of the two sides, to be shown")
    parser.add_argument(
        "--output", type=Path | None, default=None, help="folder for comparison.md, comparison.json and comparison.png"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Compare, print, and write if asked."""
    config = build_parser().parse_args(arguments)
    names = (config.names[0], config.names[1])
    if names[0] == names[1]:
        raise InputError(f"both sides are named {names[0]!r}: give two names.")
    result = compare(read_side(config.runs), read_side(config.against), names)
    show(result, Console())
    if config.output is not None:
        for path in write_comparison(config.output, result):
            print(path)


def write_comparison(folder: Path, result: Comparison) -> list[Path]:
    """Write the three files; returns their paths."""
    from classaware.insight.comparison_plot import comparison_figure  # slow to import, and the terminal goes without
    from classaware.insight.figures import figure_to_png

    paths = [folder / f"comparison.{kind}" for kind in ("md", "json", "png")]
    differences = [(row.name, row.difference, row.interval) for row in result.classes if row.difference is not None]
    sides = {side.name: side.mean_ious for side in (result.ours, result.theirs)}
    picture = figure_to_png(comparison_figure(differences, sides, result.image_interval))
    write_atomically(paths[0], as_markdown(result).encode())
    write_json(paths[1], result.to_dict())
    write_atomically(paths[2], picture)
    return paths


def find_record(place: Path) -> Path:
    """The evaluation at ``place``: a file itself, or the only one in a folder, looked for in its upper levels first.

    Raises:
        InputError: nothing there, or several on one level.
    """
    if not place.is_dir():
        return place
    level = [place]
    for _ in range(_DEPTH + 1):
        inside = sorted(path for folder in level for path in folder.iterdir() if not path.name.startswith("."))
        found = [path for path in inside if path.suffix == ".json" and path.is_file() and _is_record(path)]
        if len(found) > 1:
            listed = ", ".join(str(path) for path in found)
            raise InputError(f"{place} holds {len(found)} evaluations: name one of {listed}.")
        if found:
            return found[0]
        level = [path for path in inside if path.is_dir() and not path.is_symlink()]
    raise InputError(
        f"{place} holds no evaluation: 'classaware evaluate CHECKPOINT --json {place}/test.json' writes one."
    )


def _is_record(path: Path) -> bool:
    # Its format stands at the beginning; the rest can be long.
    with path.open("rb") as file:
        return f'"{FORMAT}"'.encode() in file.read(200)


def read_side(places: Sequence[Path]) -> list[EvaluationRecord]:
    """The evaluations at ``places``, see `find_record`.

    Raises:
        InputError: one that cannot be read, or is given twice.
    """
    paths = [find_record(place) for place in places]
    twice = next((path for i, path in enumerate(paths) if path.resolve() in [p.resolve() for p in paths[:i]]), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice on one side: one training counts once.")
    return [read_record(path) for path in paths]
