"""The processes that torchrun started, as Lightning has to be told of them."""

import os
from typing import Any

import pytorch_lightning as pl
import torch.distributed as dist

from classaware.errors import InputError


def follow_torchrun(options: dict[str, Any]) -> dict[str, Any]:
    """The trainer's options with as many devices and machines as torchrun started processes for.

    Lightning counts devices for itself: on a machine without GPU every process would train alone.
    """
    if not dist.is_torchelastic_launched() or options["devices"] != "auto":
        return options
    processes, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    return options | {"devices": here, "num_nodes": processes // here}


def check_processes(trainer: pl.Trainer) -> None:
    """Raise ``InputError`` where torchrun started another number of processes than are to train together."""
    processes = int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else trainer.world_size
    if processes != trainer.world_size:
        raise InputError(
            f"torchrun started {processes} processes, but trainer.devices and trainer.num_nodes are for "
            f"{trainer.world_size}: leave both out."
        )
