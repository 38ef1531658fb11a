"""MSRC-21: Microsoft Research Cambridge's object recognition images, version 2, in the split of TextonBoost."""

import re

import numpy as np
from numpy.typing import NDArray

from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_colors
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import by_name, missing, names_in, one_of, pair, place
from classaware.data.sources.values import ColorTable

_CLASSES = {
    "building": (128, 0, 0),
    "grass": (0, 128, 0),
    "tree": (128, 128, 0),
    "cow": (0, 0, 128),
    "sheep": (0, 128, 128),
    "sky": (128, 128, 128),
    "aeroplane": (192, 0, 0),
    "water": (64, 128, 0),
    "face": (192, 128, 0),
    "car": (64, 0, 128),
    "bicycle": (192, 0, 128),
    "flower": (64, 128, 128),
    "sign": (192, 128, 128),
    "bird": (0, 64, 0),
    "book": (128, 64, 0),
    "chair": (0, 192, 0),
    "road": (128, 64, 128),
    "cat": (0, 192, 128),
    "dog": (128, 192, 128),
    "body": (64, 64, 0),
    "boat": (192, 64, 0),
}
# Void, and two classes with too few images to be learned: horse and mountain.
_UNUSED = ((0, 0, 0), (128, 0, 128), (64, 0, 0))
_COLORS = ColorTable({color: k for k, color in enumerate(_CLASSES.values())} | dict.fromkeys(_UNUSED, IGNORED))
_LISTS = {"train": "Train.txt", "val": "Validation.txt", "test": "Test.txt"}


class Msrc21(Source):
    """From ``Images/X.bmp``, the colors of ``GroundTruth/X_GT.bmp``, and the three lists of the split."""

    name = "msrc21"
    title = "MSRC-21"
    class_names = tuple(_CLASSES)
    palette = tuple(_CLASSES.values())
    expected = {"train": 276, "val": 59, "test": 256}  # noqa: RUF012
    download = (
        "MSRC_ObjCategImageDatabase_v2.zip (Images, GroundTruth) from Microsoft Research Cambridge (Image "
        "Understanding, object class recognition), and TextonBoostSplits.zip (Train.txt, Validation.txt, Test.txt) by "
        "Jamie Shotton, http://jamie.shotton.org/work/data/TextonBoostSplits.zip. Give the two zips as they are, in "
        "one folder or one by one, or unpacked."
    )
    license = "Microsoft Research's own terms, which come with the download: for research"
    reference = (
        "Shotton, Winn, Rother, Criminisi: TextonBoost: Joint Appearance, Shape and Context Modeling for Multi-Class "
        "Object Recognition and Segmentation, ECCV 2006"
    )

    def find(self, tree: Tree) -> Layout:
        """The images that the three lists name."""
        images = by_name(tree, r"Images/([^/]+)\.(?i:bmp|png|jpe?g)")
        labels = by_name(tree, r"GroundTruth/([^/]+)_GT\.(?i:bmp|png)")
        if not images or not labels:
            raise missing(self, "Images/X.bmp" if not images else "GroundTruth/X_GT.bmp")
        originals: list[Original] = []
        for split, name in _LISTS.items():
            entry = one_of(tree, rf"(?i:{re.escape(name)})")
            if entry is None:
                raise missing(self, f"the list of split {split}, {name} (TextonBoostSplits.zip),")
            originals += pair(self, split, names_in(entry), images, labels)
        return Layout("color pictures", originals)

    def label(self, original: Original) -> NDArray[np.uint8]:
        """The colors of the 21 classes; void, horse and mountain are ignored."""
        entry: Entry = original.label
        return _COLORS(decode_colors(entry.read(), place(entry)), place(entry))
