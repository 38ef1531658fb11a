"""The log of a run: one CSV file that reads the same however often the run was stopped."""

import csv
import io
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from classaware.training.saving import replacing

Row = Mapping[str, Any]


class RunLog(Logger):
    """Rows of named numbers, each written when it is known; columns in alphabetical order.

    A row that brings a new column has the whole file written anew, which happens once for training and once for
    validation. Nothing in it depends on the clock.

    Args:
        path: of the file.
        keep: go on behind the rows that are there (see :meth:`cut`); otherwise the first row begins a new file.
    """

    def __init__(self, path: Path, keep: bool = False) -> None:
        super().__init__()
        self.path = path
        self.keep = keep
        self.columns: list[str] = []
        self.rows = 0

    @property
    def name(self) -> str:
        """Lightning's name of a run; folders are named by its output."""
        return ""

    @property
    def version(self) -> str:
        """As the name."""
        return ""

    @rank_zero_only
    def cut(self, rows: int | None) -> None:
        """Keep that many rows and the columns that they use; what was logged behind them is logged again.

        None keeps all but a row that was cut short; of a log that begins anew nothing is kept. The user is told of rows
        that are not there.
        """
        if not self.keep:
            return
        kept = self._read()[:rows]
        self.columns = sorted({name for row in kept for name, value in row.items() if value})
        self.rows = len(kept)
        if rows is not None and len(kept) < rows:
            print(
                f"classaware fit: {self.path} holds {len(kept)} of the {rows} rows logged before the checkpoint: "
                "it goes on without the others.",
                file=sys.stderr,
            )
        if self.path.exists():
            self._write(kept)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a row."""
        row = {**metrics, "step": step}
        if row.keys() <= set(self.columns):
            with self.path.open("a", newline="") as file:
                file.write(self._text([row]))
        else:
            before = self._read()[: self.rows] if self.rows else []
            self.columns = sorted({*self.columns, *row})
            self._write([*before, row])
        self.rows += 1

    @rank_zero_only
    def sync(self) -> None:
        """Wait until every row is on the disk."""
        if self.rows:
            with self.path.open("ab") as file:
                os.fsync(file.fileno())

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: they are in ``config.yaml``."""

    def _read(self) -> list[dict[str, str]]:
        """Whole rows; of a file that is not there, none."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(errors="replace").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        return [row for row in csv.DictReader(whole, restval="\0") if None not in row and "\0" not in row.values()]

    def _write(self, rows: Iterable[Row]) -> None:
        header = dict(zip(self.columns, self.columns, strict=True))
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            file.write(self._text([header, *rows]))
            file.flush()
            os.fsync(file.fileno())

    def _text(self, rows: Iterable[Row]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, extrasaction="ignore", lineterminator="\n").writerows(rows)
        return text.getvalue()
