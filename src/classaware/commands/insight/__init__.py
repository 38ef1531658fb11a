"""``classaware insight ACTION ...``: what the paper argues with two figures, seen and measured on any network."""

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from classaware.errors import InputError

ACTIONS = {
    "dependency": "how much the features of every class look like those of every other class",
    "relation": "how much every place of an image looks like one of its pixels",
    "combinations": "mIoU where classes meet that training rarely or never showed together",
    "counterfactual": "what a network makes of objects that are moved into other images",
}

_WIDTH = max(map(len, ACTIONS))
_USAGE = "\n".join(
    [
        "usage: classaware insight ACTION ...",
        "",
        "See and measure class dependency, of checkpoints and of any torch network.",
        "",
        "actions:",
        *(f"  {name:<{_WIDTH}} {purpose}" for name, purpose in ACTIONS.items()),
        "",
        "'classaware insight ACTION --help' lists an action's options.",
    ]
)


def run(arguments: Sequence[str]) -> int:
    """Do one of the actions; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    name, *options = arguments
    if name not in ACTIONS:
        near = get_close_matches(name, ACTIONS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(ACTIONS)}."
        raise InputError(f"unknown action {name!r}; {hint}")
    status: int | None = import_module(f"classaware.commands.insight.{name}").run(options)
    return status or 0
