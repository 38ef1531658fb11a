"""A comparison as Markdown and for the terminal."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from classaware.evaluation.comparable import Unequal
from classaware.evaluation.comparison import Comparison, Side
from classaware.evaluation.statistics import Interval

Rows = list[list[str]]

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
    spread = "" if result.difference_sd is None else f" (sd of the pairs {_points(result.difference_sd)})"
    lines = [f"mIoU of {ours} minus {theirs}: {_signed(result.difference)} points{spread}. {pairing}"]
    test = result.test
    if test.undefined is not None or test.p is None or test.degrees is None:
        lines.append(f"{test.kind.capitalize()} t-test over runs: {test.undefined}.")
    else:
        degrees = f"{test.degrees:.3g}"
        lines.append(
            f"{test.kind.capitalize()} t-test over runs: p = {_probability(test.p)}, {degrees} "
            f"degree{'' if degrees == '1' else 's'} of freedom, 95 % interval {_interval(test.interval)}. It says what "
            "to expect of trainings with other seeds, on these very images (other images are not in it)."
        )
    lines.append(
        f"Bootstrap over images: 95 % interval {_interval(result.image_interval)}. It says what to expect on other "
        "images of the same kind, for these very networks (other seeds are not in it)."
        if result.image_interval is not None
        else "Bootstrap over images: not defined for one image."
    )
    lines.append(
        f"Bootstrap over runs and images: 95 % interval {_interval(result.run_and_image_interval)}. It says what "
        "to expect of other seeds and other images together, and is too narrow for a handful of runs."
        if result.run_and_image_interval is not None
        else "Bootstrap over runs and images: not defined for one run on a side or one image."
    )
    return lines


def as_markdown(result: Comparison) -> str:
    """The whole comparison; every name is escaped."""
    parts = [f"# {_escaped(result.ours.name)} against {_escaped(result.theirs.name)}", ""]
    for warning in result.warnings:
        parts += [f"**Warning.** {_escaped(warning)}", ""]
    parts += [*_table(*_sides(result)), ""]
    for line in sentences(result):
        parts += [f"* {_escaped(line)}"]
    parts += ["", f"{result.images:,} images, {result.resamples:,} resamples, percent.", "", "## Classes", ""]
    parts += [*_table(*_classes(result)), "", _CLASS_INTERVALS, ""]
    for title, (head, rows), empty in _settings(result):
        parts += [f"## {title}", "", *(_table(head, rows) if rows else [empty]), ""]
    if not result.configured:
        parts += [_NOT_CONFIGURED, ""]
    parts += ["## What was evaluated", "", *(f"* {_escaped(line)}" for line in _evaluated(result)), ""]
    for side in (result.ours, result.theirs):
        parts += [f"Files of {_escaped(side.name)}:", "", *(f"* {_escaped(path)}" for path in side.paths), ""]
    return "\n".join(parts)


def show(result: Comparison, console: Console) -> None:
    """Print the comparison; names are shown literally."""
    for line in _evaluated(result):
        console.print(Text(_plain(line)))
    tables = [("mIoU %", _sides(result), ""), ("IoU %", _classes(result), ""), *_settings(result)]
    for title, (head, rows), empty in tables:
        if not rows:
            console.print(Text(f"{title}: {empty}"))
            continue
        table = Table(title=title)
        for index, name in enumerate(head):
            table.add_column(Text(_plain(name)), justify="right" if index and title.endswith("%") else "left")
        for row in rows:
            table.add_row(*(Text(_plain(cell)) for cell in row))
        console.print(table)
    for line in [*sentences(result), *([] if result.configured else [_NOT_CONFIGURED])]:
        console.print(Text(_plain(line)))
    for warning in result.warnings:
        console.print(Text(f"WARNING: {_plain(warning)}", style="bold red"))


def _sides(result: Comparison) -> tuple[list[str], Rows]:
    def row(side: Side) -> list[str]:
        seeds = ", ".join("?" if seed is None else str(seed) for seed in side.seeds)
        spread = "one run" if side.sd is None else _points(side.sd)
        values = ", ".join(_points(value) for value in side.mean_ious)
        return [side.name, str(len(side.mean_ious)), seeds, _points(side.mean), spread, values]

    return ["", "runs", "seeds", "mean mIoU", "sd", "mIoU of each"], [row(result.ours), row(result.theirs)]


def _classes(result: Comparison) -> tuple[list[str], Rows]:
    rows = [
        [
            item.name,
            _points(item.ours),
            _points(item.theirs),
            _signed(item.difference),
            _points(item.sd),
            _interval(item.interval),
        ]
        for item in result.classes
    ]
    means = [result.ours.mean, result.theirs.mean]
    spread = [_signed(result.difference), _points(result.difference_sd), _interval(result.image_interval)]
    rows.append(["mean", *map(_points, means), *spread])
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


def _table(head: Sequence[str], rows: Rows) -> list[str]:
    lines = [head, ["---", *["---:" for _ in head[1:]]], *([_escaped(cell) for cell in row] for row in rows)]
    lines[0] = [_escaped(name) for name in head]
    return [f"| {' | '.join(line)} |" for line in lines]


def _plain(text: str) -> str:
    # Names come from files: no line breaks, no control sequences of terminals.
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _escaped(text: str) -> str:
    # "://" too, or an address becomes a link by itself.
    return re.sub(r"([\\`*_{}\[\]<>#|~&!$@]|:(?=//))", r"\\\1", _plain(text))


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _signed(value: float | None) -> str:
    # Rounded first: a difference of rounding is neither + nor -.
    return "–" if value is None else f"{round(100 * value, 2) + 0.0:+.2f}"


def _interval(interval: Interval | None) -> str:
    return "–" if interval is None else f"{_signed(interval[0])} to {_signed(interval[1])}"


def _probability(p: float) -> str:
    return "less than 0.0001" if p < 0.0001 else f"{p:.4f}"
