"""``classaware insight relation``: how much every place of an image looks like one of its pixels."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser
from rich.table import Table

from classaware.commands.insight.figure_files import write_figure
from classaware.commands.output import make_table, plain, print_parts
from classaware.commands.subjects import add_subject_arguments, open_subjects
from classaware.data import Sample, SegmentationDataset, read_image
from classaware.errors import InputError
from classaware.files import check_writable, write_atomically, write_json
from classaware.insight.relation import Form, Relation, relate
from classaware.insight.relation_plot import relation_figure

FORMAT, VERSION = "classaware-relation", 1
_KINDS = ("png", "svg", "json", "npz")


def build_parser() -> ArgumentParser:
    """Which pixel, which networks, and where the files go."""
    parser = ArgumentParser(
        prog="classaware insight relation",
        description="Pixel-relation maps (Fig. 5 of the CAR paper): the similarity of the features of one pixel to "
        "those of the whole image, with predictions and ground truth.",
        exit_on_error=False,
    )
    parser.add_argument("image", type=Path, help="image file")
    parser.add_argument("--at", type=str, required=True, metavar="X,Y", help="column and row of the pixel, from 0")
    add_subject_arguments(parser)
    parser.add_argument(
        "--label", type=Path | None, default=None, help="index mask; default: the data set's, if the image is of it"
    )
    parser.add_argument("--form", type=Form, default="dot", help="dot: <q, p> / sqrt(C), as in the paper; or cosine")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for relation.png, .svg, .json and .npz (the maps)"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Look, write the files, print."""
    parser = build_parser()
    config = parser.parse_args(arguments)
    pixel = parse_pixel(config.at)
    paths = [config.output / f"relation.{kind}" for kind in _KINDS]
    for path in paths:
        check_writable(path)
    opened = open_subjects(parser, config)
    dataset = opened.dataset
    image_3HW, label_HW = read_pair(dataset, config.image, config.label)
    relations = [
        relate(subject, image_3HW, pixel, config.form, label_HW, dataset.ignore_index) for subject in opened.subjects
    ]
    true_class = None if label_HW is None or label_HW[pixel] == dataset.ignore_index else int(label_HW[pixel])
    picture = np.ascontiguousarray(image_3HW.permute(1, 2, 0).numpy())
    figure = relation_figure(picture, pixel, relations, dataset.class_names, dataset.palette, label_HW)
    write_figure(config.output, "relation", figure)
    head = {"format": FORMAT, "version": VERSION, "image": str(config.image), "at": {"x": pixel[1], "y": pixel[0]}}
    found = {
        "form": config.form,
        "true": None if true_class is None else dataset.class_names[true_class],
        "dataset": opened.arguments,
        "sources": opened.sources,
        "networks": [relation.to_dict(dataset.class_names) for relation in relations],
    }
    write_json(config.output / "relation.json", head | found)
    write_atomically(config.output / "relation.npz", maps_npz(relations))
    print_parts(*parts(relations, dataset.class_names, true_class, label_HW is not None))
    for path in paths:
        print(path)


def parse_pixel(text: str) -> tuple[int, int]:
    """(row, column) of "X,Y"."""
    if re.fullmatch(r"\s*[0-9]{1,9}\s*,\s*[0-9]{1,9}\s*", text) is None:
        raise InputError(f"--at {text!r}: give the pixel's column and row, counted from 0, such as 120,48.")
    column, row = (int(part) for part in text.split(","))
    return row, column


def read_pair(
    dataset: SegmentationDataset, image: Path, label: Path | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The image uint8 (3, H, W) and its mask int64 (H, W): the given one, the data set's own, or none.

    Raises:
        InputError: a file that cannot be read, or a mask that does not fit.
    """
    sample = find_sample(dataset, image) if label is None else Sample(image.stem, image, label)
    if sample is None:
        return read_image(image), None
    pixels, mask = dataset.read(sample)
    return pixels.as_subclass(torch.Tensor), mask.as_subclass(torch.Tensor)


def find_sample(dataset: SegmentationDataset, image: Path) -> Sample | None:
    """The pair of the data set whose image this file is."""
    for split in dataset.splits:
        try:
            samples = dataset.samples(split)
        except InputError:  # a split that is not there has no part in this
            continue
        for sample in samples:
            if sample.image.name == image.name and sample.image.resolve() == image.resolve():
                return sample
    return None


def parts(
    relations: Sequence[Relation], class_names: Sequence[str], true_class: int | None, labeled: bool
) -> list[Table | str]:
    """What is printed: the classes at the pixel, and the values of the maps."""
    if true_class is not None:
        text = f"The pixel is {plain(class_names[true_class]).plain}."
    else:
        text = "The pixel has no class in the ground truth." if labeled else "There is no ground truth."
    classes = make_table("network", "predicted", "most probable, of the image seen whole")
    for relation in relations:
        top = ", ".join(f"{class_names[k]} {100 * p:.1f} %" for k, p in relation.top)
        classes.add_row(plain(relation.name), plain(class_names[relation.predicted]), plain(top))
    numbers = ("from", "to", "inside", "outside", "order")
    values = make_table("network", *numbers, numbers=numbers)
    for relation in relations:
        cells = (*relation.range, relation.inside, relation.outside)
        order = "-" if relation.order is None else f"{100 * relation.order:.1f} %"
        values.add_row(plain(relation.name), *("-" if v is None else f"{v:.4g}" for v in cells), order)
    meaning = (
        "inside, outside: mean relation to the pixel's true class and to the others; order: share of pairs of a place "
        "inside and one outside in which the one inside is related more. Values depend on a network's scale: compare "
        "only the order between networks."
    )
    return [text, classes, values, *([meaning] if true_class is not None else [])]


def maps_npz(relations: Sequence[Relation]) -> bytes:
    """A NumPy archive: "names" (networks) and "map_0", "map_1", ... in their order, float64 (h, w)."""
    buffer = io.BytesIO()
    content: dict[str, Any] = {"names": np.array([relation.name for relation in relations])}
    content |= {f"map_{i}": relation.map_HW.numpy() for i, relation in enumerate(relations)}
    np.savez(buffer, **content)
    return buffer.getvalue()
