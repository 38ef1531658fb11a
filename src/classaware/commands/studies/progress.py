"""The state of a study's cells, as a table that is drawn while they run."""

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from classaware.study.cell import read_cell
from classaware.study.places import Places
from classaware.study.plan import Cell, Study

_EVERY = 1.0  # seconds


class Board:
    """Draws one row a data set, network and variant, one column a seed; lines instead where the output is a file.

    Args:
        study: whose cells.
        places: its folder.
        console: where to draw.
    """

    def __init__(self, study: Study, places: Places, console: Console) -> None:
        self.study, self.places, self.console = study, places, console
        self._live: Live | None = None
        self._drawn = 0.0
        self._scores: dict[Cell, str] = {}
        self._said = ""

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw it until the end."""
        if not self.console.is_terminal:
            yield
            return
        with Live(self.table(None), console=self.console, refresh_per_second=2) as self._live:
            yield
            self._live.update(self.table(None))

    def show(self, cell: Cell | None) -> None:
        """Draw anew, at most once a second; ``cell`` is what this process works on; None: it waits."""
        if self._live is None:
            line = "waiting for the cells of other processes" if cell is None else str(cell)
            if line != self._said:
                self.console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._said = line
        elif time.monotonic() - self._drawn > _EVERY:
            self._live.update(self.table(cell))
            self._drawn = time.monotonic()

    def table(self, current: Cell | None) -> Table:
        """Every cell: mIoU in percent where it is done, else what becomes of it."""
        cells, seeds = self.study.cells, sorted({cell.seed for cell in self.study.cells})
        done = sum(self.places.is_done(cell) for cell in cells)
        table = Table(title=Text(f"{self.study.name}: {done} of {len(cells)} cells done"))
        for name in ("data set", "network", "variant"):
            table.add_column(name, overflow="fold")
        for seed in seeds:
            table.add_column(f"seed {seed}", justify="right")
        rows = dict.fromkeys(cell[:3] for cell in sorted(cells, key=self._place))
        for row in rows:
            entries = [Cell(*row, seed) for seed in seeds]
            table.add_row(*row, *(self._state(cell, cell == current) if cell in cells else "" for cell in entries))
        return table

    def _place(self, cell: Cell) -> tuple[int, ...]:
        axes = (self.study.datasets, self.study.networks, self.study.variants)
        return tuple(list(axis).index(name) for axis, name in zip(axes, cell[:3], strict=True))

    def _state(self, cell: Cell, mine: bool) -> str:
        if cell not in self._scores and (result := read_cell(self.places.result(cell))) is not None:
            self._scores[cell] = " ".join(f"{100 * numbers.mean_iou:.2f}" for numbers in result.splits.values())
        if cell in self._scores:
            return self._scores[cell]
        if mine or self.places.is_worked_on(cell):
            return how_far(self.places.run(cell))
        if self.places.failure(cell) is not None:
            return "failed"
        return "begun" if self.places.run(cell).exists() else "-"


def how_far(run: Path) -> str:
    """How far a training is, such as "40 %"; "measured" when it is through."""
    try:
        with (run / "logs" / "metrics.csv").open(encoding="utf-8", newline="") as file:
            step = max(int(row["step"]) for row in csv.DictReader(file) if row.get("step"))
        steps = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["trainer"]["max_steps"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return "begins"
    return "measured" if step + 1 >= steps else f"{100 * step // steps} %"
