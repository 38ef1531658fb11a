"""What the commands that run a trained network have in common."""

from pathlib import Path

import torch
from jsonargparse import ArgumentParser

from classaware.errors import InputError


def add_inference_arguments(parser: ArgumentParser) -> None:
    """Which network, at which size, where."""
    parser.add_argument("checkpoint", type=Path, help="written by 'classaware fit'")
    parser.add_argument("--image_size", type=tuple[int, int] | None, default=None, help="default: as in training")
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, ...; auto: cuda where there is one")


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU; anything else is torch's own name of a device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used here: use cpu, or auto.") from error
    return device
