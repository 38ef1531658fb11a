"""A comparison as Markdown and for the terminal."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from classaware.evaluation.comparison import Comparison, Side
from classaware.evaluation.statistics import Interval

Rows = list[list[str]]

_CLASS_INTERVALS = (
    "The interval of a class covers other images of the same kind, for these very networks; of classes that do not "
    "differ, one in twenty leaves zero out by chance."
)


def sentences(result: Comparison) -> list[str]:
    """The result and, in one sentence each, what every interval covers."""
    ours, theirs = result.ours.name, result.theirs.name
    pairing = {
        "seed": "The runs are paired by their seeds.",
        "order": "The runs are paired by their order: their seeds are not known or not the same on both sides.",
        None: "The runs are not paired: there are not as many on both sides.",
    }[result.paired_by]
    spread = "" if result.difference_sd is None else f" (sd of the pairs {_points(result.difference_sd)})"
    lines = [f"mIoU of {ours} minus {theirs}: {_signed(result.difference)} points{spread}. {pairing}"]
    test = result.test
    if test.undefined is not None or test.p is None or test.degrees is None:
        lines.append(f"{test.kind} t-test over runs: {test.undefined}.")
    else:
        lines.append(
            f"{test.kind} t-test over runs: p = {_probability(test.p)}, {test.degrees:.3g} degrees of freedom, 95 % "
            f"interval {_interval(test.interval)}. It covers trainings with other seeds, on these very images."
        )
    lines.append(
        f"Bootstrap over images: 95 % interval {_interval(result.image_interval)}. It covers other images of the same "
        "kind, for these very networks."
        if result.image_interval is not None
        else "Bootstrap over images: not defined for one image."
    )
    lines.append(
        f"Bootstrap over runs and images: 95 % interval {_interval(result.run_and_image_interval)}. It covers other "
        "seeds and other images together, and is too narrow for a handful of runs."
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
    parts += [*_table(*_classes(result)), "", _CLASS_INTERVALS, "", "## Not equal between the runs", ""]
    parts += _table(*_unequal(result)) if result.unequal else ["Nothing of what the evaluations record."]
    return "\n".join(parts) + "\n"


def show(result: Comparison, console: Console) -> None:
    """Print the comparison; names are shown literally."""
    for title, (head, rows) in (
        ("mIoU %", _sides(result)),
        ("IoU %", _classes(result)),
        ("not equal between the runs", _unequal(result)),
    ):
        if not rows:
            continue
        table = Table(title=title)
        for index, name in enumerate(head):
            table.add_column(Text(_plain(name)), justify="right" if index and title.endswith("%") else "left")
        for row in rows:
            table.add_row(*(Text(_plain(cell)) for cell in row))
        console.print(table)
    for line in sentences(result):
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


def _unequal(result: Comparison) -> tuple[list[str], Rows]:
    rows = [[row.setting, _values(row.ours), _values(row.theirs)] for row in result.unequal]
    return ["setting", result.ours.name, result.theirs.name], rows


def _values(values: Sequence[Any]) -> str:
    texts = ["not recorded" if value is None else str(value) for value in values]
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
