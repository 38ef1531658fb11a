"""``classaware recipes``: what ``--config`` takes by name, and what a name stands for."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table
from rich.text import Text

from classaware.commands.configuration import expand_recipes, find_recipe
from classaware.errors import InputError
from classaware.recipes import BLOCKS, ROWS, Block, Row

KEYS = ("name", "table", "row", "network", "backbone", "car", "dataset", "published_miou")


def build_parser() -> ArgumentParser:
    """The list, as a table or as JSON, or ``show NAME``."""
    parser = ArgumentParser(
        prog="classaware recipes",
        description="Without arguments: every result of the paper's Tables 1 and 2 with the published mIoU, and the "
        "parts to combine. Train with 'classaware fit --config NAME --output FOLDER'; --config may be repeated, and "
        "later ones, like options, have the last word.",
        exit_on_error=False,
    )
    parser.add_argument("action", nargs="?", help="'show': print the whole configuration of a row, or a part")
    parser.add_argument("name", nargs="?", help="a row, such as table1/r8, or a part, such as networks/ccnet")
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    return parser


def run(arguments: Sequence[str]) -> None:
    """List or show."""
    config = build_parser().parse_args(arguments)
    if config.action is None:
        write(rows_as_json() if config.json else listing())
        return
    if config.action != "show" or config.json:
        wrong = config.action if config.action != "show" else "show --json"
        raise InputError(f"{wrong!r} is not understood: give nothing, --json, or show NAME.")
    if config.name is None:
        raise InputError("show needs a name: 'classaware recipes' lists them all.")
    write(show(config.name))


def rows_as_json() -> str:
    """All rows with what identifies them and the published mIoU."""
    return json.dumps([{key: getattr(row, key) for key in KEYS} for row in ROWS.values()], indent=2) + "\n"


def listing() -> str:
    """Rows and parts as text; no line is broken or cut, however narrow the terminal is."""
    rows = Table("name", "row", "network", "backbone", "CAR", "data set", "mIoU (%)", box=None)
    rows.columns[-1].justify = "right"
    for row in ROWS.values():
        car = "CAR" if row.car else "-"
        rows.add_row(row.name, _place(row), row.network, row.backbone, car, row.dataset, f"{row.published_miou:.2f}")
    parts = Table("name", "what it is", box=None)
    for block in BLOCKS.values():
        parts.add_row(block.name, Text(block.summary))
    console = Console()
    for table in (rows, parts):
        for column in table.columns:
            column.no_wrap = True
        console.width = max(console.width, console.measure(table, options=console.options.update(width=10_000)).maximum)
    with console.capture() as capture:
        console.print("The rows of the paper's tables, with the mIoU published there:\n")
        console.print(rows)
        console.print("\nParts to combine, each over what comes before it:\n")
        console.print(parts)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def show(name: str) -> str:
    """A row (under what it is) or a file as ``fit --config NAME --print_config`` prints it; a part as its file."""
    recipe = None if Path(name).is_file() else find_recipe(name)
    if isinstance(recipe, Block):
        return f"# Give it with --config {recipe.name}, alone or between others.\n{recipe.path.read_text()}"
    from classaware.commands.fit import build_parser  # slow to import, and listing goes without

    printed = StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        build_parser().parse_args([*expand_recipes(["--config", name]), "--print_config"])
    if recipe is None:
        return printed.getvalue()
    method = f"{recipe.network}{' + CAR' if recipe.car else ''}, {recipe.backbone}, {recipe.dataset}"
    options = "".join(f"#   {option}\n" for option in recipe.options)
    return (
        f"# {_place(recipe)}: {method}. Published mIoU: {recipe.published_miou:.2f} %\n"
        f"# Train it: classaware fit --config {recipe.name} --output runs/{recipe.name}\n"
        f"# Made of {', '.join(recipe.blocks)}, and\n{options}{printed.getvalue()}"
    )


def _place(row: Row) -> str:
    return f"Table {row.table}, {row.row if row.table == 1 else f'line {row.row}'}"


def write(text: str) -> None:
    """Print, to a reader that may stop reading (``| head``)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer is written once more at exit, and would be complained about there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
