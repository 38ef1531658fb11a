"""Configurations by the name of a packaged recipe or of a row of the paper's tables."""

import math
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from classaware.commands.checks import check_yaml
from classaware.errors import InputError
from classaware.recipes import BLOCKS, ROWS, Block, Row


def expand_recipes(arguments: Sequence[str]) -> list[str]:
    """``--config NAME`` where NAME is no file: the path of the packaged recipe instead.

    A row of the paper's tables becomes the paths of its blocks and its options, in its place: what comes later in
    ``arguments`` has the last word.
    """
    expanded: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument == "--config":
            expanded += _given(argument, next(given, None))
        elif argument.startswith("--config="):
            expanded += _given("--config=", argument.removeprefix("--config="))
        else:
            expanded.append(argument)
    return expanded


def plain_values(value: Any) -> Any:
    """What JSON and a checkpoint can hold: namespaces to dictionaries, tuples to lists, paths to absolute ones."""
    if isinstance(value, Namespace):
        return plain_values(vars(value))
    if isinstance(value, dict):
        return {key: plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value.absolute()) if isinstance(value, Path) else value


def find_recipe(name: str) -> Row | Block:
    """A row or a block by its name, upper or lower case.

    Raises:
        InputError: there is none, with the nearest name.
    """
    known: dict[str, Row | Block] = {**ROWS, **BLOCKS}
    key = name.lower().removesuffix(".yaml")
    if key in known:
        return known[key]
    containing = [full for full in known if full.endswith(f"/{key}") or full.startswith(key)]
    near = (containing if key else []) or get_close_matches(key, known, 1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    short = ", ".join(block for block in BLOCKS if "/" not in block)
    raise InputError(
        f"config {name!r} is neither a file nor a packaged recipe ({short}, and what 'classaware recipes' lists){meant}"
    )


def _given(option: str, name: str | None) -> list[str]:
    """One ``--config`` with its value in one argument or two, as it was given."""
    if name is None:
        return [option]
    paths, options = _resolve(name)
    joined = option.endswith("=")
    return [part for path in paths for part in ([option + path] if joined else [option, path])] + options


def _resolve(name: str) -> tuple[list[str], list[str]]:
    """Files and options of one name: YAML in place of a name stays as it is; a file of that name comes first."""
    if name.lstrip().startswith("{"):
        return [name], []
    if Path(name).is_file():
        check_yaml(Path(name))
        return [name], []
    recipe = find_recipe(name)
    if isinstance(recipe, Row):
        return [str(BLOCKS[block].path) for block in recipe.blocks], list(recipe.options)
    return [str(recipe.path)], []
