"""What another process holds while a test looks."""

import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

Holder = Callable[[Callable[[], object]], BaseProcess]


def hold(context: Callable[[], object], sender: Connection) -> None:
    """Enter a context, say what it gave, and stay in it; to be run in a process of its own."""
    with context() as mine:  # type: ignore[attr-defined]
        sender.send(mine)
        signal.pause()
