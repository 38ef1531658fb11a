"""Locks of files that end with the process that holds them, however it ends.

Record locks: network file systems have them, and they do not pass to forked processes, such as those that read images
and outlive a killed run for seconds, as the locks of ``flock`` do.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classaware.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path, wait: bool = False, named: Path | None = None) -> Iterator[bool]:
    """Hold the lock of a file; gives False where another process holds it. Made where it is missing, and left there.

    Not to be asked for what this process holds already: it would be let go of. File systems without locks are used
    without them.

    Args:
        path: of the file.
        wait: until whoever holds it lets go.
        named: what an error says cannot be written; None: the file.

    Raises:
        InputError: the file cannot be made.
    """
    if fcntl is None:
        yield True
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(f"cannot write {named or path} ({error.strerror}): choose another --output.") from error
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            mine = True
        except (BlockingIOError, PermissionError):
            mine = False
        except OSError:
            mine = True
        yield mine
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of a file, which need not be there."""
    if fcntl is None or not path.exists():
        return False
    with locked(path) as mine:
        return not mine
