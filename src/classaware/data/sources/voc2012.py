"""PASCAL VOC 2012 segmentation (Everingham et al.), with the additional masks of SBD (Hariharan et al., ICCV 2011)."""

import re

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import default_palette
from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_colors, decode_mask, is_colored
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import by_name, missing, names_in, one_of, pair, place
from classaware.data.sources.matlab import read_map
from classaware.data.sources.values import ColorTable, ValueTable

_NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
)
_PALETTE = default_palette(21)
_BORDER = (224, 224, 192)  # the color of 255 in VOC's palette
_VALUES = ValueTable({index: index for index in range(21)} | {255: IGNORED})
_COLORS = ColorTable({color: index for index, color in enumerate(_PALETTE)} | {_BORDER: IGNORED})
_AUGMENTED = {"train": 10_582, "val": 1_449}
_VOC_LISTS = "ImageSets/Segmentation/"


class Voc2012(Source):
    """VOC's own masks alone (1,464 to train on), or with SBD's or ready ``SegmentationClassAug`` masks (10,582).

    The augmented set is VOC's train and everything of SBD that is not in VOC's val. VOC's own masks go before the
    others, as they are drawn with more care. The split is called train in either form.
    """

    name = "voc2012"
    title = "PASCAL VOC 2012"
    class_names = tuple(_NAMES.split())
    palette = _PALETTE
    expected = {"train": 1_464, "val": 1_449}  # noqa: RUF012
    download = (
        "VOCtrainval_11-May-2012.tar (2 GB) from the University of Oxford, "
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/. For the augmented set also benchmark.tgz (1.4 GB) of the "
        "Semantic Boundaries Dataset, University of California, Berkeley "
        "(http://www.cs.berkeley.edu/~bharath2/codes/SBD/download.html), or a folder SegmentationClassAug of ready "
        "PNG masks. Give the archives as they are, in one folder or one by one, or unpacked."
    )
    license = "images: the terms of Flickr; annotations of VOC and SBD: the publishers' own terms, for research"
    reference = (
        "Everingham, Eslami, Van Gool, Williams, Winn, Zisserman: The PASCAL Visual Object Classes Challenge: A "
        "Retrospective, IJCV 2015; Hariharan, Arbelaez, Bourdev, Maji, Malik: Semantic Contours from Inverse "
        "Detectors, ICCV 2011"
    )

    def find(self, tree: Tree) -> Layout:
        """Train, augmented where further masks are there, and val."""
        images = by_name(tree, r"VOC2012/JPEGImages/([^/]+)\.jpg", r"JPEGImages/([^/]+)\.jpg")
        own = by_name(tree, r"VOC2012/SegmentationClass/([^/]+)\.png", r"SegmentationClass/([^/]+)\.png")
        ready = by_name(tree, r"SegmentationClassAug/([^/]+)\.png")
        boundaries = by_name(tree, r"dataset/cls/([^/]+)\.mat")
        if not images:
            raise missing(self, "JPEGImages/X.jpg")
        if not own and not ready:
            raise missing(self, "SegmentationClass/X.png")
        train, val = (self._list(tree, f"{_VOC_LISTS}{split}.txt") for split in ("train", "val"))
        form = "VOC"
        if ready:
            form, further = "VOC and SegmentationClassAug", self._ready_names(tree, ready)
        elif boundaries:
            form = "VOC and SBD"
            further = [name for split in ("train", "val") for name in self._list(tree, f"dataset/{split}.txt")]
        else:
            further = []
        names = sorted((set(train) | set(further)) - set(val))
        labels = boundaries | ready | own
        originals = pair(self, "train", names, images, labels) + pair(self, "val", val, images, labels)
        return Layout(form, originals, self.expected if form == "VOC" else _AUGMENTED)

    def label(self, original: Original) -> NDArray[np.uint8]:
        """Indices of a palette or gray PNG, colors of a color PNG, or SBD's ``GTcls.Segmentation``."""
        entry: Entry = original.label
        if entry.path.endswith(".mat"):
            return _VALUES(read_map(entry, "GTcls", "Segmentation"), place(entry))
        data, name = entry.read(), place(entry)
        if is_colored(data, name):
            return _COLORS(decode_colors(data, name), name)
        return _VALUES(decode_mask(data, name), name)

    def _list(self, tree: Tree, path: str) -> list[str]:
        """Names of a list; VOC 2012's where there are several of VOC."""
        entry = one_of(tree, rf"VOC2012/{re.escape(path)}", re.escape(path))
        if entry is None:
            raise missing(self, path)
        return names_in(entry)

    def _ready_names(self, tree: Tree, ready: dict[str, Entry]) -> list[str]:
        """Of the list trainaug where it is given; or else all masks there are, less those of val."""
        entry = one_of(tree, r"(?:trainaug|train_aug)\.txt")
        return sorted(ready) if entry is None else names_in(entry)
