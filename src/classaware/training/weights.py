"""Released weights: a network and its card as one .safetensors file, without anything that only training needs."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from classaware.errors import InputError
from classaware.files import write_atomically
from classaware.training.folder import portable

SUFFIX = ".safetensors"
_CARD = "classaware"  # of the metadata: {"card": ..., "step": ...} as JSON


def is_released(path: Path) -> bool:
    """Whether the file is one of released weights, by the end of its name."""
    return path.suffix.lower() == SUFFIX


def write_weights(path: Path, state: dict[str, Tensor], card: dict[str, Any], step: int | None) -> None:
    """Write a network's state dict, with its card in the file's metadata; whole or not at all.

    Places on this machine that the card names are reduced to their last part.

    Args:
        path: ends with ``.safetensors``.
        state: of the network itself.
        card: ``NetworkCard.to_dict()``.
        step: how many steps it was trained.

    Raises:
        InputError: the name has another end, or the place cannot be written to.
    """
    if not is_released(path):
        raise InputError(f"weights file {path} must be named *{SUFFIX}.")
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    # One entry: of several the library would write another order each time, and a file another checksum.
    write_atomically(path, save(tensors, {_CARD: json.dumps({"card": portable(card), "step": step})}))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], int | None]:
    """State dict, card and step of what :func:`write_weights` wrote.

    Raises:
        InputError: the file is missing, damaged, or has no card.
    """
    if not path.is_file():
        raise InputError(f"weights file {path} does not exist.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
        content = json.loads(metadata.get(_CARD, "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"weights file {path} cannot be read ({type(error).__name__}): it is damaged, cut short, or no "
            f"{SUFFIX} file. Get it again."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("card"), dict):
        raise InputError(
            f"weights file {path} was not written by 'classaware weights': it does not say what its network is. "
            "Weights of a backbone alone belong to network.backbone.weights."
        )
    return state, content["card"], content.get("step")
