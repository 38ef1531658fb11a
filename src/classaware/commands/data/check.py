"""``classaware data check``: what ruins a training, before it begins."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.table import Table

from classaware.commands.output import make_table, plain, print_parts, progress_bar
from classaware.data.checking.check import Report, check
from classaware.data.checking.findings import Finding
from classaware.files import write_json

_FILES_SHOWN = 3


def build_parser() -> ArgumentParser:
    """Which folder, and where the report goes."""
    parser = ArgumentParser(
        prog="classaware data check",
        description="Look at every file of a data set: what cannot be read, masks that do not fit their image or hold "
        "other values than the classes, images in two splits, classes that never occur, and more. Exit status 0: no "
        "error (there may be warnings); 1: errors, which training and evaluation would stop at; 2: no data set there.",
        exit_on_error=False,
    )
    parser.add_argument("path", type=Path, help="folder with classes.txt, images/ and masks/, or of CamVid")
    parser.add_argument("--ignore_index", type=int | None, default=None, help="mask value of pixels without a class")
    parser.add_argument("--json", type=Path | None, default=None, help="file for everything that was found")
    parser.add_argument("--workers", type=int | None, default=None, help="processes; default: one a core")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Check, print the tables; 1 with errors, else 0."""
    config = build_parser().parse_args(arguments)
    with progress_bar("checking") as progress:
        report = check(config.path, config.ignore_index, config.workers, progress)
    parts: list[Table | str] = [splits_table(report), classes_table(report)] if report.splits else []
    if report.findings:
        parts.append(findings_table(report))
        parts += [f"{kind}: {group[0].message}" for kind, group in _by_kind(report).items()]
    print_parts(*parts, summary(report))
    if config.json is not None:
        write_json(config.json, report.to_dict())
        print(config.json)
    return report.status


def splits_table(report: Report) -> Table:
    """Images, sizes and share of labeled pixels of every split."""
    table = make_table("split", "images", "smallest", "largest", "labeled", numbers=("images", "labeled"))
    for tally in report.splits:
        sizes = ("-" if size is None else f"{size[0]}x{size[1]}" for size in (tally.smallest, tally.largest))
        share = "-" if tally.labeled_share is None else f"{100 * tally.labeled_share:.1f} %"
        table.add_row(plain(tally.name), str(tally.images), *sizes, share)
    return table


def classes_table(report: Report) -> Table:
    """The histogram: pixels and their share of all labeled ones, and images in every split, of every class."""
    columns = [f"images in {tally.name}" for tally in report.splits]
    table = make_table("", "class", "pixels", "share", *columns, numbers=("", "pixels", "share", *columns))
    pixels = [sum(int(tally.pixels_K[i]) for tally in report.splits) for i in range(len(report.class_names))]
    total = sum(pixels)
    for i, name in enumerate(report.class_names):
        share = f"{100 * pixels[i] / total:.2f} %" if total else "-"
        images = (str(tally.images_K[i]) for tally in report.splits)
        table.add_row(str(i), plain(name), str(pixels[i]), share, *images)
    return table


def findings_table(report: Report) -> Table:
    """How many of each kind, and the first files."""
    table = make_table("", "problem", "count", "first", numbers=("count",))
    for kind, group in _by_kind(report).items():
        files = [_shown(report, finding.file) for finding in group if finding.file is not None]
        more = len(files) - _FILES_SHOWN
        first = ", ".join(files[:_FILES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        table.add_row(group[0].severity, kind, str(len(group)), plain(first))
    return table


def summary(report: Report) -> str:
    """One line."""
    images = sum(tally.images for tally in report.splits)
    if not report.findings:
        return f"No problem found in {images} images of {report.root}."
    errors, warnings = report.count("error"), report.count("warning")
    return f"{_plural(errors, 'error')} and {_plural(warnings, 'warning')} in {images} images of {report.root}."


def _plural(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _by_kind(report: Report) -> dict[str, list[Finding]]:
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        groups[finding.kind].append(finding)
    return groups


def _shown(report: Report, file: str) -> str:
    path = Path(file)
    return path.relative_to(report.root).as_posix() if path.is_relative_to(report.root) else file
