"""What a checkpoint says about its network, and how to have the network again from it."""

import inspect
from argparse import ArgumentError
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints
from zipfile import BadZipFile, ZipFile

import torch
from jsonargparse import ArgumentParser
from torch import Tensor

from classaware.data import SegmentationDataset
from classaware.errors import InputError
from classaware.files import sha256
from classaware.models import Backbone, Segmenter
from classaware.models.heads import Head
from classaware.training.folder import WEIGHTS, NetworkFolder, is_network_folder, read_folder
from classaware.training.weights import is_released, read_weights

KEY = "classaware"  # of the card in a checkpoint

# The files of a run.
LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
BEST = "best.ckpt"


@dataclass(frozen=True)
class NetworkCard:
    """Plain values (``weights_only`` loading reads them) that rebuild a network and name what it predicts.

    Attributes:
        network: constructor arguments of :class:`Segmenter`, as in the configuration.
        class_names: name of class i.
        palette: (red, green, blue) of class i.
        ignore_index: label of pixels without a class.
        image_size: (height, width) to which images are brought first, or None for their own.
        dataset: the data set that it was trained on, as in the configuration.
        inference: arguments of :class:`classaware.evaluation.Inference` with which it was validated, but for the size.
        training: what a result is to be compared by: seed, steps, batch and crop size, source of the weights, versions.
    """

    network: dict[str, Any]
    class_names: list[str]
    palette: list[list[int]]
    ignore_index: int
    image_size: list[int] | None
    dataset: dict[str, Any]
    inference: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)


def add_network_arguments(parser: ArgumentParser) -> None:
    """The groups ``network`` and ``network.backbone``: every constructor argument of both."""
    parser.add_class_arguments(Backbone, "network.backbone")
    parser.add_class_arguments(Segmenter, "network", skip={"backbone"})


def build_network(arguments: dict[str, Any]) -> Segmenter:
    """A network with random weights from a card's ``network``.

    Raises:
        TypeError: the head is anything but a head.
    """
    _check_head(arguments.get("head"))
    parser = ArgumentParser(exit_on_error=False)
    add_network_arguments(parser)
    return parser.instantiate(parser.parse_object({"network": arguments})).network


def _check_head(head: Any) -> None:
    """A card may come from anybody, and the parser would call whatever function it names, such as ``os.system``."""
    path = head.get("class_path") if isinstance(head, dict) else head
    if not isinstance(path, str):
        raise TypeError(f"{head!r:.100} names no head")
    module, _, name = path.rpartition(".")
    if not module:  # the parser looks for a subclass of that name
        return
    found: Any = getattr(import_module(module), name)
    made = get_type_hints(found).get("return") if inspect.isfunction(found) else found
    if not (isinstance(made, type) and issubclass(made, Head)):
        raise TypeError(f"{path} is no head")


def build_dataset(arguments: dict[str, Any]) -> SegmentationDataset:
    """The data set that a card's ``dataset`` names."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--dataset", type=SegmentationDataset)
    return parser.instantiate(parser.parse_object({"dataset": arguments})).dataset


def load_network(path: Path) -> tuple[Segmenter, NetworkCard]:
    """The network of a checkpoint written by ``classaware fit``, in eval mode, on the CPU, and its card.

    A file of released weights (``classaware weights``, .safetensors) or a folder that ``save_pretrained`` wrote will
    do as well.

    Raises:
        InputError: the file is missing, damaged, or not such a checkpoint.
    """
    if is_network_folder(path):
        return open_folder(path, read_folder(path))
    if is_released(path):
        state, written, _ = read_weights(path)
    else:
        checkpoint = read_checkpoint(path)
        prefix, written = "network.", checkpoint[KEY]
        named = checkpoint.get("state_dict", {}).items()
        state = {name.removeprefix(prefix): value for name, value in named if name.startswith(prefix)}
    return _rebuild(path, state, written)


def open_folder(path: Path, content: NetworkFolder, strict: bool = True) -> tuple[Segmenter, NetworkCard]:
    """The network, in eval mode, on the CPU, and the card of what `read_folder` gave.

    Args:
        path: for the errors.
        content: of the folder.
        strict: refuse weights that lack a tensor of the network, or have others.

    Raises:
        InputError: it is not the network that its card describes.
    """
    return _rebuild(path, content.state, content.card, strict)


def _rebuild(
    path: Path, state: dict[str, Tensor], written: dict[str, Any], strict: bool = True
) -> tuple[Segmenter, NetworkCard]:
    try:
        card = NetworkCard(**written)
        network = build_network(card.network)
        network.load_state_dict(state, strict=strict)
    except (TypeError, KeyError, AttributeError, RuntimeError, ValueError, ImportError, ArgumentError) as error:
        raise InputError(
            f"checkpoint {path} does not hold the network that its own card describes: it was changed, or written by "
            f"another version of classaware ({type(error).__name__})."
        ) from error
    return network.eval(), card


def trained_steps(path: Path) -> int | None:
    """How many steps the network of a checkpoint, or of released weights, was trained; None where it does not say."""
    if is_network_folder(path):
        return read_folder(path).step
    return read_weights(path)[2] if is_released(path) else read_checkpoint(path).get("global_step")


def network_sha256(path: Path) -> str:
    """Checksum of a checkpoint's file; of a folder that ``save_pretrained`` wrote that of its weights."""
    return sha256(path / WEIGHTS if is_network_folder(path) else path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, read without executing code from it, every byte of it compared with its checksum."""
    if path.is_dir():
        raise InputError(f"checkpoint {path} is a folder: give a file, such as {path / 'best.ckpt'}.")
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist.")
    try:
        with ZipFile(path) as archive:  # torch itself does not look at the checksums
            if archive.testzip() is not None:
                raise BadZipFile("wrong checksum")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes the reader raise
        others = [path.with_name(name) for name in (LAST, PREVIOUS, BEST) if name != path.name]
        earlier = ", ".join(str(other) for other in others if other.exists()) or "none is beside it"
        raise InputError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): it is damaged, cut short, or no checkpoint. "
            f"Use another one ({earlier})."
        ) from error
    if not isinstance(checkpoint, dict) or KEY not in checkpoint:
        raise InputError(f"checkpoint {path} was not written by 'classaware fit': it does not say what its network is.")
    return checkpoint
