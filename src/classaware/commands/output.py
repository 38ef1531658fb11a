"""What commands print, and the progress that they show."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill

from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from classaware.commands.recipes import write
from classaware.data.parallel import Progress

_REFRESH = 0.1  # seconds
_SHORTEST = 7  # letters of a name


def make_table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """An empty table whose lines are never broken; the columns named in ``numbers`` are flush right."""
    table = Table(box=None)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in numbers else "left", no_wrap=True)
    return table


def fitted_table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1, width: int | None = None) -> Table:
    """A table in which names are shortened, in their middle, where it would be wider than the terminal.

    Numbers never are, nor names that would be alike then; a table that cannot fit keeps its natural width.

    Args:
        head: names of the columns.
        rows: cells.
        texts: so many columns on the left hold names, the others numbers.
        width: default: that of the terminal, 80 where there is none.
    """
    lines = [[plain(cell).plain for cell in row] for row in (head, *rows)]
    width = width or Console().width
    longest = max(len(cell) for line in lines for cell in line)
    tries = (_shortened(lines, texts, most) for most in range(longest, _SHORTEST - 1, -1))
    fitting = (found for found in tries if _width(found) <= width)
    head, *rows = next((found for found in fitting if _as_different(found, lines)), lines)
    table = Table(box=None)
    for index, name in enumerate(head):
        table.add_column(Text(name), justify="left" if index < texts else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _shortened(lines: Sequence[Sequence[str]], texts: int, most: int) -> list[list[str]]:
    head, *rows = lines
    short = [[*(_middle(cell, most) for cell in row[:texts]), *row[texts:]] for row in rows]
    return [[_middle(cell, most) for cell in head], *short]


def _middle(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def _width(lines: Sequence[Sequence[str]]) -> int:
    """With the two blanks between columns."""
    return sum(2 + max(map(cell_len, column)) for column in zip(*lines, strict=True))


def _as_different(short: Sequence[Sequence[str]], lines: Sequence[Sequence[str]]) -> bool:
    """Whether the cells of the head and of each column are as many different ones as before."""
    sides = ([found[0], *zip(*found[1:], strict=True)] for found in (short, lines))
    return all(len(set(cells)) == len(set(full)) for cells, full in zip(*sides, strict=True))


def paragraphs(lines: Iterable[str]) -> str:
    """Prose, each line a paragraph, broken between words where it would be wider than the terminal."""
    width = Console().width
    return "\n".join(fill(plain(line).plain, width, break_long_words=False, break_on_hyphens=False) for line in lines)


def plain(text: str) -> Text:
    """Text that others wrote (names of files and classes), on one line and without any meaning to the terminal."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def print_parts(*parts: Table | str) -> None:
    """Print tables and paragraphs with a blank line between them, uncut, however narrow the terminal is."""
    console = Console(soft_wrap=True)
    for part in parts:
        if isinstance(part, Table):
            widest = console.measure(part, options=console.options.update(width=10_000)).maximum
            console.width = max(console.width, widest)
    with console.capture() as capture:
        for i, part in enumerate(parts):
            if i:
                console.print()
            console.print(part if isinstance(part, Table) else Text(part))
    write("\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n")


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A bar on the error stream where that is a terminal; give what it yields (done, all)."""
    console = Console(stderr=True)
    # Refreshed when there is news alone: a thread for it would take its time from the reading.
    with Bar(console=console, auto_refresh=False, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title)
        shown = 0.0

        def show(done: int, total: int) -> None:
            nonlocal shown
            if time.monotonic() - shown >= _REFRESH or done == total:
                shown = time.monotonic()
                bar.update(task, completed=done, total=total, refresh=True)

        yield show
