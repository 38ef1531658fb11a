"""What the actions on data print, and the progress that they show."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from classaware.commands.recipes import write
from classaware.data.parallel import Progress

_REFRESH = 0.1  # seconds


def make_table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """An empty table whose lines are never broken; the columns named in ``numbers`` are flush right."""
    table = Table(box=None)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in numbers else "left", no_wrap=True)
    return table


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
