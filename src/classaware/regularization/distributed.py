"""Sums over the processes of a distributed run, through torch.distributed alone."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def processes(group: ProcessGroup | None = None) -> int:
    """How many processes share the batch: 1 where torch.distributed is not initialized."""
    if not (dist.is_available() and dist.is_initialized()):
        return 1
    count = dist.get_world_size(group)
    if count < 1:
        raise ValueError("process_group: this process is no member of the group. Set the group that it belongs to.")
    return count


def sum_over_processes(value: Tensor, group: ProcessGroup | None = None, alike: bool = True) -> Tensor:
    """The sum of ``value`` over all processes, in all of them.

    Its gradient is the sum of all processes' gradients: the joint loss's, times the number of processes, which the
    averaging of DDP or FSDP takes away again.

    Args:
        value: floating, of the same shape in all processes.
        group: the processes that share the batch; None: all.
        alike: every process goes on with the sum in the same way, as with a loss of the joint batch. Then the
            gradients are equal, and backward needs no communication. (The derivative of a gradient is never alike.)
    """
    return value if processes(group) == 1 else _Sum.apply(value, group, alike)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, group: ProcessGroup | None, alike: bool) -> Tensor:
        ctx.group, ctx.alike = group, alike
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if ctx.alike:
            return gradient * processes(ctx.group), None, None
        return sum_over_processes(gradient, ctx.group, alike=False), None, None
