"""A network as a folder: ``config.json``, which people can read, and ``model.safetensors``, as model hubs have them."""

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from classaware.errors import InputError
from classaware.files import sha256, write_atomically, write_json
from classaware.provenance import versions

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT = "classaware-network"
VERSION = 1


class NetworkFolder(NamedTuple):
    """What a folder holds.

    Attributes:
        state: of the network itself.
        card: ``NetworkCard.to_dict()``.
        step: how many steps it was trained, or None.
        metrics: what it was measured to reach, or None.
    """

    state: dict[str, Tensor]
    card: dict[str, Any]
    step: int | None
    metrics: dict[str, Any] | None


def is_network_folder(path: Path) -> bool:
    """Whether it is a folder that says what network it holds."""
    return (path / CONFIG).is_file()


def write_folder(path: Path, content: NetworkFolder) -> None:
    """Write both files into a folder; places on this machine that the card names are reduced to their last part.

    Raises:
        InputError: the place cannot be written to.
    """
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in content.state.items()}
    write_atomically(path / WEIGHTS, save(tensors, {"format": "pt"}))
    written = {
        "format": FORMAT,
        "version": VERSION,
        "card": portable(content.card),
        "step": content.step,
        "metrics": content.metrics,
        "weights_sha256": sha256(path / WEIGHTS),
        "versions": versions(),
    }
    write_json(path / CONFIG, written)


def read_folder(path: Path) -> NetworkFolder:
    """Read what :func:`write_folder` wrote.

    Raises:
        InputError: a file is missing, damaged, or not what the other one speaks of.
    """
    content = read_config(path)
    file = path / WEIGHTS
    if not file.is_file():
        raise InputError(f"the network folder {path} has no {WEIGHTS}: get it again, or save it again.")
    try:
        state = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read ({type(error).__name__}): it is damaged, cut short, or no .safetensors file. "
            "Get it again."
        ) from error
    stated = content.get("weights_sha256")
    # The format has no checksum of its own: a changed byte would be a changed weight that nobody notices.
    if stated is not None and stated != sha256(file):
        raise InputError(
            f"{file} is not the file that {CONFIG} beside it speaks of (weights_sha256 differs): it is damaged, or of "
            "another network. Get both again, or take weights_sha256 out of the configuration if you changed it."
        )
    return NetworkFolder(state, content["card"], content.get("step"), content.get("metrics"))


def read_config(path: Path) -> dict[str, Any]:
    """The content of a folder's ``config.json``; "card" is a dictionary.

    Raises:
        InputError: it is missing, damaged, or of another format or version.
    """
    file = path / CONFIG
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"the folder {path} holds no network ({CONFIG} and {WEIGHTS} by save_pretrained).") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as JSON ({error}): it is damaged. Get it again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("card"), dict):
        raise InputError(f"{file} was not written by classaware: it does not say what its network is.")
    if content.get("version") != VERSION:
        raise InputError(
            f"{file} has version {content.get('version')!r} of the format, this classaware reads {VERSION}: use the "
            "version of classaware that wrote it."
        )
    return content


def write_page_sha256(path: Path, checksum: str) -> None:
    """Let a folder's ``config.json`` remember the page that was written with it."""
    write_json(path / CONFIG, read_config(path) | {"page_sha256": checksum})


def page_sha256(path: Path) -> str | None:
    """What :func:`write_page_sha256` wrote; None where nothing says it."""
    try:
        return read_config(path).get("page_sha256")
    except InputError:
        return None


def portable(card: dict[str, Any]) -> dict[str, Any]:
    """A card (``NetworkCard.to_dict()``) without places on this machine."""
    return card | {part: without_places(card[part]) for part in ("network", "dataset", "training")}


def without_places(value: Any) -> Any:
    """Plain values in which every path that only this machine has is reduced to the name of its file or folder."""
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(item) for item in value]
    return _name(value) if isinstance(value, str) and _is_place(value) else value


def _is_place(text: str) -> bool:
    beginnings = ("~", "./", "../", ".\\", "..\\", "file:", "\\")
    return text.startswith(beginnings) or PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def _name(text: str) -> str:
    return PureWindowsPath(text).name  # which takes both kinds of slashes
