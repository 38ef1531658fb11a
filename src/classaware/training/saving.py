"""Checkpoints that a power cut cannot damage, and the one before the last."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from classaware.training.card import LAST, PREVIOUS

_NEXT = "next.ckpt"


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, waits for the disk, renames; Lightning's own never waits and may copy across disks."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` whole or not at all; the file is on the disk when this returns."""
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's writer hides what the disk said
                if isinstance(error.__context__, OSError):
                    raise OSError(error.__context__.errno, error.__context__.strerror, str(path)) from error
                raise
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to, renamed to ``path`` in the end and removed after an error.

    The name is always the same one, so that what a killed process leaves there is overwritten by the next.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Wait until the folder's names are on the disk; where folders cannot be opened (Windows) nothing is done."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def next_path(folder: Path) -> Path:
    """Where the checkpoint that is to become ``last.ckpt`` is written."""
    return folder / _NEXT


def promote(folder: Path, keep_last: bool) -> None:
    """Turn the next checkpoint into ``last.ckpt`` and, with ``keep_last``, what was there into ``previous.ckpt``.

    Two renames: between them the two whole checkpoints are the next and the previous one.
    """
    last = folder / LAST
    if keep_last and last.exists():
        last.replace(folder / PREVIOUS)
        sync_folder(folder)
    next_path(folder).replace(last)
    sync_folder(folder)


def clear_leftovers(folder: Path) -> None:
    """Remove what a killed process was writing, under whatever temporary name."""
    for path in [next_path(folder), *folder.glob(".*.part")]:
        path.unlink(missing_ok=True)
