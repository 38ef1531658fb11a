"""Sums over the processes of a distributed run, through torch.distributed alone."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def processes(group: ProcessGroup | None = None) -> int:
    """How many processes share the batch: 1 where torch.distributed is not initialized."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def sum_over_processes(value: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """The sum of ``value`` over all processes, in all of them.

    For what every process goes on with in the same way (a loss of the joint batch). Then the gradient of each
    process's term is the joint loss's gradient times the number of processes, which the averaging of DDP or FSDP takes
    away again; backward needs no communication.

    Args:
        value: floating, of the same shape in all processes.
        group: the processes that share the batch; None: all.
    """
    return value if processes(group) == 1 else _Sum.apply(value, group)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.processes = processes(group)
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.processes, None
