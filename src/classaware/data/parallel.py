"""One function over many files, on several cores: in order, with little in flight, and stopped at once."""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import Event
from threading import Thread
from typing import TypeVar

from classaware.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

_WORTH = 2000  # items from which further processes are worth their start of some seconds
_CHUNK = 16  # items sent at once
_AHEAD = 4  # chunks a process may be ahead of who takes the results

_stop: Event | None = None  # of a worker process


def in_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    progress: Progress | None = None,
) -> Generator[Result, None, None]:
    """Results in the items' order; what waits to be taken is bounded; close it to stop the workers.

    Args:
        function: can be pickled.
        items: what it is called with.
        workers: processes; 0 and 1 work in this one, None takes one a core where there are thousands of items.
        progress: is told (done, all) at the beginning and after every item.

    Raises:
        InputError: workers below 0, or a process that was ended from outside; and whatever ``function`` raises.
    """
    check_workers(workers)
    report = (lambda done, total: None) if progress is None else progress
    report(0, len(items))
    if workers is None:
        workers = (os.cpu_count() or 1) if len(items) >= _WORTH else 1
    count = min(workers, -(-len(items) // _CHUNK))
    if count < 2:
        for done, item in enumerate(items, 1):
            result = function(item)
            report(done, len(items))
            yield result
        return
    for done, result in enumerate(_spread(function, items, count), 1):
        report(done, len(items))
        yield result


def check_workers(workers: int | None) -> None:
    """Raise ``InputError`` for a number of processes that is none."""
    if workers is not None and workers < 0:
        raise InputError(f"workers={workers}: must be at least 0, which works without further processes.")


def _spread(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Generator[Result, None, None]:
    context = _context()
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, context, _start, (stop,))
    pending: deque[Future[list[Result]]] = deque()
    try:
        for begin in range(0, len(items), _CHUNK):
            pending.append(pool.submit(_each, function, items[begin : begin + _CHUNK]))
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


def _each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    results: list[Result] = []
    for item in items:
        if _stop is not None and _stop.is_set():
            break  # nobody takes the results
        results.append(function(item))
    return results
