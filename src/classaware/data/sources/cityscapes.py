"""Cityscapes (Cordts et al., CVPR 2016), the 19 classes that its benchmark evaluates."""

import numpy as np
from numpy.typing import NDArray

from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_mask
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import by_name, missing, pair, place
from classaware.data.sources.values import ValueTable

_CLASSES = {  # name: number in the labelIds files, color
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
# 255 is -1, license plate, where it was drawn and stored in a byte.
_NUMBERS = ValueTable(
    dict.fromkeys((*range(34), 255), IGNORED) | {number: k for k, (number, _) in enumerate(_CLASSES.values())}
)
_TRAIN_IDS = ValueTable({index: index for index in range(19)} | {255: IGNORED})


class Cityscapes(Source):
    """From ``leftImg8bit`` and ``gtFine``; of the labels ``_labelIds.png``, or else ``_labelTrainIds.png``."""

    name = "cityscapes"
    title = "Cityscapes"
    class_names = tuple(_CLASSES)
    palette = tuple(color for _, color in _CLASSES.values())
    expected = {"train": 2975, "val": 500}  # noqa: RUF012
    download = (
        "leftImg8bit_trainvaltest.zip (11 GB) and gtFine_trainvaltest.zip (241 MB) from "
        "https://www.cityscapes-dataset.com/downloads/ (after registration). Give the two zips as they are, in one "
        "folder or one by one, or unpacked. The test images have no public labels and are left out."
    )
    license = "Cityscapes' own terms: free for research and other non-commercial use, no redistribution"
    reference = (
        "Cordts, Omran, Ramos, Rehfeld, Enzweiler, Benenson, Franke, Roth, Schiele: The Cityscapes Dataset for "
        "Semantic Urban Scene Understanding, CVPR 2016"
    )

    def find(self, tree: Tree) -> Layout:
        """Train and val."""
        originals: list[Original] = []
        kind = "labelIds" if tree.find(r"gtFine/train/[^/]+/[^/]+_gtFine_labelIds\.png") else "labelTrainIds"
        for split in self.expected:
            images = by_name(tree, rf"leftImg8bit/{split}/[^/]+/([^/]+)_leftImg8bit\.png")
            labels = by_name(tree, rf"gtFine/{split}/[^/]+/([^/]+)_gtFine_{kind}\.png")
            if not images:
                raise missing(self, f"leftImg8bit/{split}/CITY/X_leftImg8bit.png")
            if not labels:
                raise missing(self, f"gtFine/{split}/CITY/X_gtFine_labelIds.png")
            originals += pair(self, split, sorted(images | labels), images, labels)
        return Layout(f"gtFine {kind}", originals)

    def label(self, original: Original) -> NDArray[np.uint8]:
        """Numbers 0 to 33 of a ``labelIds`` file, or classes of a ``labelTrainIds`` file."""
        entry: Entry = original.label
        table = _NUMBERS if entry.path.endswith("_labelIds.png") else _TRAIN_IDS
        return table(decode_mask(entry.read(), place(entry)), place(entry))
