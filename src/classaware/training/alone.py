"""One process at a time trains in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only

from classaware.errors import InputError
from classaware.locks import locked

_LOCK = ".lock"


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """Hold ``output/.lock``; however the process ends, the system lets go of it.

    The first of several processes holds it for all. File systems without locks are used without one.

    Raises:
        InputError: another process holds it, or the folder cannot be written to.
    """
    if not _first():
        yield
        return
    with locked(output / _LOCK, named=output) as mine:
        if not mine:
            raise occupied(output)
        yield


def _first() -> bool:
    return rank_zero_only.rank == 0 and os.environ.get("NODE_RANK", "0") == "0"  # type: ignore[attr-defined]


def occupied(output: Path) -> InputError:
    """What to say of a folder that another process uses."""
    return InputError(f"another process trains in {output}: wait for it, or choose another --output.")
