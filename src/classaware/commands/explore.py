"""``classaware explore``: one HTML page in which networks are looked at, pixel by pixel."""

import math
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.table import Table

from classaware.commands.insight.dependency import measure
from classaware.commands.output import make_table, plain, print_parts, progress_bar
from classaware.commands.subjects import add_subject_arguments, open_subjects
from classaware.data import SegmentationDataset
from classaware.data.dataset import Sample
from classaware.errors import InputError
from classaware.files import check_writable, write_atomically
from classaware.insight.dependency_summary import values_note
from classaware.insight.explorer import Fidelity, build_explorer, choose_samples, named_samples

_COUNT = 20


def build_parser() -> ArgumentParser:
    """Which networks and images, and where the page goes."""
    parser = ArgumentParser(
        prog="classaware explore",
        description="One self-contained HTML file: choose an image, point at a pixel, and see what every network "
        "relates it to and predicts there. It needs no server and no network connection.",
        exit_on_error=False,
    )
    add_subject_arguments(parser)
    parser.add_argument("--split", type=str, default="test", help="part of the data set")
    parser.add_argument(
        "--count", type=int | None, default=None, help=f"of images, spread over the split; default: {_COUNT}"
    )
    parser.add_argument("--images", type=str, nargs="+", metavar="NAME", default=None, help="these images instead")
    parser.add_argument("--megabytes", type=float, default=25.0, help="the page is not larger")
    parser.add_argument(
        "--dependency", type=bool, default=True, help="class-dependency maps too: a pass over the whole split"
    )
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Build the page and print how faithful it is."""
    parser = build_parser()
    config = parser.parse_args(arguments)
    _check(config)
    check_writable(config.output)
    opened = open_subjects(parser, config)
    samples = _pick(config, opened.dataset)
    maps, note = None, ""
    if config.dependency:
        summary = measure(opened.subjects, opened.dataset, [config.split])
        form = summary.comparable_form
        maps, note = summary.forms[form].maps, values_note(form)
    with progress_bar("exploring") as progress:
        limit = round(config.megabytes * 10**6)
        explorer = build_explorer(
            opened.subjects, opened.dataset, config.split, samples, maps, limit, progress, dependency_note=note
        )
    write_atomically(config.output, explorer.page)
    size = f"{len(samples)} images, {len(explorer.page) / 10**6:.2f} MB"
    print_parts(f"{size}. Correlation of the page's relation maps with the exact ones:", _table(explorer.fidelities))
    print(config.output)


def _check(config: Namespace) -> None:
    if config.images is not None and config.count is not None:
        raise InputError("--count and --images exclude each other: give one of them.")
    if config.output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output {config.output}: the page is an HTML file; let its name end in .html.")
    if not 0 < config.megabytes < math.inf:
        raise InputError(f"--megabytes {config.megabytes}: must be above 0 and finite.")


def _pick(config: Namespace, dataset: SegmentationDataset) -> list[Sample]:
    if config.images is not None:
        return named_samples(dataset, config.split, config.images)
    count = _COUNT if config.count is None else config.count
    with progress_bar("choosing") as progress:
        return choose_samples(dataset, config.split, count, progress=progress)


def _table(fidelities: Sequence[Fidelity]) -> Table:
    numbers = ("channels", "components", "dot: mean", "least", "cosine: mean", "least")
    table = make_table("network", *numbers, numbers=numbers)
    for fidelity in fidelities:
        found = fidelity.to_dict()["correlation"]
        values = [found[form][key] for form in ("dot", "cosine") for key in ("mean", "minimum")]
        cells = ("-" if value is None else f"{math.floor(value * 1e5) / 1e5:.5f}" for value in values)
        table.add_row(plain(fidelity.name), str(fidelity.channels), str(fidelity.components), *cells)
    return table
