"""A command that is a group of actions, each in a file of its own: ``classaware GROUP ACTION ...``."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module

from classaware.errors import InputError


def run_action(group: str, purpose: str, actions: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Do one of a group's actions, or list them.

    Args:
        group: name of the group, and of the package below ``classaware.commands`` that holds its actions.
        purpose: one sentence.
        actions: name -> what it does.
        arguments: of the command line, the action first.

    Returns:
        The exit status.

    Raises:
        InputError: no such action, and whatever the action raises.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage(group, purpose, actions))
        return 0
    name, *options = arguments
    if name not in actions:
        near = get_close_matches(name, actions, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(actions)}."
        raise InputError(f"unknown action {name!r}; {hint}")
    status: int | None = import_module(f"classaware.commands.{group}.{name}").run(options)
    return status or 0


def _usage(group: str, purpose: str, actions: Mapping[str, str]) -> str:
    width = max(10, *map(len, actions))
    lines = [f"  {name:<{width}} {what}" for name, what in actions.items()]
    last = f"'classaware {group} ACTION --help' lists an action's options."
    return "\n".join([f"usage: classaware {group} ACTION ...", "", purpose, "", "actions:", *lines, "", last])
