"""``classaware data show``: a contact sheet of images with their masks."""

import random
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from jsonargparse import ArgumentParser

from classaware.data.dataset import SegmentationDataset
from classaware.data.open import open_dataset
from classaware.errors import InputError
from classaware.files import write_atomically
from classaware.insight.contact_sheet import Tile, contact_sheet, make_tile, sheet_png


def build_parser() -> ArgumentParser:
    """Which images, and where the sheet goes."""
    parser = ArgumentParser(
        prog="classaware data show",
        description="A contact sheet: images drawn at random, each beside itself with its mask laid over, and the "
        "colors of the classes that occur.",
        exit_on_error=False,
    )
    parser.add_argument("path", type=Path, help="folder with classes.txt, images/ and masks/, or of CamVid")
    parser.add_argument("--output", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--split", type=str | None, default=None, help="part of the data set; default: train")
    parser.add_argument("--count", type=int, default=12, help="number of images")
    parser.add_argument("--seed", type=int, default=0, help="which images are drawn")
    parser.add_argument("--class", type=str | None, default=None, help="only images that hold this class")
    parser.add_argument("--ignore_index", type=int | None, default=None, help="mask value of pixels without a class")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Draw the sheet."""
    config = build_parser().parse_args(arguments)
    if config.output.suffix.lower() != ".png":
        raise InputError(f"--output {config.output}: the sheet is a PNG file; let its name end in .png.")
    if config.count < 1:
        raise InputError(f"--count {config.count}: must be at least 1.")
    dataset = open_dataset(config.path, config.ignore_index)
    split = config.split or ("train" if "train" in dataset.splits else dataset.splits[0])
    wanted = None if config["class"] is None else class_index(dataset, config["class"])
    tiles = pick_tiles(dataset, split, config.count, config.seed, wanted)
    if not tiles:
        raise InputError(f"no image of {split} holds the class {config['class']!r}: choose another class or split.")
    sheet = contact_sheet(tiles, dataset.class_names, dataset.palette)
    write_atomically(config.output, sheet_png(sheet))
    print(config.output)


def pick_tiles(dataset: SegmentationDataset, split: str, count: int, seed: int, wanted: int | None) -> list[Tile]:
    """At most ``count`` images drawn at random, sorted by name; with ``wanted``, only such as hold this class."""
    samples = dataset.samples(split)
    random.Random(seed).shuffle(samples)

    def holding() -> Iterator[Tile]:
        for sample in samples:
            image, label = dataset.read(sample)
            if wanted is None or bool((label == wanted).any()):
                yield make_tile(sample.name, image.permute(1, 2, 0).numpy(), label.numpy())

    return sorted(islice(holding(), count), key=lambda tile: tile.name)


def class_index(dataset: SegmentationDataset, name: str) -> int:
    """The class of this name.

    Raises:
        InputError: there is none; names the nearest.
    """
    if name in dataset.class_names:
        return dataset.class_names.index(name)
    near = get_close_matches(name, dataset.class_names, 1)
    known = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(dataset.class_names)}."
    raise InputError(f"there is no class {name!r}; {known}")
