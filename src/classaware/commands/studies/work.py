"""One cell of a study: the training, then everything that is measured. A process of its own, so that one that crashes
takes no other with it: ``python -m classaware.commands.studies.work ORDER``."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from classaware.commands.main import guarded
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
        device: on which it is measured.
    """

    cell: Cell
    arguments: tuple[str, ...]
    resolved: tuple[str, ...]
    splits: tuple[str, ...]
    train_split: str | None
    run: Path
    result: Path
    device: str

    def to_json(self) -> str:
        """One argument of a command line."""
        return json.dumps(self._asdict() | {"run": str(self.run), "result": str(self.result)})

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """What `to_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        run, result = Path(content["run"]), Path(content["result"])
        rest = {"cell": Cell(*content["cell"]), "run": run, "result": result}
        lists = {name: tuple(content[name]) for name in ("arguments", "resolved", "splits")}
        return cls(**content | rest | lists)


def work(order: Order) -> None:
    """Train, or go on, or see that it is trained; then measure."""
    from classaware.commands import fit

    fit.run([*order.resolved, f"--output={order.run}", "--resume=true"])
    from classaware.commands.studies.measuring import measure_cell  # after what may take hours, and slow to import

    measure_cell(order)


def main(arguments: Sequence[str]) -> int:
    """Do one order; an expected error is one line, as at the command line."""
    return guarded("study", lambda: work(Order.from_json(arguments[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
