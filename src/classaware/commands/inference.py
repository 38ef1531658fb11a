"""What the commands that run a trained network have in common."""

from argparse import SUPPRESS
from inspect import signature
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from classaware.deployment.prediction import card_inference
from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.training.card import NetworkCard

_OPTIONS = tuple(signature(Inference).parameters)


def add_inference_arguments(parser: ArgumentParser) -> None:
    """Where the network runs, and how images become label maps."""
    parser.add_argument("--device", type=str, default="auto", help="cpu, cuda, ...; auto: cuda where there is one")
    parser.add_class_arguments(Inference, instantiate=False)
    # What is not given is as in the training; null is a value like any other.
    parser.set_defaults(dict.fromkeys(_OPTIONS, SUPPRESS))


def build_inference(config: Namespace | None, card: NetworkCard | None, source: str | Path) -> Inference:
    """As the network of ``source`` was validated (one look at the whole image where no card says it), but for what
    ``config`` gives."""
    given = {name: config[name] for name in _OPTIONS if name in config} if config is not None else {}
    return card_inference(card, source, given)


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
