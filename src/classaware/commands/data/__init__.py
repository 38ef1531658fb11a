"""``classaware data ACTION ...``: prepare, check and look at data sets."""

from collections.abc import Sequence

from classaware.commands.actions import run_action

ACTIONS = {
    "prepare": "convert a public data set once into images, index masks and a manifest",
    "check": "find what ruins a training before it begins",
    "show": "a contact sheet of images with their masks",
    "pairs": "which classes occur together in images",
}


def run(arguments: Sequence[str]) -> int:
    """Do one of the actions; returns the exit status."""
    return run_action("data", "Prepare, check and look at data sets.", ACTIONS, arguments)
