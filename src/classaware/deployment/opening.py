"""A trained network, whatever kind of file it lies in."""

from pathlib import Path

from classaware.deployment.exported import ExportedNetwork, is_exported, load_exported
from classaware.models import Segmenter
from classaware.training.card import NetworkCard, load_network


def open_network(path: Path) -> tuple[Segmenter | ExportedNetwork, NetworkCard]:
    """A network ready to predict, in eval mode, and its card.

    Args:
        path: a checkpoint of ``classaware fit``, released weights (.safetensors), a folder that ``save_pretrained``
            wrote, or an exported file (.onnx, .pt2).

    Raises:
        InputError: the file is missing, damaged, or none of these; a package that it needs is missing.
    """
    return load_exported(path) if is_exported(path) else load_network(path)
