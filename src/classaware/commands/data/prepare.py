"""``classaware data prepare``: what to download, and from there to images, masks and a manifest."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from classaware.commands.recipes import write
from classaware.data.manifest import Manifest
from classaware.data.sources import SOURCES, Source
from classaware.errors import InputError


def build_parser() -> ArgumentParser:
    """Name of the data set, where it was downloaded to, and where it goes."""
    parser = ArgumentParser(
        prog="classaware data prepare",
        description="Converts a public data set once into images, index masks and a manifest. Without a name: lists "
        "the data sets. With a name alone: says what to download, from whom and under which license; nothing is ever "
        "downloaded. A run that was broken off is taken up again by the same command.",
        exit_on_error=False,
    )
    parser.add_argument("name", nargs="?", help=f"one of {', '.join(SOURCES)}")
    parser.add_argument(
        "--source", nargs="+", type=Path, default=None, help="archives (.zip, .tar, .tar.gz, .tgz), folders or files"
    )
    parser.add_argument("--out", type=Path | None, default=None, help="new folder for the prepared data set")
    parser.add_argument("--workers", type=int | None, default=None, help="processes; default: one a core")
    return parser


def run(arguments: Sequence[str]) -> None:
    """List, instruct or prepare."""
    parser = build_parser()
    if any(argument in ("-h", "--help") for argument in arguments):
        named = [instructions(SOURCES[argument]) for argument in arguments if argument in SOURCES]
        write("\n".join([parser.format_help(), *named]))
        return
    config = parser.parse_args(list(arguments))
    if config.name is None:
        if config.source is not None or config.out is not None:
            raise InputError(f"the name of the data set is missing: choose one of {', '.join(SOURCES)}.")
        write(listing())
        return
    source = find_source(config.name)
    if config.source is None:
        write(instructions(source))
        return
    if config.out is None:
        raise InputError("--out is missing: give a new folder for the prepared data set.")
    _prepare(source, config.source, config.out, config.workers)


def find_source(name: str) -> Source:
    """A data set by its name; ``InputError`` with the nearest one, or all."""
    if name not in SOURCES:
        near = get_close_matches(name.lower().replace("_", "-"), SOURCES, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(SOURCES)}."
        raise InputError(f"there is no data set {name!r}; {hint}")
    return SOURCES[name]


def listing() -> str:
    """Names, titles and sizes; no line is broken, however narrow the terminal is."""
    rows = [("name", "data set", "classes", "images")]
    for source in SOURCES.values():
        classes = str(len(source.class_names)) if source.class_names else "yours"
        rows.append((source.name, source.title, classes, _counts(source.expected) or "yours"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n\n'classaware data prepare NAME' says what to download.\n"


def instructions(source: Source) -> str:
    """What to download, from whom, under which license, and how to go on."""
    parts = {
        "Download": source.download,
        "License": source.license,
        "Reference": source.reference,
        "Published images": _counts(source.expected) or "as many as you have",
        "Then": f"classaware data prepare {source.name} --source FILES OR FOLDERS --out FOLDER",
    }
    lines = [source.title]
    for title, text in parts.items():
        folded = (wrap(line, 100, break_long_words=False, break_on_hyphens=False) for line in text.splitlines())
        lines += ["", f"{title}:", *(f"  {line}" for part in folded for line in part)]
    return "\n".join(lines) + "\n"


def _counts(expected: dict[str, int]) -> str:
    return ", ".join(f"{split} {count:,}" for split, count in expected.items())


def _prepare(source: Source, sources: Sequence[Path], out: Path, workers: int | None) -> None:
    from classaware.data.preparation.prepare import prepare  # slow to import

    with _bar(source.title) as (progress, begun):
        manifest = prepare(source, sources, out, workers, progress)
    console = Console()
    if not begun():
        print(f"{out} is complete already; nothing was written.")
    console.print(_table(manifest))
    for difference in manifest.differences():
        print(f"warning: {difference}: numbers measured on this cannot be compared with published ones.")
    print(f"{manifest.title}, prepared from {manifest.form}: {out}")


@contextmanager
def _bar(title: str) -> Iterator[tuple[Callable[[int, int], None], Callable[[], bool]]]:
    """A progress bar, its updating function, and whether that was called."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"reading the list of {title}", total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, description=f"preparing {title}", completed=done, total=total)

        yield update, lambda: bar.tasks[0].total is not None


def _table(manifest: Manifest) -> Table:
    table = Table("split", "images", "published", box=None)
    for split in manifest.splits | manifest.expected:
        published = manifest.expected.get(split)
        table.add_row(split, f"{manifest.splits.get(split, 0):,}", "-" if published is None else f"{published:,}")
    return table
