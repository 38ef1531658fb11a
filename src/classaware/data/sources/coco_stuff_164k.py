"""COCO-Stuff 164K: all images of COCO 2017's train and val with 171 classes."""

import numpy as np
from numpy.typing import NDArray

from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_mask
from classaware.data.sources import coco_stuff
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import by_name, missing, pair, place
from classaware.data.sources.values import ValueTable

# Pixels hold the class's number less one, so that 0 is a person; 255 is unlabeled.
_PIXELS = ValueTable(
    {number - 1: index for number, index in coco_stuff.CLASS_OF_NUMBER.items() if number} | {255: IGNORED}
)


class CocoStuff164K(Source):
    """From ``train2017/X.jpg`` and ``train2017/X.png``, likewise val2017, wherever the two folders lie."""

    name = "coco-stuff-164k"
    title = "COCO-Stuff 164K"
    class_names = coco_stuff.CLASS_NAMES
    palette = coco_stuff.PALETTE
    expected = {"train": 118_287, "val": 5_000}  # noqa: RUF012
    download = (
        "train2017.zip (18 GB) and val2017.zip (1 GB) from https://cocodataset.org (Download, 2017 Train and Val "
        "images), and stuffthingmaps_trainval2017.zip (659 MB) from the University of Edinburgh, linked on "
        "https://github.com/nightrome/cocostuff. Give the three zips as they are, in one folder or one by one, or "
        "unpacked."
    )
    license = coco_stuff.LICENSE
    reference = coco_stuff.REFERENCE

    def find(self, tree: Tree) -> Layout:
        """Every label map of train and val, with its image."""
        originals: list[Original] = []
        for split in self.expected:
            labels = by_name(tree, rf"{split}2017/(\d+)\.png")
            images = by_name(tree, rf"{split}2017/(\d+)\.jpg")
            if not labels:
                raise missing(self, f"{split}2017/X.png (stuffthingmaps_trainval2017.zip)")
            if not images:
                raise missing(self, f"{split}2017/X.jpg ({split}2017.zip)")
            originals += pair(self, split, sorted(labels | images), images, labels)
        return Layout("stuff and thing maps", originals)

    def label(self, original: Original) -> NDArray[np.uint8]:
        """Pixels 0 to 181 and 255."""
        entry: Entry = original.label
        return _PIXELS(decode_mask(entry.read(), place(entry)), place(entry))
