"""A traced program as a file of ``torch.export``, and such a file as a function."""

import io
import json
from collections.abc import Callable
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from classaware.deployment.tracing import quiet

_EXTRA = "classaware.json"  # of the archive's extra files


def convert(program: ExportedProgram) -> ExportedProgram:
    """The program as it is: it is of this format already."""
    return program


def write(program: ExportedProgram, description: dict[str, Any]) -> bytes:
    """The content of the file; the same for the same program and description."""
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer, extra_files={_EXTRA: json.dumps(description)})
    return buffer.getvalue()


def read(content: bytes) -> tuple[str | None, Callable[[Tensor], Tensor]]:
    """What the extra file says (None: there is none), and the network as a function of images.

    A file of this kind can hold anything that torch's reader would execute: open only those of people you trust.

    Raises:
        Exception: whatever torch raises for a damaged file, or one of another version.
    """
    with ZipFile(io.BytesIO(content)) as archive:  # torch itself does not look at the checksums
        if archive.testzip() is not None:
            raise BadZipFile("wrong checksum")
        extra = [name for name in archive.namelist() if name.endswith(f"/extra/{_EXTRA}")]
        described = archive.read(extra[0]).decode() if extra else None
    if described is None:
        return None, _no_program
    with quiet():
        program = torch.export.load(io.BytesIO(content))
    return described, ProgramRunner(program)


def _no_program(images: Tensor) -> Tensor:
    raise RuntimeError("a file without a description is not run")


class ProgramRunner:
    """Runs a program: images (B, 3, H, W) to logits, on the images' device."""

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._device = torch.device("cpu")
        self._module = program.module()

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 to (B, K, H, W)."""
        if images.device != self._device:
            self._program = move_to_device_pass(self._program, images.device)
            self._module, self._device = self._program.module(), images.device
        logits: Tensor = self._module(images)
        return logits
