"""Which networks a command looks at: checkpoints of ours, or anybody's modules by their Python path."""

import sys
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from classaware.commands.configuration import plain_values
from classaware.data import SegmentationDataset
from classaware.deployment.exported import ExportedNetwork, is_exported
from classaware.deployment.opening import open_network
from classaware.errors import InputError
from classaware.models import ForeignNetwork, Network
from classaware.training.card import LAST, NetworkCard, build_dataset, is_trusted, network_sha256, trained_steps
from classaware.training.folder import is_network_folder

FORM = (
    "a checkpoint, the folder of a run (its last.ckpt) or by save_pretrained, an exported file (.onnx, .pt2; without "
    "features), or MODULE:ATTRIBUTE: a Python module's network, or a function that makes one; where features are "
    "needed MODULE:ATTRIBUTE@LAYER, the layer whose output they are"
)


@dataclass(frozen=True, eq=False)
class Named:
    """A network as it was named.

    Attributes:
        given: what the user wrote.
        checkpoint: its file, or its folder by ``save_pretrained``; None for a Python path.
        network: in eval mode, on the CPU.
        card: of the checkpoint; None for a Python path.
    """

    given: str
    checkpoint: Path | None
    network: Network
    card: NetworkCard | None

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where the weights come from: "path", "sha256", "step"; None where a Python path does not say it."""
        path = self.checkpoint
        if path is None:
            return {"path": self.given, "sha256": None, "step": None}
        network = self.network
        step = network.description["step"] if isinstance(network, ExportedNetwork) else trained_steps(path)
        return {"path": self.given, "sha256": network_sha256(path), "step": step}

    def training(self) -> dict[str, Any]:
        """What the card says of the training; nothing without one."""
        if self.card is None:
            return {}
        known = self.card.training
        return known | ({} if "configuration" in known else {"network": self.card.network})


def check_features(networks: Sequence[Named]) -> None:
    """Refuse networks without features, where these are looked at.

    Raises:
        InputError: one of them.
    """
    for each in networks:
        if isinstance(each.network, ForeignNetwork) and each.network.layer is None:
            raise InputError(
                f"network {each.given!r} does not say which layer its features are, and here they are needed: a Python "
                "path with features has the form MODULE:ATTRIBUTE@LAYER."
            )
        if isinstance(each.network, ExportedNetwork):
            raise InputError(
                f"{each.given} is an exported network, which has no features, and here they are needed: give the "
                "checkpoint that it was made from."
            )


def open_networks(
    given: Sequence[str], dataset: SegmentationDataset | None, arguments: dict[str, Any] | None
) -> tuple[list[Named], SegmentationDataset, dict[str, Any]]:
    """The networks, their data set (the one that is given, or that of the first card), and its arguments, plain values.

    Raises:
        InputError: as `open_subjects`.
    """
    paths = [_checkpoint(text) for text in given]
    loaded = {path: open_network(path) for path in paths if path is not None}
    if dataset is None:
        cards = [card for _, card in loaded.values()]
        if not cards:
            raise InputError(f"network {given[0]!r} does not say what it was trained on: give --dataset.")
        arguments = cards[0].dataset
        dataset = open_dataset(arguments, next(iter(loaded)))
        for path, (_, card) in loaded.items():
            _check_classes(path, card, cards[0])
    networks = [
        _foreign(text, dataset.num_classes) if path is None else Named(text, path, *loaded[path])
        for text, path in zip(given, paths, strict=True)
    ]
    for each in networks:
        if each.network.num_classes != dataset.num_classes:
            raise InputError(
                f"the network {each.given} predicts {each.network.num_classes} classes, the data set has "
                f"{dataset.num_classes}: use a data set with the classes of the training."
            )
    return networks, dataset, plain_values(arguments)


def open_dataset(arguments: Any, source: Path | None) -> SegmentationDataset:
    """The data set that a file names.

    Args:
        arguments: of it, as the file has them.
        source: the file.

    Raises:
        InputError: it names none, or one that is not there.
    """
    try:
        if not isinstance(arguments, dict):
            raise InputError("it does not say which")
        given_away = source is not None and (is_exported(source) or not is_trusted(source))
        return build_dataset(arguments, trusted=not given_away)
    except (ValueError, TypeError, LookupError, AttributeError, ImportError, ArgumentError, OSError) as error:
        reason = str(error).strip().rstrip(".")
        raise InputError(f"the data set of {source} cannot be opened ({reason}): name it by --dataset.") from error


def _check_classes(path: Path, card: NetworkCard, first: NetworkCard) -> None:
    """As many classes need not be the same ones; with --dataset the user answers for that."""
    pairs = zip(card.class_names, first.class_names, strict=False)
    odd = next((i for i, names in enumerate(pairs) if names[0] != names[1]), None)
    if odd is not None and len(card.class_names) == len(first.class_names):
        raise InputError(
            f"{path} was trained on other classes than the first network: number {odd} is "
            f"{card.class_names[odd]!r} and {first.class_names[odd]!r}. Give networks of one data set, or, where only "
            "the names differ, --dataset."
        )


def _checkpoint(text: str) -> Path | None:
    """The file that is meant, or None for a Python path."""
    path = Path(text)
    if path.is_dir():
        return path if is_network_folder(path) else path / LAST
    if path.exists() or path.suffix in (".ckpt", ".safetensors") or is_exported(path) or ":" not in text:
        return path
    return None


def _foreign(text: str, num_classes: int) -> Named:
    target, at, layer = text.partition("@")
    module, _, attribute = target.partition(":")
    if not (module and attribute and bool(at) == bool(layer)):
        raise InputError(
            f"network {text!r} is no file; a Python path has the form MODULE:ATTRIBUTE, or MODULE:ATTRIBUTE@LAYER."
        )
    network = _import(text, module, attribute)
    if not isinstance(network, nn.Module):
        raise InputError(f"network {text!r}: {attribute} gives {type(network).__name__}, not a torch.nn.Module.")
    return Named(text, None, ForeignNetwork(network, layer or None, num_classes, text).eval(), None)


def _import(text: str, module: str, attribute: str) -> Any:
    """What a Python path names; a function is called."""
    if str(Path.cwd()) not in sys.path:  # as 'python script.py' there would find it
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return found if isinstance(found, nn.Module) else found()
    except (Exception, SystemExit) as error:  # whatever another's code raises
        raise InputError(f"network {text!r} cannot be made: {type(error).__name__}: {error}") from error
