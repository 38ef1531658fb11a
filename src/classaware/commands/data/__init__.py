"""``classaware data ACTION ...``: prepare, check and look at data sets."""

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from classaware.errors import InputError

ACTIONS = {
    "prepare": "convert a public data set once into images, index masks and a manifest",
    "check": "find what ruins a training before it begins",
    "show": "a contact sheet of images with their masks",
    "pairs": "which classes occur together in images",
}

_USAGE = "\n".join(
    [
        "usage: classaware data ACTION ...",
        "",
        "Prepare, check and look at data sets.",
        "",
        "actions:",
        *(f"  {name:<10} {purpose}" for name, purpose in ACTIONS.items()),
        "",
        "'classaware data ACTION --help' lists an action's options.",
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
    status: int | None = import_module(f"classaware.commands.data.{name}").run(options)
    return status or 0
