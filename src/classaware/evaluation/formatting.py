"""Numbers, tables and names as text, alike in all results: fractions become percent, missing values a dash."""

import re
from collections.abc import Sequence

from classaware.evaluation.statistics import Interval, TTest

Rows = list[list[str]]


def points(value: float | None) -> str:
    """A fraction as percent, without a sign."""
    return "–" if value is None else f"{100 * value:.2f}"


def signed(value: float | None) -> str:
    """A difference of fractions as percentage points, with its sign."""
    # Rounded first: a difference of rounding is neither + nor -.
    return "–" if value is None else f"{round(100 * value, 2) + 0.0:+.2f}"


def interval_text(interval: Interval | None) -> str:
    """Both ends of an interval of differences."""
    return "–" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"


def dotted(interval: Interval | None) -> str:
    """Both ends of an interval of fractions as percent, in few letters for a table's cell."""
    return "–" if interval is None else f"{points(interval[0])}..{points(interval[1])}"


def signed_dotted(interval: Interval | None) -> str:
    """Both ends of an interval of differences, in few letters."""
    return "–" if interval is None else f"{signed(interval[0])}..{signed(interval[1])}"


def short_probability(test: TTest | None) -> str:
    """p of a test, in few letters."""
    if test is None or test.p is None:
        return "–"
    return "<0.0001" if test.p < 0.0001 else f"{test.p:.4f}"


def probability(p: float) -> str:
    """Of a test."""
    return "less than 0.0001" if p < 0.0001 else f"{p:.4f}"


def t_test_sentence(test: TTest) -> str:
    """Result of a t-test over runs, and what it covers."""
    if test.undefined is not None or test.p is None or test.degrees is None:
        return f"{test.kind.capitalize()} t-test over runs: {test.undefined}."
    degrees = f"{test.degrees:.3g}"
    return (
        f"{test.kind.capitalize()} t-test over runs: p = {probability(test.p)}, {degrees} "
        f"degree{'' if degrees == '1' else 's'} of freedom, 95 % interval {interval_text(test.interval)}. It says what "
        "to expect of trainings with other seeds, on these very images (other images are not in it)."
    )


def markdown_table(head: Sequence[str], rows: Rows) -> list[str]:
    """Lines of a table in Markdown, all but the first column flush right; every cell is escaped."""
    lines = [[escaped(cell) for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---", *["---:" for _ in head[1:]]])
    return [f"| {' | '.join(line)} |" for line in lines]


def plain_line(text: str) -> str:
    """Text that others wrote, on one line and without control sequences of terminals."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def escaped(text: str) -> str:
    """The same as Markdown that shows it literally."""
    # "://" too, or an address becomes a link by itself.
    return re.sub(r"([\\`*_{}\[\]<>#|~&!$@]|:(?=//))", r"\\\1", plain_line(text))
