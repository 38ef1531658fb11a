"""One cell after the other, each in a process of its own, shared with whoever works in the same folder."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from classaware.commands.studies.work import Order
from classaware.errors import InputError
from classaware.study.begun import check_begun, note_begin
from classaware.study.places import Places
from classaware.study.plan import Cell, Study

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]
_POLL = 0.2  # seconds
_SAME = 1.0  # seconds within which signals are one: who forwards them to every process sends them twice
_WAIT = 2.0  # seconds, until one looks again whether others are through with their cells

Show = Callable[[Cell | None], None]  # is told, again and again, on which cell this process works


class Running:
    """The cells that are not done, until they are, or until it is stopped.

    Args:
        study: what to do.
        places: its folder.
        device: on which cells are measured.
        seconds: after which it stops; None: never.
        show: is called several times a second.
    """

    def __init__(self, study: Study, places: Places, device: str, seconds: float | None, show: Show) -> None:
        self.study, self.places, self.device, self.show = study, places, device, show
        self._end = None if seconds is None else time.monotonic() + seconds
        self._signaled: float | None = None
        self._child: subprocess.Popen[bytes] | None = None
        # What failed before is tried again, once.
        self._old_failures = {cell: places.failed_at(cell) for cell in study.cells}

    @property
    def stopped(self) -> bool:
        """Whether there is no more time, or a signal asked for the end."""
        return self._signaled is not None or (self._end is not None and time.monotonic() >= self._end)

    def run(self) -> None:
        """Return when every cell is done or has failed, or when it is stopped; a training is stopped between steps."""
        with self._signals():
            while not self.stopped and (open_cells := [cell for cell in self.study.cells if self._is_open(cell)]):
                if not any(self._take(cell) for cell in open_cells):
                    self._pause(_WAIT, None)

    def _is_open(self, cell: Cell) -> bool:
        if self.places.is_done(cell):
            return False
        failed_at = self.places.failed_at(cell)
        return failed_at is None or failed_at == self._old_failures[cell]

    def _take(self, cell: Cell) -> bool:
        """Do a cell if no other process does; True means that it is worth looking at all cells anew."""
        with self.places.claim(cell) as mine:
            if not mine:
                return False
            if self._is_open(cell):
                self.places.forgive(cell)
                self._do(cell)
            return True

    def _do(self, cell: Cell) -> None:
        log = self.places.log(cell)
        log.parent.mkdir(parents=True, exist_ok=True)
        try:  # another process may have begun it since the study was checked, by another state of its file
            check_begun(self.places.run(cell), self.study.arguments(cell), cell)
        except InputError as error:
            self.places.fail(cell, str(error))
            return
        note_begin(self.places.run(cell), self.study.arguments(cell))
        command = [sys.executable, "-m", "classaware.commands.studies.work", self._order(cell).to_json()]
        begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            # In a group of its own: Ctrl-C reaches this process alone, which passes it on once. Its input ends when
            # this process does.
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True
            )
            try:
                status = self._wait(cell)
            finally:
                self._end_child()
        if not self.places.is_done(cell) and not self.stopped:
            self.places.fail(cell, f"{_reason(log, begin, status)}; see {log.relative_to(self.places.folder)}")

    def _order(self, cell: Cell) -> Order:
        data = self.study.datasets[cell.dataset]
        return Order(
            cell,
            tuple(self.study.arguments(cell)),
            tuple(self.study.resolved_arguments(cell)),
            data.splits,
            data.train_split,
            self.places.run(cell),
            self.places.result(cell),
            self.places.work_lock(cell),
            self.device,
        )

    def _wait(self, cell: Cell) -> int:
        assert self._child is not None
        told = False
        while self._child.poll() is None:
            if self.stopped and not told:
                self._child.terminate()
                told = True
            self._pause(_POLL, cell)
        return self._child.returncode

    def _end_child(self) -> None:
        """Whatever happened here, none goes on that nobody waits for."""
        assert self._child is not None
        with self._child:  # waits
            self._child.terminate()  # of no account where it has ended
        self._child = None

    def _pause(self, seconds: float, cell: Cell | None) -> None:
        end = time.monotonic() + seconds
        self.show(cell)
        while time.monotonic() < end and (self._child is not None or not self.stopped):
            time.sleep(min(_POLL, seconds))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._notice) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signaled is None:
            self._signaled = now
        elif self._child is not None and now - self._signaled > _SAME:  # the second time: at once
            self._child.kill()


def _reason(log: Path, begin: int, status: int) -> str:
    """The last line that the process wrote, or what ended it."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"ended by {name}" + (" (not enough memory?)" if name == "SIGKILL" else "")
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f"{lines[-1] if lines else 'it wrote nothing'} (status {status})"
