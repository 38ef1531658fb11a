"""Everything that must hold for two runs of one seed to end with the same bits.

By construction, in every run: what is drawn (order, augmentation) is a function of the seed and the position alone;
class sums are matrix products; losses are summed without atomics; confusion matrices count integers; pooling and, in
deterministic mode, resizing are matrix products. What remains are the switches below: of torch's and of its libraries.

Left as they are, for they round but always in the same way: TF32, sums in half precision inside matrix products, and
the number of CPU threads, which has to be the same in both runs (checkpoints name it) for threads divide sums.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch

from classaware.errors import InputError


class Switch(NamedTuple):
    """One setting of torch.

    Attributes:
        name: as in torch's documentation.
        value: in deterministic mode.
        read: what it is now.
        write: set it.
        reason: what would differ without it.
    """

    name: str
    value: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]
    reason: str


class Variable(NamedTuple):
    """One environment variable, read by a library when it starts.

    Attributes:
        name: of the variable.
        values: that give determinism; the first one is set where there is none.
        reason: what would differ without it.
    """

    name: str
    values: tuple[str, ...]
    reason: str


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


SWITCHES = (
    Switch(
        "torch.use_deterministic_algorithms",
        2,  # on, and an error rather than a warning
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
        "Takes the kernels without atomic additions, and raises where there is none. Not warn_only: with it the fused "
        "attentions keep adding gradients in any order. Turns compiled code's measuring of kernels off, too.",
    ),
    Switch(
        "torch.backends.cudnn.deterministic",
        True,
        *_attribute(torch.backends.cudnn, "deterministic"),
        "cuDNN has convolutions whose gradient is summed by atomic additions.",
    ),
    Switch(
        "torch.backends.cudnn.benchmark",
        False,
        *_attribute(torch.backends.cudnn, "benchmark"),
        "It times the algorithms and takes the fastest: another one in another run, which rounds differently.",
    ),
    Switch(
        "torch.backends.cuda.enable_cudnn_sdp",
        False,
        torch.backends.cuda.cudnn_sdp_enabled,
        torch.backends.cuda.enable_cudnn_sdp,
        "cuDNN's attention has no deterministic gradient; flash and memory-efficient attention have one.",
    ),
    Switch(
        "torch.utils.deterministic.fill_uninitialized_memory",
        False,
        *_attribute(torch.utils.deterministic, "fill_uninitialized_memory"),
        "Off, for it costs a pass over every new tensor and only makes a fault repeatable that is not there: nothing "
        "here reads memory that was not written.",
    ),
)

VARIABLES = (
    Variable(
        "CUBLAS_WORKSPACE_CONFIG",
        (":4096:8", ":16:8"),
        "cuBLAS picks a workspace by which streams are busy, and with it another order of sums.",
    ),
    Variable(
        "TORCHINDUCTOR_DETERMINISTIC",
        ("1",),
        "torch.compile measures kernels, pads matrix products and scales blocks by what was fastest.",
    ),
    Variable(
        "NCCL_NVLS_ENABLE",
        ("0",),
        "Sums made inside NVLink switches (SHARP) come in no fixed order; rings and trees keep theirs.",
    ),
)


@contextmanager
def deterministic(enabled: bool = True) -> Iterator[None]:
    """Bitwise equal results for equal seeds inside, on the same machine, versions and number of threads and processes.

    An operation that cannot have them raises instead; none of this package's own does. Everything is set back after.
    To be entered before the first work on a CUDA device: cuBLAS and NCCL read their variables then.

    Args:
        enabled: False changes nothing.

    Raises:
        InputError: an environment variable is set to something else, or comes too late.
    """
    if not enabled:
        yield
        return
    with ExitStack() as restore:
        for variable in VARIABLES:
            _set_variable(variable, restore)
        for switch in SWITCHES:
            restore.callback(switch.write, switch.read())
            switch.write(switch.value)
        yield


def _set_variable(variable: Variable, restore: ExitStack) -> None:
    given = os.environ.get(variable.name)
    if given is None:
        if torch.cuda.is_initialized():
            raise InputError(
                f"deterministic: the CUDA device is in use already; set {variable.name}={variable.values[0]} in the "
                "environment before Python starts."
            )
        os.environ[variable.name] = variable.values[0]
        restore.callback(os.environ.pop, variable.name, None)
    elif given not in variable.values:
        raise InputError(
            f"deterministic: the environment variable {variable.name} is {given!r}: unset it, or make it "
            f"{' or '.join(variable.values)}."
        )


def arithmetic() -> dict[str, Any]:
    """What bits depend on beside seeds and versions, as plain values for a record of the run."""
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
