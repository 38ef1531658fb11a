"""Networks with their names, of one side or two, and the data set that they are looked at on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jsonargparse import ArgumentParser, Namespace

from classaware.commands.inference import build_inference, pick_device
from classaware.commands.networks import FORM, Named, check_features, open_networks
from classaware.data import SegmentationDataset
from classaware.errors import InputError
from classaware.evaluation.side_by_side import side_names
from classaware.insight.subject import Subject


class Opened(NamedTuple):
    """Networks with their names, what they are compared against, and the data set for all.

    Attributes:
        subjects: the networks.
        against: the other side.
        dataset: all have its number of classes.
        arguments: of the data set, plain values.
        sides: names of the two sides; None without a second one.
        sources: one a network, the other side's behind: "name", "path", "sha256", "step", "seed".
        trained_on: by name the data set of each network's training, as its card has it; None without a card.
    """

    subjects: list[Subject]
    against: list[Subject]
    dataset: SegmentationDataset
    arguments: dict[str, Any]
    sides: tuple[str, str] | None
    sources: list[dict[str, Any]]
    trained_on: dict[str, dict[str, Any] | None]


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


def open_subjects(parser: ArgumentParser, config: Namespace, features: bool = True) -> Opened:
    """Load what `add_subject_arguments` asked for; with ``features`` only networks that have some.

    Raises:
        InputError: a network that cannot be loaded, has no features or another number of classes than the data set;
            names that are not one a network, or not different; names of sides without a second one.
    """
    device = pick_device(config.device)
    ours, theirs = list(config.networks), list(config.get("against") or [])
    _check_side_names(theirs, config.get("side_names"))
    given = parser.instantiate(config).dataset
    networks, dataset, arguments = open_networks(
        [*ours, *theirs], given, None if given is None else config.dataset.as_dict()
    )
    if features:
        check_features(networks)
    names = name_networks(networks, config.names)
    subjects = make_subjects(names, networks, device)
    sources = [_source(name, each) for name, each in zip(names, networks, strict=True)]
    sides = _sides(names[: len(ours)], names[len(ours) :], config.get("side_names"))
    trained = {
        name: None if each.card is None else each.card.dataset for name, each in zip(names, networks, strict=True)
    }
    return Opened(subjects[: len(ours)], subjects[len(ours) :], dataset, arguments, sides, sources, trained)


def make_subjects(names: Sequence[str], networks: Sequence[Named], device: torch.device) -> list[Subject]:
    """The networks on ``device``, each with its name and the way of inference that its card says.

    Raises:
        InputError: a card with settings of inference that are not known.
    """
    return [
        Subject(name, each.network.to(device), build_inference(None, each.card, each.given), device)
        for name, each in zip(names, networks, strict=True)
    ]


def _check_side_names(against: Sequence[str], names: Sequence[str] | None) -> None:
    if names is not None and not against:
        raise InputError("--side_names are of two sides: give networks to compare to by --against.")
    if names is not None and names[0] == names[1]:
        raise InputError(f"both sides are named {names[0]!r}: give two names.")


def _sides(ours: Sequence[str], theirs: Sequence[str], given: Sequence[str] | None) -> tuple[str, str] | None:
    if not theirs:
        return None
    return side_names(ours, theirs) if given is None else (given[0], given[1])


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
    names = [_folder(each.checkpoint).name if each.checkpoint else each.given for each in networks]
    if len(set(names)) < len(names):
        names = [each.given for each in networks]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"network {twice} is given twice: name every network once.")
    return names


def _folder(checkpoint: Path) -> Path:
    """What a checkpoint is in, or itself."""
    path = checkpoint.resolve()
    return path if path.is_dir() else path.parent


def _source(name: str, each: Named) -> dict[str, Any]:
    return {"name": name, **each.provenance, "seed": each.training().get("seed")}
