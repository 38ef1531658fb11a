"""``classaware insight counterfactual``: objects in other images, and how much their recognition hangs on context."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jsonargparse import ArgumentParser
from rich.table import Table

from classaware.commands.insight.figure_files import write_figure
from classaware.commands.insight.training_data import warn_of_other_data
from classaware.commands.output import fitted_table, paragraphs, print_parts, progress_bar
from classaware.commands.subjects import Opened, add_subject_arguments, open_subjects
from classaware.data.pairs import count_pairs
from classaware.evaluation.counterfactual import Counterfactual, counterfactual
from classaware.evaluation.counterfactual_text import as_csv, as_markdown, sentences, tables
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.moves import Draw, Move, views
from classaware.files import check_writable, write_atomically, write_json
from classaware.insight.counterfactual_plot import counterfactual_figure
from classaware.insight.figures import figure_to_png
from classaware.insight.moved_objects import Seen, moved_objects_figure
from classaware.insight.subject import Subject

_FILES = ("counterfactual.json", "counterfactual.md", "counterfactual.csv", "counterfactual.png", "counterfactual.svg")
_EXAMPLES = "examples.png"
_DRAWN = 6  # examples
_ROWS = 20  # of a table in the terminal


def build_parser() -> ArgumentParser:
    """Which networks, images and objects, and where the files go."""
    parser = ArgumentParser(
        prog="classaware insight counterfactual",
        description="Lay objects of test images into other test images: once into a context that is familiar in "
        "training, once into one that is rare or was never seen there. Context sensitivity is the difference in IoU.",
        exit_on_error=False,
    )
    add_subject_arguments(parser, against=True)
    parser.add_argument("--split", type=str, default="test", help="part of the data set whose objects move")
    parser.add_argument("--train_split", type=str, default="train", help="part that says what is familiar")
    parser.add_argument(
        "--classes", type=str, nargs="+", metavar="NAME", default=None, help="of the objects; default: things, or all"
    )
    parser.add_argument("--objects", type=int, default=200, help="how many move at most")
    parser.add_argument("--feather", type=int, default=2, help="width of their soft edge in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing of objects and places")
    parser.add_argument(
        "--rare", type=float, default=0.5, help="classes that touch less than so many times as often as by chance"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for counterfactual.json, .md, .csv, .png, .svg, examples.png"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Move, measure, write the files, print."""
    parser = build_parser()
    config = parser.parse_args(arguments)
    paths = [config.output / name for name in (*_FILES, _EXAMPLES)]
    for path in paths:
        check_writable(path)
    classes = None if config.classes is None else tuple(config.classes)
    draw = Draw(classes, config.objects, config.feather, config.seed)
    Familiarity.check(config.rare)
    opened = open_subjects(parser, config, features=False)
    for split in (config.split, config.train_split):
        opened.dataset.check_split(split)
    with progress_bar("counting") as progress:
        pairs = count_pairs(opened.dataset, config.train_split, progress=progress, together="touching")
    result = measure(opened, config.split, Familiarity(pairs, config.rare), draw)
    result = replace(result, warnings=tuple(warn_of_other_data(opened.trained_on, opened.arguments)))
    origin = {"train_split": config.train_split, "dataset": opened.arguments, "sources": opened.sources}
    write_json(paths[0], result.to_dict() | origin)
    write_atomically(paths[1], as_markdown(result).encode())
    write_atomically(paths[2], as_csv(result).encode())
    write_figure(config.output, "counterfactual", counterfactual_figure(result))
    write_atomically(paths[5], examples(opened, result))
    print_parts(*parts(result))
    for path in paths:
        print(path)


def measure(opened: Opened, split: str, familiarity: Familiarity, draw: Draw) -> Counterfactual:
    """All networks on the same composites."""
    ours, theirs = ({each.name: each.predict for each in side} for side in (opened.subjects, opened.against))
    seeds = {source["name"]: source["seed"] for source in opened.sources}
    with progress_bar(f"reading {split}, then moving") as progress:
        return counterfactual(
            ours, opened.dataset, split, familiarity, theirs, seeds, opened.sides, draw, progress=progress
        )


def parts(result: Counterfactual) -> list[Table | str]:
    """What is printed: the tables, the longest of them cut, and the sentences."""
    found: list[Table | str] = []
    for title, (head, rows) in tables(result):
        more = f", the first {_ROWS} of {len(rows)}" if len(rows) > _ROWS else ""
        found += [f"{title}{more}:", fitted_table(head, rows[:_ROWS], texts=2 if title == "Places" else 1)]
    found.append(paragraphs(sentences(result)))
    return [*found, *([paragraphs(f"WARNING: {each}" for each in result.warnings)] if result.warnings else [])]


def examples(opened: Opened, result: Counterfactual) -> bytes:
    """The first objects of the draw, which no result has chosen, with the first network of each side, as PNG."""
    networks = [*opened.subjects[:1], *opened.against[:1]] if opened.against else opened.subjects[:2]
    names = [source["name"] for source in opened.sources]
    rows = [names.index(network.name) for network in networks]
    shown = [_example(opened, result, index, networks, rows) for index in range(min(_DRAWN, len(result.plan.moves)))]
    titles = [network.name for network in networks]
    return figure_to_png(moved_objects_figure(shown, titles, opened.dataset.class_names, opened.dataset.palette))


def _example(
    opened: Opened, result: Counterfactual, index: int, networks: Sequence[Subject], rows: Sequence[int]
) -> list[Seen]:
    move = result.plan.moves[index]
    found = []
    for place, view in enumerate(views(opened.dataset, result.plan, move)):
        mask_HW = np.zeros(view.image_3HW.shape[1:], dtype=bool)
        mask_HW[view.thing.rows, view.thing.columns] = view.thing.mask_hw
        image = torch.from_numpy(view.image_3HW)
        predicted = [network.predict(image).numpy() for network in networks]
        notes = [f"IoU {100 * result.measured.iou_Rn3[row, index, place]:.0f} %" for row in rows]
        title = _title(result.plan.class_names, move, place)
        found.append(Seen(title, view.image_3HW.transpose(1, 2, 0), mask_HW, predicted, notes))
    return found


def _title(names: Sequence[str], move: Move, place: int) -> str:
    if place == 0:
        return f"{names[move.class_index]} at home" + ("" if move.home is None else f", on {names[move.home]}")
    target = (move.familiar, move.unfamiliar)[place - 1]
    return f"on {names[target.context]} ({target.rarity})"
