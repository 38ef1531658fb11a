"""A trained network as a traced program that needs none of this package's code to run."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from classaware.deployment.free_sizes import replace_layers
from classaware.errors import InputError
from classaware.models import Segmenter

INPUT, OUTPUT = "images", "logits"
# Older ones ask about the sizes in max pooling.
TRACES_FREE_SIZES = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 13)
# From here on the coarsest map (stride 32) has two rows and columns: what is traced of free sizes is not true of one.
SMALLEST_SIDE = 33
_TRACED = (2, 145, 177)  # images, height and width of the example; no multiple of any stride
# What a graph remembers of the source it was traced from: names of places on this machine.
_ORIGINS = ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node")


class InferenceNetwork(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to logits alone, at the images' size or at the features'.

    Args:
        network: folded, in eval mode.
        full_size: bring the logits to the size of the images, bilinear with aligned corners.
    """

    def __init__(self, network: nn.Module, full_size: bool) -> None:
        super().__init__()
        self.network = network
        self.full_size = full_size

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 to (B, K, H, W), or (B, K, h, w)."""
        logits: Tensor = self.network(images).logits
        if self.full_size:
            logits = F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=True)
        return logits


def trace(network: Segmenter, size: tuple[int, int] | None, full_size: bool) -> ExportedProgram:
    """The folded network as a program of torch's own operators, for any number of images.

    Args:
        network: on the CPU; it stays as it is.
        size: (height, width) of the images that it is for; None: any, from ``SMALLEST_SIDE`` up.
        full_size: see :class:`InferenceNetwork`.

    Raises:
        InputError: it cannot be traced with free sizes.
    """
    name = network.backbone.name
    if size is None and name.startswith("swin"):
        raise InputError(
            f"backbone {name} cannot be exported for images of any size (its windows and their masks belong to one): "
            "give --size [HEIGHT,WIDTH] to export it for that size alone."
        )
    free: dict[int, Dim] = {0: Dim("batch", min=1)}
    if size is None:
        free |= {2: Dim("height", min=SMALLEST_SIDE), 3: Dim("width", min=SMALLEST_SIDE)}
    example = torch.zeros(_TRACED[0], 3, *(size or _TRACED[1:]))
    folded = network.fold()
    if size is None:
        replace_layers(folded)
    wrapped = InferenceNetwork(folded, full_size).eval().requires_grad_(False)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(wrapped, (example,), dynamic_shapes={INPUT: free}, strict=False)
    except Exception as error:  # whatever a layer of any of timm's networks makes the tracer raise
        reason = (str(error).strip().splitlines() or [""])[0].partition("! For more")[0][:200]
        wanted = "of any size" if size is None else f"of {size[0]} x {size[1]}"
        cure = "give --size [HEIGHT,WIDTH] to export it for that size alone" if size is None else "try another size"
        if size is None and not TRACES_FREE_SIZES:
            cure += f", or use torch 2.13 or newer (this is {torch.__version__})"
        raise InputError(
            f"the network with backbone {name} cannot be exported for images {wanted} ({type(error).__name__}: "
            f"{reason}): {cure}."
        ) from error
    _forget_origins(program)
    return program


def _forget_origins(program: ExportedProgram) -> None:
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in _ORIGINS:
                    node.meta.pop(key, None)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters print, log and warn about."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
