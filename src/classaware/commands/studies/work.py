"""One cell of a study: the training, then everything that is measured. A process of its own, so that one that crashes
takes no other with it: ``python -m classaware.commands.studies.work ORDER``."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from classaware.commands.main import guarded
from classaware.locks import locked
from classaware.study.plan import Cell


class Order(NamedTuple):
    """What is to be done.

    Attributes:
        cell: its place in the grid.
        arguments: of ``classaware fit``, as the study has them.
        resolved: the same with the files' paths.
        splits: on which it is measured.
        train_split: whose labels say what is familiar; None: that is not looked at.
        run: folder of the training.
        result: folder of cell.json and the evaluations.
        lock: held while the cell is done.
        device: on which it is measured.
    """

    cell: Cell
    arguments: tuple[str, ...]
    resolved: tuple[str, ...]
    splits: tuple[str, ...]
    train_split: str | None
    run: Path
    result: Path
    lock: Path
    device: str

    def to_json(self) -> str:
        """One argument of a command line."""
        return json.dumps(self._asdict(), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """What `to_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        paths = {name: Path(content[name]) for name in ("run", "result", "lock")}
        lists = {name: tuple(content[name]) for name in ("arguments", "resolved", "splits")}
        return cls(**content | paths | lists | {"cell": Cell(*content["cell"])})


def train(order: Order) -> None:
    """Train, or go on, or see that it is trained."""
    from classaware.commands import fit

    fit.run([*order.resolved, f"--output={order.run}", "--resume=true"])


def work(order: Order) -> None:
    """Train, or go on, or see that it is trained; then measure."""
    train(order)
    import torch.distributed as dist  # after what may take hours, and slow to import

    from classaware.commands.studies.measuring import measure_cell

    if dist.is_initialized():  # the processes of the other devices have ended
        dist.destroy_process_group()
    measure_cell(order)


def main(arguments: Sequence[str]) -> int:
    """Do one order; an expected error is one line, as at the command line."""
    order = Order.from_json(arguments[0])
    if not _first():
        return guarded("study", lambda: train(order))
    Thread(target=_end_with_study, daemon=True).start()
    with locked(order.lock, wait=True):
        return guarded("study", lambda: work(order))


def _first() -> bool:
    """Where several devices train one network, the trainer starts this program anew for all but the first."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _end_with_study() -> None:
    """Whoever kills the study does not mean to leave a training behind: stop as if asked to, with all that is done.

    The study holds the other end of this process's input, and writes nothing there.
    """
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
