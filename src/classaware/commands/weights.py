"""``classaware weights``: what of a checkpoint is worth giving to others."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser

from classaware.commands.checks import path_given
from classaware.errors import InputError
from classaware.files import check_writable
from classaware.training.card import load_network, trained_steps
from classaware.training.weights import SUFFIX, is_released, write_weights


def build_parser() -> ArgumentParser:
    """Which checkpoint, and where its weights go."""
    parser = ArgumentParser(
        prog="classaware weights",
        description="Write the network of a checkpoint, without optimizer and losses, as a .safetensors file, which "
        "'classaware evaluate' and 'predict' take like the checkpoint. Its metadata say what the network is and how it "
        "was trained; of paths on this machine only the last part is written.",
        exit_on_error=False,
    )
    parser.add_argument("checkpoint", type=path_given, help="written by 'classaware fit'")
    parser.add_argument("output", type=path_given, help=f"file to write, *{SUFFIX}")
    parser.add_argument("--overwrite", type=bool, default=False, help="replace a file that is there")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Read, check that the network can be rebuilt, write."""
    config = build_parser().parse_args(arguments)
    if not is_released(config.output):
        raise InputError(f"{config.output} must be named *{SUFFIX}.")
    if config.output.exists() and not config.overwrite:
        raise InputError(f"{config.output} is there already: choose another name, or give --overwrite true.")
    check_writable(config.output)
    network, card = load_network(config.checkpoint)
    write_weights(config.output, network.state_dict(), card.to_dict(), trained_steps(config.checkpoint))
    print(config.output)
