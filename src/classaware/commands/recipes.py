"""Configurations by the name of a packaged recipe."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from classaware.commands.checks import check_yaml
from classaware.errors import InputError


def expand_recipes(arguments: Sequence[str]) -> list[str]:
    """``--config NAME`` where NAME is no file but a packaged recipe: its path instead."""
    expanded = list(arguments)
    for i, argument in enumerate(expanded):
        if argument == "--config" and i + 1 < len(expanded):
            expanded[i + 1] = _recipe(expanded[i + 1])
        elif argument.startswith("--config="):
            expanded[i] = f"--config={_recipe(argument.removeprefix('--config='))}"
    return expanded


def _recipe(name: str) -> str:
    """Path of a configuration: a file of that name comes first; YAML given in place of a name stays as it is."""
    if Path(name).is_file():
        check_yaml(Path(name))
        return name
    folder = Path(str(files("classaware") / "recipes"))
    packaged = folder / f"{name.removesuffix('.yaml')}.yaml"
    if packaged.is_file():
        return str(packaged)
    if name.lstrip().startswith("{"):
        return name
    known = ", ".join(sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml")))
    raise InputError(f"config {name!r} is neither a file nor a packaged recipe ({known}).")
