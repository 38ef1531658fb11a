"""``classaware completion``: the shell completes commands, options and their values.

The script holds everything that can follow: asking the program at every key would take seconds.
"""

import inspect
import types
from argparse import SUPPRESS, Action, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from classaware.commands.completion_scripts import FILES, SHELLS, Following, Words, write_script
from classaware.commands.recipes import write
from classaware.data.sources import SOURCES
from classaware.recipes import BLOCKS, ROWS

# Arguments without a list of choices of their own: who gives none is told what there is.
_ARGUMENTS = {"recipes": ("show", *ROWS, *BLOCKS), "data prepare": tuple(SOURCES)}


_PURPOSE = """\
Print a script with which the shell completes commands, options and their values. Write it to where the shell looks,
again after an update of classaware, and open a new shell.

bash, with the package bash-completion:
  mkdir -p ~/.local/share/bash-completion/completions
  classaware completion bash > ~/.local/share/bash-completion/completions/classaware

zsh, with 'fpath+=~/.zfunc; autoload -U compinit; compinit' in ~/.zshrc:
  mkdir -p ~/.zfunc
  classaware completion zsh > ~/.zfunc/_classaware"""


class _AsWritten(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Lines to copy are not broken."""


def build_parser() -> ArgumentParser:
    """Which shell."""
    parser = ArgumentParser(
        prog="classaware completion", description=_PURPOSE, formatter_class=_AsWritten, exit_on_error=False
    )
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell to complete in")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Print the shell's script."""
    config = build_parser().parse_args(arguments)
    write(write_script(config.shell, *collect()))


def collect() -> tuple[dict[str, dict[str, str]], dict[str, Following]]:
    """What the command line consists of.

    Returns:
        Purposes of what can be chosen first (under the empty name) and of every group's actions; and what may follow
        every command, group and action in one name.
    """
    from classaware.commands.main import COMMANDS  # main imports the commands, too

    purposes: dict[str, dict[str, str]] = {"": COMMANDS}
    following: dict[str, Following] = {}
    for name in COMMANDS:
        module = import_module(f"classaware.commands.{name}")
        actions: dict[str, str] | None = getattr(module, "ACTIONS", None)
        if actions is None:
            following[name] = _following(name, module.build_parser())
            continue
        purposes[name] = actions
        for action in actions:
            parser = import_module(f"{module.__name__}.{action}").build_parser()
            following[f"{name} {action}"] = _following(f"{name} {action}", parser)
    return purposes, following


def _following(command: str, parser: ArgumentParser) -> Following:
    """What may follow one command."""
    options: dict[str, Words | None] = {}
    arguments = list(_ARGUMENTS.get(command, ()))
    for action in parser._actions:
        if action.help == SUPPRESS:
            continue
        if not action.option_strings:
            arguments += action.choices or ()
        for option in action.option_strings:
            if option.startswith("-"):  # what one option takes from another is among them
                options[option] = _values(action)
    return Following(options, Words(tuple(arguments), files=True))


def _values(action: Action) -> Words | None:
    """What an option takes; None: nothing."""
    if action.nargs == 0 or action.dest == "print_config":
        return None
    if action.dest == "config":
        return Words((*ROWS, *BLOCKS), files=True)
    hint = getattr(action, "_typehint", None)  # the parser's way to keep an annotation
    if hint is None:
        return Words(tuple(map(str, action.choices))) if action.choices else FILES
    words = tuple(dict.fromkeys(_words(hint)))
    return Words(words, files=not words and _may_be_file(hint))


def _words(hint: Any) -> Iterator[str]:
    """Values that an annotation allows, as far as they can be counted."""
    if hint is bool:
        yield from ("true", "false")
    elif hint in (None, type(None)):
        yield "null"
    elif get_origin(hint) is Literal:
        yield from map(str, get_args(hint))
    elif get_origin(hint) in (Union, types.UnionType):
        members = [word for member in get_args(hint) for word in _words(member)]
        yield from members if members != ["null"] else ()
    elif get_origin(hint) is Callable:
        yield from _words(get_args(hint)[-1])
    elif inspect.isclass(hint) and hint.__module__.startswith("classaware."):
        yield from sorted(child.__name__ for child in _below(hint))


def _may_be_file(hint: Any) -> bool:
    """Whether text of any kind is allowed."""
    return not any(number in (hint, *get_args(hint)) for number in (int, float)) and get_origin(hint) is not tuple


def _below(base: type[object]) -> set[type[object]]:
    """All classes made from one."""
    below: set[type[object]] = set()
    for child in base.__subclasses__():
        below |= {child} | _below(child)
    return below
