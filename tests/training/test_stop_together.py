"""Several processes stop before the same step, whichever of them was asked to."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gloo
import torch.distributed as dist

from classaware.training.preemption import StopSignals


def together() -> dict[str, Any]:
    """The last process gets SIGTERM before its step 6; then the first one before its batch 6 of validation."""
    rank, size = dist.get_rank(), dist.get_world_size()
    found: dict[str, Any] = {}
    for name in ("training", "validation"):
        stop = StopSignals()
        stop.prepare(SimpleNamespace(world_size=size))  # type: ignore[arg-type]
        batches = 12 if rank else 11
        if name == "validation":
            stop.begin_validation(batches)
        for number in range(batches):
            if rank == (size - 1 if name == "training" else 0) and number == 6:
                stop._notice(signal.SIGTERM, None)
            if asked := stop.before_step() if name == "training" else stop.before_validation(number):
                found[name] = [number, asked]
                break
        stop.restore()
    quiet = StopSignals()
    quiet.prepare(SimpleNamespace(world_size=size))  # type: ignore[arg-type]
    quiet.begin_validation(10 + (rank == 0))  # an eleventh batch, before which only one process could ask
    found["quiet"] = [quiet.before_validation(number) for number in range(10 + (rank == 0))]
    quiet.restore()
    return found


def test_all_processes_stop_before_the_same_step(tmp_path: Path) -> None:
    for size, results in gloo.run(together, tmp_path).items():
        assert len(results) == size
        for rank, found in enumerate(results):
            assert found["training"] == found["validation"] == [6, signal.SIGTERM]
            assert found["quiet"] == [0] * (10 + (rank == 0))
