"""With which arguments a training was begun, so that none goes on with others."""

import json
from collections.abc import Sequence
from pathlib import Path

from classaware.errors import InputError
from classaware.files import write_json
from classaware.study.loading import first_change
from classaware.study.plan import Cell

_BEGUN = "study.json"
_CHECKPOINTS = ("last.ckpt", "previous.ckpt")


def note_begin(run: Path, arguments: Sequence[str]) -> None:
    """Write down what a training is begun with; nothing where it goes on.

    Raises:
        InputError: the folder cannot be written to.
    """
    if not has_begun(run):
        write_json(run / _BEGUN, {"arguments": list(arguments)})


def check_begun(run: Path, arguments: Sequence[str], cell: Cell) -> None:
    """Find out whether a training that has begun can go on; its length, for one, shapes the learning rate.

    Args:
        run: folder of the training.
        arguments: of ``classaware fit``, as the study has them now.
        cell: which it is.

    Raises:
        InputError: it was begun with other arguments.
    """
    if not has_begun(run):
        return
    try:
        before = [str(argument) for argument in json.loads((run / _BEGUN).read_bytes())["arguments"]]
    except (OSError, ValueError, KeyError, TypeError):  # begun by hand, and compared by fit itself
        return
    if change := first_change(before, arguments):
        raise InputError(
            f"the training of {cell} was begun with {change[0]} where the study's file now says {change[1]}: choose "
            f"another --output, or remove {run} to begin anew."
        )


def has_begun(run: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return any((run / name).exists() for name in _CHECKPOINTS)
