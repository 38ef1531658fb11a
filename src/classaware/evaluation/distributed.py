"""One evaluation by several processes, such as ``torchrun`` starts."""

import os
from argparse import ArgumentError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch.distributed as dist

from classaware.errors import InputError

Result = TypeVar("Result")
# One may wait for another by as long as a whole evaluation takes; torch gives up after 30 minutes.
_PATIENCE = timedelta(days=1)


class Processes(NamedTuple):
    """This process among those that work together."""

    rank: int
    size: int


@contextmanager
def processes(device: str = "cpu") -> Iterator[Processes]:
    """The processes that the environment names (``WORLD_SIZE``, ``RANK``, ...), able to exchange tensors of ``device``.

    Raises:
        InputError: an environment that does not say who belongs together.
    """
    size = _environment("WORLD_SIZE", 1)
    if size == 1:
        yield Processes(0, 1)
        return
    rank = _environment("RANK")
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"process {rank} of {size} cannot reach the others ({error}): start them with torchrun, or unset "
            "WORLD_SIZE."
        ) from error
    try:
        yield Processes(rank, size)
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Number of this process on its machine, and so of its GPU."""
    return _environment("LOCAL_RANK", 0)


def speaks() -> bool:
    """Whether this process is the one that talks to the user, also before the processes have met."""
    return _environment("WORLD_SIZE", 1) == 1 or _environment("RANK", 0) == 0


def together(work: Callable[[], Result]) -> Result:
    """Do work that needs no other process, and fail in every process if it fails in one.

    A process that alone left would make the others wait for it.

    Raises:
        InputError: in several processes, what the first of them has to say.
    """
    result: Result | None = None
    problem: str | None = None
    try:
        result = work()
    except (InputError, ArgumentError, OSError) as error:  # what a command shows as one line
        if not _several():
            raise
        problem = str(error)
    problems = [found for found in gather(problem) if found is not None]
    if problems:
        raise InputError(problems[0])
    return result  # type: ignore[return-value]  # there is one without a problem


def gather(value: Any) -> list[Any]:
    """Plain values of all processes, by rank."""
    if not _several():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _environment(name: str, default: int | None = None) -> int:
    value = os.environ.get(name)
    if value is None and default is not None:
        return default
    if value is None or not value.isdecimal():
        raise InputError(f"{name}={value!r} in the environment: several processes are to be started with torchrun.")
    return int(value)
