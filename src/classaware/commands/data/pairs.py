"""``classaware data pairs``: which classes occur together in images."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.table import Table

from classaware.commands.output import make_table, plain, print_parts, progress_bar
from classaware.data.open import open_dataset
from classaware.data.pairs import Pair, PairCounts, Together, count_pairs
from classaware.errors import InputError
from classaware.files import write_atomically, write_json

_SHOWN = 10
_ENOUGH = 5  # images; the lift of rarer pairs is chance


def build_parser() -> ArgumentParser:
    """Which images, and where the tables go."""
    parser = ArgumentParser(
        prog="classaware data pairs",
        description="In how many images of a data set each two classes occur together, or touch, how strongly they go "
        "together (lift: how many times as often as by chance), and which never meet.",
        exit_on_error=False,
    )
    parser.add_argument("path", type=Path, help="folder with classes.txt, images/ and masks/, or of CamVid")
    parser.add_argument("--split", type=str, default="train", help="part of the data set")
    parser.add_argument("--together", type=Together, default="image", help="in one image, or touching in it")
    parser.add_argument("--min_pixels", type=int, default=1, help="an image holds a class with at least so many pixels")
    parser.add_argument("--ignore_index", type=int | None, default=None, help="mask value of pixels without a class")
    parser.add_argument("--csv", type=Path | None, default=None, help="file for the numbers of images, class by class")
    parser.add_argument("--json", type=Path | None, default=None, help="file for numbers, shares and lifts")
    parser.add_argument("--plot", type=Path | None, default=None, help="PNG or SVG file for the shares as a picture")
    parser.add_argument("--workers", type=int | None, default=None, help="processes; default: one a core")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Count, print the most telling pairs, write the files."""
    config = build_parser().parse_args(arguments)
    if config.plot is not None and config.plot.suffix.lower() not in (".png", ".svg"):
        raise InputError(f"--plot {config.plot}: let its name end in .png or .svg.")
    dataset = open_dataset(config.path, config.ignore_index)
    with progress_bar("counting") as progress:
        pairs = count_pairs(dataset, config.split, config.min_pixels, config.workers, progress, config.together)
    print_parts(*parts(pairs, config.split))
    if config.csv is not None:
        write_atomically(config.csv, pairs_csv(pairs).encode())
    if config.json is not None:
        write_json(config.json, {"split": config.split, **pairs.to_dict()})
    if config.plot is not None:
        write_atomically(config.plot, _picture(pairs, config.plot.suffix.lower()))
    for path in (config.csv, config.json, config.plot):
        if path is not None:
            print(path)


def parts(pairs: PairCounts, split: str) -> list[Table | str]:
    """What is printed: a sentence and at most three tables, each under its heading."""
    every = pairs.pairs()
    together = [pair for pair in every if pair.images]
    apart = sorted((pair for pair in every if not pair.images), key=lambda pair: -pair.expected)
    frequent = sorted(together, key=lambda pair: -pair.images)
    strong = sorted((pair for pair in together if pair.images >= _ENOUGH), key=lambda pair: -pair.lift)
    verb, how = ("touch", "touching") if pairs.together == "touching" else ("occur together", "together")
    text = (
        f"{pairs.images} images of {split}; of {len(every)} pairs of classes that occur, {len(together)} {verb} and "
        f"{len(apart)} never do."
    )
    found: list[Table | str] = [text]
    for heading, chosen in (
        ("The most frequent:", frequent),
        (f"The strongest by lift, of those in at least {_ENOUGH} images:", strong),
        (f"Never {how}, the most surprising first (expected: images by chance):", apart),
    ):
        if chosen:
            found += [heading, _table(pairs, chosen[:_SHOWN])]
    return found


def _table(pairs: PairCounts, chosen: Sequence[Pair]) -> Table:
    share_KK = pairs.conditional()
    numbers = ("images", "expected", "lift", "P(b | a)", "P(a | b)")
    table = make_table("a", "b", *numbers, numbers=numbers)
    for pair in chosen:
        names = (plain(pairs.class_names[index]) for index in (pair.first, pair.second))
        shares = (share_KK[pair.first, pair.second], share_KK[pair.second, pair.first])
        table.add_row(
            *names,
            str(pair.images),
            f"{pair.expected:.1f}",
            f"{pair.lift:.2f}",
            *(f"{100 * share:.1f} %" for share in shares),
        )
    return table


def pairs_csv(pairs: PairCounts) -> str:
    """The whole K x K table of images; its head and first column are the names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", *pairs.class_names])
    for name, row in zip(pairs.class_names, pairs.counts_KK.tolist(), strict=True):
        writer.writerow([name, *row])
    return text.getvalue()


def _picture(pairs: PairCounts, suffix: str) -> bytes:
    from classaware.insight.figures import figure_to_png, figure_to_svg
    from classaware.insight.pairs_plot import pairs_figure  # slow to import, and tables go without

    figure = pairs_figure(pairs)
    return figure_to_svg(figure) if suffix == ".svg" else figure_to_png(figure)
