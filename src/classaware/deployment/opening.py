"""A trained network, whatever kind of file it lies in."""

from pathlib import Path

from classaware.deployment.exported import ExportedNetwork, is_exported, load_exported
from classaware.errors import InputError
from classaware.models import Segmenter
from classaware.training.card import NetworkCard, load_network
from classaware.training.card_fields import check_fields


def open_network(path: Path) -> tuple[Segmenter | ExportedNetwork, NetworkCard]:
    """A network ready to predict, in eval mode, and its card.

    Args:
        path: a checkpoint of ``classaware fit``, released weights (.safetensors), a folder that ``save_pretrained``
            wrote, or an exported file (.onnx, .pt2).

    Raises:
        InputError: the file is missing, damaged, or none of these; a package that it needs is missing.
    """
    if not is_exported(path):
        return load_network(path)
    exported = load_exported(path)
    try:
        check_fields(exported[1])
    except InputError as error:
        raise InputError(f"{path} was changed ({error}): export it again.") from error
    return exported
