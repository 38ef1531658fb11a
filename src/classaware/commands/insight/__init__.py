"""``classaware insight ACTION ...``: what the paper argues with two figures, seen and measured on any network."""

from collections.abc import Sequence

from classaware.commands.actions import run_action

ACTIONS = {
    "dependency": "how much the features of every class look like those of every other class",
    "relation": "how much every place of an image looks like one of its pixels",
    "combinations": "mIoU where classes meet that training rarely or never showed together",
    "counterfactual": "what a network makes of objects that are moved into other images",
}


def run(arguments: Sequence[str]) -> int:
    """Do one of the actions; returns the exit status."""
    purpose = "See and measure class dependency, of checkpoints and of any torch network."
    return run_action("insight", purpose, ACTIONS, arguments)
