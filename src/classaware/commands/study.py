"""``classaware study``: a grid of trainings over data sets, networks, variants and seeds, and what they show."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console

from classaware.commands.output import paragraphs, print_parts
from classaware.commands.studies.adopting import Twin, adopt, find_twins
from classaware.commands.studies.checking import check_open_cells
from classaware.commands.studies.progress import Board
from classaware.commands.studies.running import Running
from classaware.commands.studies.writing import summary_table, write_results
from classaware.errors import InputError
from classaware.files import check_writable
from classaware.study.places import Places
from classaware.study.plan import Cell, Study
from classaware.study.reading import read_study
from classaware.study.results import collect

_UNFINISHED = 3
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def build_parser() -> ArgumentParser:
    """The study's file, its folder, and how long to work."""
    parser = ArgumentParser(
        prog="classaware study",
        description="Train every cell of a grid of data sets, networks, variants and seeds that is not done yet, "
        "measure it, and compare every variant with the baseline: mean, spread, paired difference with interval and p, "
        "by class, by familiarity of combinations, class dependency. The same command goes on where it was stopped, "
        "also within a training; several of them, started with the same --output, share the cells.",
        exit_on_error=False,
    )
    parser.add_argument("study", type=Path, help="YAML file: datasets, networks, variants, baseline, seeds, grid")
    parser.add_argument(
        "--output", type=Path | None, default=None, help="folder of the study; default: studies/NAME of its file"
    )
    parser.add_argument(
        "--time_limit",
        "--time-limit",
        type=str | None,
        default=None,
        help="stop cleanly after this time, such as 90m, 2h or 30s",
    )
    parser.add_argument(
        "--only", type=str | None, default=None, help="cells to work on, by a pattern of DATASET/NETWORK/VARIANT/seed-N"
    )
    parser.add_argument(
        "--adopt",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        default=[],
        help="folders of other studies, behind the study's file: cells that were trained there in the same way are "
        "taken over",
    )
    parser.add_argument("--device", type=str, default="auto", help="of measuring; training takes --trainer.accelerator")
    parser.add_argument(
        "--report_only", type=bool, nargs="?", const=True, default=False, help="train nothing: write the tables again"
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Work on the cells, then write and print what is known; 0: all cells are done, 1: some failed, 3: more to do."""
    config = build_parser().parse_args(arguments)
    study = read_study(config.study)
    seconds = None if config.time_limit is None else parse_time(config.time_limit)
    chosen = study if config.only is None else study.only(config.only)
    places = Places(config.output or Path("studies") / study.name)
    twins = _twins(chosen, places, config.adopt) if config.adopt else {}
    if config.report_only and not twins and not any(places.is_done(cell) for cell in study.cells):
        raise InputError(f"no cell of {study.name} is done in {places.folder}: check --output.")
    check_writable(places.folder / "study.json")
    collect(study, places.folder)  # what is there already must belong to this study: said before any work
    if not config.report_only:
        check_open_cells(chosen.without(twins), places)
    adopt(chosen, places, twins)
    stopped = False
    if not config.report_only:
        board = Board(study, places, Console())
        running = Running(chosen, places, config.device, seconds, board.show)
        with board.drawn():
            running.run()
        stopped = running.stopped
    write(study, places)
    return _status(chosen, places, stopped, config.report_only)


def write(study: Study, places: Places) -> None:
    """Write and print the results; one process at a time, so that the last one to write knows all that is done."""
    with places.alone():
        failed = {cell: reason for cell in study.cells if (reason := places.failure(cell)) is not None}
        results = collect(study, places.folder, failed)
        paths = write_results(places.folder, results)
    print_parts(summary_table(results))
    for path in paths:
        print(path)


def _twins(study: Study, places: Places, folders: Sequence[Path]) -> dict[Cell, Twin]:
    """What can be adopted, and a line for every study; what cannot though its arguments are the same is told."""
    from classaware.commands.fit import build_parser as build_fit_parser  # slow to import
    from classaware.commands.studies.sameness import Sameness

    twins, refused = find_twins(study, places, folders, Sameness(build_fit_parser(), study).difference)
    for sentence in refused:
        print(sentence)
    wanted = sum(not places.is_done(cell) for cell in study.cells)
    for folder in folders:
        count = sum(twin.place.is_relative_to(folder) for twin in twins.values())
        print(f"{count} of {wanted} cells that are to be done are adopted from {folder}", flush=True)
    return twins


def parse_time(text: str) -> float:
    """Seconds of ``90m``, ``2h``, ``1h30m`` or ``45s``; a bare number is minutes.

    Raises:
        InputError: something else, or no time at all.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if text.isdecimal():
        parts = [(text, "m")]
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) not in (text, text + "m") or seconds <= 0:
        raise InputError(f"--time_limit {text!r} must be a time such as 90m, 2h, 1h30m or 45s.")
    return seconds


def _status(study: Study, places: Places, stopped: bool, report_only: bool) -> int:
    """Say what is missing, and how to go on."""
    failed = [cell for cell in study.cells if not places.is_done(cell) and places.failure(cell) is not None]
    missing = [cell for cell in study.cells if not places.is_done(cell) and cell not in failed]
    for cell in failed:
        print(f"classaware study: {cell} failed: {places.failure(cell)}", file=sys.stderr)
    if missing and not report_only:
        how = "stopped" if stopped else "others work"
        count = f"{len(missing)} of {len(study.cells)} cells are to be done"
        print(f"classaware study: {how}; {count}. The same command goes on.", file=sys.stderr)
        return _UNFINISHED
    if failed:
        print_parts(paragraphs(["The same command tries the failed cells again."]))
    return 1 if failed else 0
