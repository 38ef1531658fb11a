"""One process at a time trains in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only

from classaware.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOCK = ".lock"


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """Hold ``output/.lock``; however the process ends, the system lets go of it.

    The first of several processes holds it for all. A record lock, for ``flock`` passes to forked processes that read
    images, which outlive a killed run for seconds. File systems without locks are used without one.

    Raises:
        InputError: another process holds it, or the folder cannot be written to.
    """
    if fcntl is None or not _first():
        yield
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(output / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(f"cannot write {output} ({error.strerror}): choose another --output.") from error
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise occupied(output) from error
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def _first() -> bool:
    return rank_zero_only.rank == 0 and os.environ.get("NODE_RANK", "0") == "0"  # type: ignore[attr-defined]


def occupied(output: Path) -> InputError:
    """What to say of a folder that another process uses."""
    return InputError(f"another process trains in {output}: wait for it, or choose another --output.")
