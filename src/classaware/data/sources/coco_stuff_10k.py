"""COCO-Stuff 10K: 10,000 images of COCO 2014 with 171 classes."""

import numpy as np
from numpy.typing import NDArray

from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_mask
from classaware.data.sources import coco_stuff
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import by_name, missing, names_in, one_of, pair, place
from classaware.data.sources.matlab import read_map, shapes
from classaware.data.sources.values import ValueTable
from classaware.errors import InputError

_NUMBERS = ValueTable(coco_stuff.CLASS_OF_NUMBER)
_CLASSES = ValueTable({index: index for index in range(171)} | {IGNORED: IGNORED})


class CocoStuff10K(Source):
    """From ``annotations/X.mat`` of version 1.1, or from ready ``labels/X.png`` (0 to 170, and 255)."""

    name = "coco-stuff-10k"
    title = "COCO-Stuff 10K"
    class_names = coco_stuff.CLASS_NAMES
    palette = coco_stuff.PALETTE
    expected = {"train": 9000, "test": 1000}  # noqa: RUF012
    download = (
        "cocostuff-10k-v1.1.zip (2.0 GB; images, annotations and lists) from the University of Edinburgh, linked on "
        "https://github.com/nightrome/cocostuff10k. Give the zip as it is, its unpacked folder, or a folder with "
        "images/X.jpg, labels/X.png (0 to 170, 255 = none), train.txt and test.txt."
    )
    license = coco_stuff.LICENSE
    reference = coco_stuff.REFERENCE

    def find(self, tree: Tree) -> Layout:
        """Whichever of the two forms is there; the ``.mat`` files first."""
        if labels := by_name(tree, r"annotations/([^/]+)\.mat"):
            form, lists = "MATLAB label maps", r"imageLists/"
        elif labels := by_name(tree, r"labels/([^/]+)\.png"):
            form, lists = "ready PNG masks", ""
        else:
            raise missing(self, "annotations/X.mat (or labels/X.png)")
        images = by_name(tree, r"images/([^/]+)\.jpg", r"images/([^/]+)\.png")
        originals: list[Original] = []
        for split in self.expected:
            entry = one_of(tree, rf"{lists}{split}\.txt")
            if entry is None:
                raise missing(self, f"{lists}{split}.txt")
            originals += pair(self, split, names_in(entry), images, labels)
        return Layout(form, originals)

    def label(self, original: Original) -> NDArray[np.uint8]:
        """Numbers 0 to 182 of a ``.mat`` file, or classes of a PNG."""
        entry: Entry = original.label
        if entry.path.endswith(".png"):
            return _CLASSES(decode_mask(entry.read(), place(entry)), place(entry))
        if 172 in shapes(entry).get("names", ()):
            raise InputError(
                f"{place(entry)} is of version 1.0, which numbers the classes otherwise: {self.title} is read from "
                f"version 1.1. {self.download}"
            )
        return _NUMBERS(read_map(entry, "S"), place(entry))
