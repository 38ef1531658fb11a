"""One function over many files, on several cores."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch

from classaware.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
_CHUNK = 16  # items sent at once
_AHEAD = 4  # chunks a process may be ahead of who takes the results


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None, progress: Progress | None
) -> Iterator[Result]:
    """Results in the items' order; what waits to be taken is bounded.

    Args:
        function: can be pickled.
        items: what it is called with.
        workers: processes; 0 works in this one, None takes one a core.
        progress: is told (done, all) after every item.

    Raises:
        InputError: workers below 0, or a process that was ended from outside; and whatever ``function`` raises.
    """
    if workers is not None and workers < 0:
        raise InputError(f"workers={workers}: must be at least 0, which works without further processes.")
    report = progress or (lambda done, total: None)
    count = min(workers if workers is not None else os.cpu_count() or 1, -(-len(items) // _CHUNK))
    results = map(function, items) if count < 2 else _spread(function, items, count)
    report(0, len(items))
    for done, result in enumerate(results, 1):
        report(done, len(items))
        yield result


def _spread(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    pending: deque[Future[list[Result]]] = deque()
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for start in range(0, len(items), _CHUNK):
                pending.append(pool.submit(_each, function, items[start : start + _CHUNK]))
                if len(pending) > workers * _AHEAD:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool as error:
            raise InputError(
                "a process that reads files was ended from outside, mostly for want of memory: give --workers 0."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]
