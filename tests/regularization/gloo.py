"""Processes on this machine's CPU, joined by torch.distributed, that run a function of a test file."""

from __future__ import annotations

import inspect
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def run(work: Callable[[], Any], folder: Path, sizes: Sequence[int] = (2, 3), seconds: float = 240) -> dict[int, list]:
    """What ``work()``, a function at the top of a module, returned in every process of a group of each of ``sizes``.

    The processes are started once; group after group is made of the first of them. Results may hold what
    ``torch.load(weights_only=True)`` reads.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}
    environment["OMP_NUM_THREADS"] = "1"
    started = []
    for rank in range(max(sizes)):
        order = [inspect.getfile(work), work.__name__, str(folder), str(rank), *map(str, sizes)]
        with (folder / f"{rank}.log").open("w") as log:
            command = [sys.executable, __file__, *order]
            started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment))
    try:
        _wait(started, time.monotonic() + seconds)
    finally:
        for process in started:
            process.kill()
            process.wait()
    logs = "\n".join((folder / f"{rank}.log").read_text()[-3000:] for rank in range(len(started)))
    assert all(process.returncode == 0 for process in started), logs
    return {size: [torch.load(folder / f"{size}-{rank}.pt") for rank in range(size)] for size in sizes}


def shares(items: Sequence[Any] | torch.Tensor, counts: Sequence[int]) -> list[Any]:
    """The first ``counts[0]`` of the items, the next ``counts[1]``, and so on."""
    assert sum(counts) == len(items)
    return [items[sum(counts[:i]) : sum(counts[: i + 1])] for i in range(len(counts))]


def averaged(gradient: torch.Tensor) -> torch.Tensor:
    """Mean over the processes, as DistributedDataParallel takes it."""
    total = gradient.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def _wait(started: list[subprocess.Popen[bytes]], until: float) -> None:
    """Until all have ended or one has failed, for the others then wait for it."""
    while time.monotonic() < until:
        codes = [process.poll() for process in started]
        if any(codes) or None not in codes:
            return
        time.sleep(0.05)


def _main(file: str, name: str, folder: str, rank: int, sizes: list[int]) -> None:
    torch.set_num_threads(1)
    work = runpy.run_path(file)[name]
    for size in sizes:
        if rank < size:
            store = f"file://{folder}/store-{size}"
            dist.init_process_group("gloo", store, timedelta(seconds=60), world_size=size, rank=rank)
            torch.save(work(), Path(folder) / f"{size}-{rank}.pt")
            dist.destroy_process_group()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), [int(size) for size in sys.argv[5:]])
