"""A comparison as Markdown and for the terminal."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from classaware.evaluation.comparable import Unequal
from classaware.evaluation.comparison import Comparison, Side
from classaware.evaluation.formatting import (
    Rows,
    escaped,
    interval_text,
    markdown_table,
    plain_line,
    points,
    signed,
    t_test_sentence,
)

_CLASS_INTERVALS = (
    "The interval of a class says what to expect on other images of the same kind, for these very networks (other "
    "seeds are not in it); of classes that do not differ, one in twenty leaves zero out by chance."
)
_NO_METHOD = "No setting of network, regularizer, rival or training differs."
_NOTHING_ELSE = "Nothing else of what is recorded (data, steps, crop, weights, versions, ...)."
_NOT_CONFIGURED = "The runs do not all record their whole configuration: there may be differences that are not listed."


def sentences(result: Comparison) -> list[str]:
    """The result and, in one sentence each, what every interval covers."""
    ours, theirs = result.ours.name, result.theirs.name
    pairing = {
        "seed": "The runs are paired by their seeds.",
        None: "The runs are not paired: their seeds are not the same on both sides.",
    }[result.paired_by]
    spread = "" if result.difference_sd is None else f" (sd of the pairs {points(result.difference_sd)})"
    lines = [f"mIoU of {ours} minus {theirs}: {signed(result.difference)} points{spread}. {pairing}"]
    lines.append(t_test_sentence(result.test))
    lines.append(
        f"Bootstrap over images: 95 % interval {interval_text(result.image_interval)}. It says what to expect on other "
        "images of the same kind, for these very networks (other seeds are not in it)."
        if result.image_interval is not None
        else "Bootstrap over images: not defined for one image."
    )
    lines.append(
        f"Bootstrap over runs and images: 95 % interval {interval_text(result.run_and_image_interval)}. It says what "
        "to expect of other seeds and other images together, and is too narrow for a handful of runs."
        if result.run_and_image_interval is not None
        else "Bootstrap over runs and images: not defined for one run on a side or one image."
    )
    return lines


def as_markdown(result: Comparison) -> str:
    """The whole comparison; every name is escaped."""
    parts = [f"# {escaped(result.ours.name)} against {escaped(result.theirs.name)}", ""]
    for warning in result.warnings:
        parts += [f"**Warning.** {escaped(warning)}", ""]
    parts += [*markdown_table(*_sides(result)), ""]
    for line in sentences(result):
        parts += [f"* {escaped(line)}"]
    parts += ["", f"{result.images:,} images, {result.resamples:,} resamples, percent.", "", "## Classes", ""]
    parts += [*markdown_table(*_classes(result)), "", _CLASS_INTERVALS, ""]
    for title, (head, rows), empty in _settings(result):
        parts += [f"## {title}", "", *(markdown_table(head, rows) if rows else [empty]), ""]
    if not result.configured:
        parts += [_NOT_CONFIGURED, ""]
    parts += ["## What was evaluated", "", *(f"* {escaped(line)}" for line in _evaluated(result)), ""]
    for side in (result.ours, result.theirs):
        parts += [f"Files of {escaped(side.name)}:", "", *(f"* {escaped(path)}" for path in side.paths), ""]
    return "\n".join(parts)


def show(result: Comparison, console: Console) -> None:
    """Print the comparison; names are shown literally."""
    for line in _evaluated(result):
        console.print(Text(plain_line(line)))
    tables = [("mIoU %", _sides(result), ""), ("IoU %", _classes(result), ""), *_settings(result)]
    for title, (head, rows), empty in tables:
        if not rows:
            console.print(Text(f"{title}: {empty}"))
            continue
        table = Table(title=title)
        for index, name in enumerate(head):
            table.add_column(Text(plain_line(name)), justify="right" if index and title.endswith("%") else "left")
        for row in rows:
            table.add_row(*(Text(plain_line(cell)) for cell in row))
        console.print(table)
    for line in [*sentences(result), *([] if result.configured else [_NOT_CONFIGURED])]:
        console.print(Text(plain_line(line)))
    for warning in result.warnings:
        console.print(Text(f"WARNING: {plain_line(warning)}", style="bold red"))


def _sides(result: Comparison) -> tuple[list[str], Rows]:
    def row(side: Side) -> list[str]:
        seeds = ", ".join("?" if seed is None else str(seed) for seed in side.seeds)
        spread = "one run" if side.sd is None else points(side.sd)
        values = ", ".join(points(value) for value in side.mean_ious)
        return [side.name, str(len(side.mean_ious)), seeds, points(side.mean), spread, values]

    return ["", "runs", "seeds", "mean mIoU", "sd", "mIoU of each"], [row(result.ours), row(result.theirs)]


def _classes(result: Comparison) -> tuple[list[str], Rows]:
    rows = [
        [
            item.name,
            points(item.ours),
            points(item.theirs),
            signed(item.difference),
            points(item.sd),
            interval_text(item.interval),
        ]
        for item in result.classes
    ]
    means = [result.ours.mean, result.theirs.mean]
    spread = [signed(result.difference), points(result.difference_sd), interval_text(result.image_interval)]
    rows.append(["mean", *map(points, means), *spread])
    return ["class", result.ours.name, result.theirs.name, "difference", "sd of pairs", "95 % over images"], rows


def _evaluated(result: Comparison) -> list[str]:
    if result.evaluated is None:
        return list(result.descriptions)
    first, last = result.evaluated
    return [*result.descriptions, f"Evaluated {'on ' + first if first == last else f'from {first} to {last}'}."]


def _settings(result: Comparison) -> list[tuple[str, tuple[list[str], Rows], str]]:
    """Title, table and what to say if it is empty, of the settings in which the runs differ."""

    def table(rows: Sequence[Unequal]) -> tuple[list[str], Rows]:
        missing = "none" if result.configured else "not recorded"
        cells = [[row.setting, _values(row.ours, missing), _values(row.theirs, missing)] for row in rows]
        return ["setting", result.ours.name, result.theirs.name], cells

    if not result.configured:
        return [("Not equal between the runs", table(result.unequal), "Nothing of what the evaluations record.")]
    method, rest = ([row for row in result.unequal if row.method is wanted] for wanted in (True, False))
    return [("What is compared", table(method), _NO_METHOD), ("What else is not equal", table(rest), _NOTHING_ELSE)]


def _values(values: Sequence[Any], missing: str) -> str:
    texts = [missing if value is None else str(value) for value in values]
    runs = [(text, len(list(group))) for text, group in groupby(texts)]
    return ", ".join(text if count == 1 or len(runs) == 1 else f"{text} ({count} runs)" for text, count in runs)
