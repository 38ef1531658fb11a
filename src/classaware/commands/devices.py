"""Where a network runs."""

import torch

from classaware.errors import InputError


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
