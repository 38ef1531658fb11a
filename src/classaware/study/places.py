"""Where everything of a study lies, and who works on which cell."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from classaware.files import write_atomically
from classaware.locks import is_locked, locked
from classaware.study.cell import RESULT
from classaware.study.plan import Cell


class Places:
    """The folder of a study.

    ``cells`` holds the results, small enough to be kept under version control; ``runs`` the trainings, which may be
    removed when their cells are done; ``logs`` what the trainings printed; ``failed`` why a cell failed; ``locks`` who
    works on what.

    A lock is the system's (a POSIX record lock, which network file systems have too): however a process ends, it is
    gone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def result(self, cell: Cell) -> Path:
        """Folder of cell.json and the evaluations."""
        return self.folder / "cells" / cell.folder

    def run(self, cell: Cell) -> Path:
        """Output of the training."""
        return self.folder / "runs" / cell.folder

    def log(self, cell: Cell) -> Path:
        """What the training printed."""
        return self.folder / "logs" / cell.folder.with_suffix(".txt")

    def is_done(self, cell: Cell) -> bool:
        """Whether its cell.json is there."""
        return (self.result(cell) / RESULT).is_file()

    def failure(self, cell: Cell) -> str | None:
        """Why the cell failed, or None."""
        try:
            return self._failure(cell).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def failed_at(self, cell: Cell) -> int | None:
        """Tells one failure of a cell from the next; None where it has not failed."""
        try:
            return self._failure(cell).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def fail(self, cell: Cell, reason: str) -> None:
        """Say why a cell failed."""
        write_atomically(self._failure(cell), reason.encode("utf-8", "replace"))

    def forgive(self, cell: Cell) -> None:
        """Forget that a cell failed."""
        with suppress(FileNotFoundError):
            self._failure(cell).unlink()

    def _failure(self, cell: Cell) -> Path:
        return self.folder / "failed" / cell.folder.with_suffix(".txt")

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[bool]:
        """Be the one that starts a cell; gives False where another process is.

        So does a training that goes on though the process which started it has gone, or that somebody started by hand.

        Raises:
            InputError: the folder cannot be written to.
        """
        with locked(self._lock(cell, ".lock")) as mine:
            yield mine and not self.is_worked_on(cell) and not is_locked(self.run(cell) / ".lock")

    def work_lock(self, cell: Cell) -> Path:
        """What the process that does a cell holds from beginning to end.

        Apart from the lock of the training's folder, and waited for: nobody's look at it makes a training fail.
        """
        return self._lock(cell, ".work")

    def is_worked_on(self, cell: Cell) -> bool:
        """Whether a process does it."""
        return is_locked(self.work_lock(cell))

    def _lock(self, cell: Cell, kind: str) -> Path:
        return self.folder / "locks" / cell.folder.with_suffix(kind)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Write the results; waits for whoever does."""
        with locked(self.folder / "locks" / "results.lock", wait=True):
            yield
