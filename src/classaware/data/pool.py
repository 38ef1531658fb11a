"""Many originals converted by several processes, in order, with little in flight, and stopped at once."""

import os
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import Event
from threading import Thread, current_thread, main_thread
from types import FrameType

from classaware.data.conversion import Conversion
from classaware.data.manifest import FileRow
from classaware.data.sources.base import Original
from classaware.errors import InputError

_CHUNK = 8  # originals sent at once
_AHEAD = 4  # chunks in flight for every process

_stop: Event | None = None  # of a worker process


def convert_all(
    conversion: Conversion, originals: Sequence[Original], workers: int
) -> Generator[FileRow | str, None, None]:
    """What ``conversion`` says of every original, in their order; close it to stop the workers.

    Raises:
        InputError: what ``conversion`` raises, or a worker that was ended from outside.
    """
    if workers == 1 or len(originals) <= _CHUNK:
        yield from map(conversion, originals)
        return
    context = _context()
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, _start, (stop,))
    pending: deque[Future[list[FileRow | str]]] = deque()
    try:
        for begin in range(0, len(originals), _CHUNK):
            with _deaf():
                pending.append(pool.submit(_convert, conversion, originals[begin : begin + _CHUNK]))
            if len(pending) >= workers * _AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was ended from outside, mostly for want of memory: run the same command again with fewer "
            "workers (one works without further processes)."
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    """Not "fork", whose children inherit the locks of threads that they do not have; the imports are done once."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes begun in here never hear the keyboard, not even while they import; this one hears it afterwards.

    Interrupted while it begins one, the pool would not know of it.
    """
    heard: list[tuple[int, FrameType | None]] = []
    handler = None
    if current_thread() is main_thread():
        handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    masks = hasattr(signal, "pthread_sigmask")  # not on Windows
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if heard and callable(handler):
            handler(*heard[0])


def _start(stop: Event) -> None:
    """In a worker: it stops when it is told to, not by the keyboard, and ends with its parent however that ends."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _convert(conversion: Conversion, originals: Sequence[Original]) -> list[FileRow | str]:
    results: list[FileRow | str] = []
    for original in originals:
        if _stop is not None and _stop.is_set():
            break  # nobody takes the results
        results.append(conversion(original))
    return results
