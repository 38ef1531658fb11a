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
from classaware.training.card_fields import check_fields
from classaware.training.folder import WEIGHTS, NetworkFolder, is_network_folder, read_config, read_folder
from classaware.training.named import build_named_dataset, build_named_network
from classaware.training.weights import is_released, read_weights

KEY = "classaware"  # of the card in a checkpoint

# What a card that does not fit raises: of lists and numbers everything, for nobody knows what was changed in it.
_MISMATCHES = (
    *(TypeError, LookupError, AttributeError, RuntimeError, ValueError, ArithmeticError, OSError),
    *(ImportError, ArgumentError),
)

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


def build_network(arguments: dict[str, Any], trusted: bool = True) -> Segmenter:
    """A network with random weights from a card's ``network``; no file is opened for it.

    Args:
        arguments: as in the configuration.
        trusted: import the module of the head, as for a checkpoint of one's own; else only a class that this process
            has already is called, for a card may come from anybody.

    Raises:
        InputError: the head's module would have to be imported, or a value that the network refuses.
        TypeError: the head is anything but a head, or something is no plain argument.
    """
    backbone = arguments.get("backbone")
    if not isinstance(backbone, dict):  # a text would be the name of a file to read
        raise TypeError("the backbone's arguments are no dictionary")
    # Its weights are in the file itself: nothing is downloaded, and no file that the card names is looked at.
    arguments = arguments | {"backbone": backbone | {"pretrained": "no", "weights": None}}
    if not trusted:
        return build_named_network(arguments)
    _check_keys(arguments)
    _check_head(arguments.get("head"))
    parser = ArgumentParser(exit_on_error=False)
    add_network_arguments(parser)
    return parser.instantiate(parser.parse_object({"network": arguments})).network


def _check_keys(arguments: Any) -> None:
    """The parser takes "head.class_path" for a key of "head", and so overwrites what was checked."""
    if isinstance(arguments, dict):
        odd = [key for key in arguments if isinstance(key, str) and ("." in key or "+" in key or key.startswith("__"))]
        if odd:
            raise TypeError(f"{odd[0]!r:.100} is no argument")
        for value in arguments.values():
            _check_keys(value)


def _check_head(head: Any) -> None:
    """The parser would call whatever function a card names, such as ``os.system``."""
    path = head.get("class_path") if isinstance(head, dict) else head
    # The parser reads any other text as YAML, in which a name can be written so that no check sees it.
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise TypeError(f"{head!r:.100} names no head")
    module, _, name = path.rpartition(".")
    if not module:  # the parser looks for a subclass of that name
        return
    found: Any = getattr(import_module(module), name)
    made = get_type_hints(found).get("return") if inspect.isfunction(found) else found
    if not (isinstance(made, type) and issubclass(made, Head)):
        raise TypeError(f"{path} is no head")


def build_dataset(arguments: dict[str, Any], trusted: bool = True) -> SegmentationDataset:
    """The data set that a card's ``dataset`` names.

    Args:
        arguments: as in the configuration.
        trusted: as in `build_network`.

    Raises:
        InputError: its module would have to be imported, or it refuses its arguments.
        ArgumentError: its arguments are others.
        TypeError: it is no data set, or something is no plain argument.
    """
    if not trusted:
        return build_named_dataset(arguments)
    _check_keys(arguments)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--dataset", type=SegmentationDataset)
    return parser.instantiate(parser.parse_object({"dataset": arguments})).dataset


def is_trusted(path: Path) -> bool:
    """Whether the card of that file may have modules imported: of what is made to be given away, none may."""
    return not (is_network_folder(path) or is_released(path))


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
    return _rebuild(path, state, written, trusted=is_trusted(path))


def open_folder(path: Path, content: NetworkFolder, strict: bool = True) -> tuple[Segmenter, NetworkCard]:
    """The network, in eval mode, on the CPU, and the card of what `read_folder` gave.

    Args:
        path: for the errors.
        content: of the folder.
        strict: refuse weights that lack a tensor of the network, or have others.

    Raises:
        InputError: it is not the network that its card describes.
    """
    return _rebuild(path, content.state, content.card, strict, trusted=False)


def _rebuild(
    path: Path, state: dict[str, Tensor], written: dict[str, Any], strict: bool = True, *, trusted: bool
) -> tuple[Segmenter, NetworkCard]:
    try:
        card = NetworkCard(**written)
        check_fields(card)
        network = build_network(card.network, trusted)
        network.load_state_dict(state, strict=strict)
    except _MISMATCHES as error:
        raise InputError(
            f"checkpoint {path} does not hold the network that its own card describes: it was changed, or written by "
            f"another version of classaware ({_reason(error)})."
        ) from error
    return network.eval(), card


def _reason(error: Exception) -> str:
    """Its kind and what it says first."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1]).rstrip(".")
    text = "".join(sign for sign in said if sign.isprintable())
    return f"{type(error).__name__}: {text:.300}" if text else type(error).__name__


def trained_steps(path: Path) -> int | None:
    """How many steps the network of a checkpoint, or of released weights, was trained; None where it does not say."""
    if is_network_folder(path):
        return read_config(path).get("step")
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
