"""Which networks a command looks at: checkpoints of ours, or anybody's modules by their Python path."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser, Namespace
from torch import nn

from classaware.commands.configuration import plain_values
from classaware.commands.inference import build_inference, pick_device
from classaware.data import SegmentationDataset
from classaware.errors import InputError
from classaware.evaluation.side_by_side import side_names
from classaware.files import sha256
from classaware.insight.subject import Subject
from classaware.models import ForeignNetwork, Network
from classaware.training.card import LAST, NetworkCard, build_dataset, load_network, trained_steps

FORM = (
    "a checkpoint, the folder of a run (its last.ckpt), or MODULE:ATTRIBUTE@LAYER: a Python module's network, or a "
    "function that makes one, and the layer whose output are its features"
)


class Named(NamedTuple):
    """A network as it was named.

    Attributes:
        given: what the user wrote.
        checkpoint: its file; None for a Python path.
        network: in eval mode, on the CPU.
        card: of the checkpoint; None for a Python path.
    """

    given: str
    checkpoint: Path | None
    network: Network
    card: NetworkCard | None

    def provenance(self) -> dict[str, Any]:
        """Where the weights come from: "path", "sha256", "step"; None where a Python path does not say it."""
        path = self.checkpoint
        return {
            "path": self.given,
            "sha256": None if path is None else sha256(path),
            "step": None if path is None else trained_steps(path),
        }

    def training(self) -> dict[str, Any]:
        """What the card says of the training; nothing without one."""
        if self.card is None:
            return {}
        known = self.card.training
        return known | ({} if "configuration" in known else {"network": self.card.network})


class Opened(NamedTuple):
    """Networks with their names, what they are compared against, and the data set for all.

    Attributes:
        subjects: the networks.
        against: the other side.
        dataset: all have its number of classes.
        arguments: of the data set, plain values.
        sides: names of the two sides; None without a second one.
        sources: one a network, the other side's behind: "name", "path", "sha256", "step", "seed".
    """

    subjects: list[Subject]
    against: list[Subject]
    dataset: SegmentationDataset
    arguments: dict[str, Any]
    sides: tuple[str, str] | None
    sources: list[dict[str, Any]]


def add_subject_arguments(parser: ArgumentParser, against: bool = False) -> None:
    """Networks, their names, the data set and the device; with ``against`` a second side."""
    parser.add_argument("--networks", type=str, nargs="+", metavar="NETWORK", required=True, help=FORM)
    if against:
        parser.add_argument(
            "--against", type=str, nargs="+", metavar="NETWORK", default=[], help="what to compare them to"
        )
        parser.add_argument(
            "--side_names",
            type=str,
            nargs=2,
            metavar="NAME",
            default=None,
            help="of --networks and --against; default: what their names begin with",
        )
    parser.add_argument(
        "--names", type=str, nargs="+", metavar="NAME", default=None, help="of all networks; default: their folders'"
    )
    parser.add_argument(
        "--dataset", type=SegmentationDataset, default=None, help="default: the one that the first was trained on"
    )
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, ...; auto: cuda where there is one")


def open_subjects(parser: ArgumentParser, config: Namespace) -> Opened:
    """Load what `add_subject_arguments` asked for.

    Raises:
        InputError: a network that cannot be loaded or has another number of classes than the data set; names that are
            not one a network, or not different; names of sides without a second one.
    """
    device = pick_device(config.device)
    ours, theirs = list(config.networks), list(config.get("against") or [])
    _check_side_names(theirs, config.get("side_names"))
    given = parser.instantiate(config).dataset
    networks, dataset, arguments = open_networks(
        [*ours, *theirs], given, None if given is None else config.dataset.as_dict()
    )
    names = name_networks(networks, config.names)
    subjects = [
        Subject(name, each.network.to(device), build_inference(None, each.card, each.given), device)
        for name, each in zip(names, networks, strict=True)
    ]
    sources = [_source(name, each) for name, each in zip(names, networks, strict=True)]
    sides = _sides(names[: len(ours)], names[len(ours) :], config.get("side_names"))
    return Opened(subjects[: len(ours)], subjects[len(ours) :], dataset, arguments, sides, sources)


def _check_side_names(against: Sequence[str], names: Sequence[str] | None) -> None:
    if names is not None and not against:
        raise InputError("--side_names are of two sides: give networks to compare to by --against.")
    if names is not None and names[0] == names[1]:
        raise InputError(f"both sides are named {names[0]!r}: give two names.")


def _sides(ours: Sequence[str], theirs: Sequence[str], given: Sequence[str] | None) -> tuple[str, str] | None:
    if not theirs:
        return None
    return side_names(ours, theirs) if given is None else (given[0], given[1])


def open_networks(
    given: Sequence[str], dataset: SegmentationDataset | None, arguments: dict[str, Any] | None
) -> tuple[list[Named], SegmentationDataset, dict[str, Any]]:
    """The networks, their data set (the one that is given, or that of the first card), and its arguments, plain values.

    Raises:
        InputError: as `open_subjects`.
    """
    paths = [_checkpoint(text) for text in given]
    loaded = {path: load_network(path) for path in paths if path is not None}
    if dataset is None:
        cards = [card for _, card in loaded.values()]
        if not cards:
            raise InputError(f"network {given[0]!r} does not say what it was trained on: give --dataset.")
        arguments = cards[0].dataset
        dataset = build_dataset(arguments)
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
        return path / LAST
    if path.exists() or path.suffix in (".ckpt", ".safetensors") or ":" not in text:
        return path
    return None


def _foreign(text: str, num_classes: int) -> Named:
    target, _, layer = text.partition("@")
    module, _, attribute = target.partition(":")
    if not (module and attribute and layer):
        raise InputError(f"network {text!r} is no file; a Python path has the form MODULE:ATTRIBUTE@LAYER.")
    network = _import(text, module, attribute)
    if not isinstance(network, nn.Module):
        raise InputError(f"network {text!r}: {attribute} gives {type(network).__name__}, not a torch.nn.Module.")
    return Named(text, None, ForeignNetwork(network, layer, num_classes).eval(), None)


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


def name_networks(networks: Sequence[Named], given: Sequence[str] | None) -> list[str]:
    """Names as given, else those of the checkpoints' folders, or what was written where these are not different.

    Raises:
        InputError: names that are not one a network, or not different.
    """
    if given is not None:
        if len(given) != len(networks) or len(set(given)) < len(given):
            raise InputError(
                f"--names has {len(given)} names for {len(networks)} networks: give one each, all different."
            )
        return list(given)
    names = [each.checkpoint.resolve().parent.name if each.checkpoint else each.given for each in networks]
    if len(set(names)) < len(names):
        names = [each.given for each in networks]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"network {twice} is given twice: name every network once.")
    return names


def _source(name: str, each: Named) -> dict[str, Any]:
    return {"name": name, **each.provenance(), "seed": each.training().get("seed")}
