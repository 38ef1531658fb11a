"""Pascal Context (Mottaghi et al., CVPR 2014): the 59 classes of its benchmark, with or without the background.

VOC 2010's 10,103 images of train and val, with 459 classes everywhere. 59 of them are evaluated, here in the order of
the publishers' 59_labels.txt; everything else is ignored (59 classes) or is class 0, background (60 classes).
"""

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import default_palette
from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_mask
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import by_name, missing, names_in, one_of, pair, place
from classaware.data.sources.matlab import read_map
from classaware.data.sources.pascal_detail import DetailLabel, paint, read_detail
from classaware.data.sources.values import ValueTable
from classaware.errors import InputError

_NUMBERS = {  # of the 459 classes of labels.txt, which are in the order of the alphabet
    "aeroplane": 2, "bicycle": 23, "bird": 25, "boat": 31, "bottle": 34, "bus": 45, "car": 59, "cat": 65, "chair": 72,
    "cow": 98, "table": 397, "dog": 113, "horse": 207, "motorbike": 258, "person": 284, "pottedplant": 308,
    "sheep": 347, "sofa": 368, "train": 416, "tvmonitor": 427, "bag": 9, "bed": 18, "bench": 22, "book": 33,
    "building": 44, "cabinet": 46, "ceiling": 68, "cloth": 80, "computer": 85, "cup": 104, "door": 115, "fence": 144,
    "floor": 158, "flower": 159, "food": 162, "grass": 187, "ground": 189, "keyboard": 220, "light": 232,
    "mountain": 259, "mouse": 260, "curtain": 105, "platform": 296, "sign": 355, "plate": 295, "road": 324,
    "rock": 326, "shelves": 349, "sidewalk": 354, "sky": 360, "snow": 366, "bedclothes": 19, "track": 415,
    "tree": 420, "truck": 424, "wall": 440, "water": 445, "window": 454, "wood": 458,
}  # fmt: skip
_CHANGED = {"train": 4_996, "val": 5_104}  # PASCAL in Detail left three of the images out of train and val
_SAMPLE = 500


class PngLabel(NamedTuple):
    """A ready mask and its numbering.

    Attributes:
        mask: the file.
        by_number: whether the classes are in the order of their numbers among the 459.
        rest: the value of everything else: 0, the classes being 1 to 59, or 255, the classes being 0 to 58.
    """

    mask: Entry
    by_number: bool
    rest: int


class PascalContext(Source):
    """59 classes: from the 459-class ``.mat`` maps, ``trainval_merged.json``, or ready PNG masks.

    The forms are looked for in this order: ``.mat``, ``labels/X.png`` and ``59_context_labels/X.png`` (classes in the
    order of 59_labels.txt), JSON, ``SegmentationClassContext/X.png`` (made from the JSON by common tools, classes in
    the order of their numbers). The split of the first three is that of VOC 2010's main lists, or lies beside them.
    """

    name = "pascal-context"
    title = "Pascal Context, 59 classes"
    class_names: ClassVar[tuple[str, ...]] = tuple(_NUMBERS)
    palette = default_palette(60)[1:]
    expected = {"train": 4_998, "val": 5_105}  # noqa: RUF012
    download = (
        "the images, VOCtrainval_03-May-2010.tar (1.3 GB), from the University of Oxford, "
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/; and the labels in one of these forms: trainval.tar.gz "
        "(459-class .mat files) from https://www.cs.stanford.edu/~roozbeh/pascal-context/; trainval_merged.json of the "
        "PASCAL in Detail challenge (https://github.com/zhanghang1989/detail-api); 59_context_labels.tar.gz of the "
        "first page. Give the files as they are, in one folder or one by one, or unpacked; or a folder with "
        "images/X.jpg, labels/X.png (0 = none, 1 to 59), train.txt and val.txt."
    )
    license = "images: the terms of Flickr; annotations: the publishers' own terms, for research"
    reference = (
        "Mottaghi, Chen, Liu, Cho, Lee, Fidler, Urtasun, Yuille: The Role of Context for Object Detection and "
        "Semantic Segmentation in the Wild, CVPR 2014"
    )
    background: ClassVar[bool] = False

    def __init__(self) -> None:
        first, rest = (1, 0) if self.background else (0, IGNORED)
        classes = {number: first + k for k, number in enumerate(_NUMBERS.values())}
        by_number = [classes[number] for number in sorted(classes)]
        self._numbers = ValueTable(dict.fromkeys(range(460), rest) | classes)
        self._png: dict[tuple[bool, int], ValueTable] = {}
        for ordered, order in ((False, list(classes.values())), (True, by_number)):
            values = dict(enumerate(order, start=1))
            self._png[ordered, 0] = ValueTable({0: rest} | values | {255: IGNORED})
            self._png[ordered, 255] = ValueTable(dict(enumerate(order)) | {255: rest})

    def find(self, tree: Tree) -> Layout:
        """Whichever form of the labels is there, with the images."""
        images = by_name(tree, r"VOC2010/JPEGImages/([^/]+)\.jpg", r"JPEGImages/([^/]+)\.jpg", r"images/([^/]+)\.jpg")
        if not images:
            raise missing(self, "JPEGImages/X.jpg (VOCtrainval_03-May-2010.tar)")
        if labels := by_name(tree, r"trainval/([^/]+)\.mat", r"(\d{4}_\d{6})\.mat"):
            return Layout("459-class MATLAB label maps", self._split(tree, "Main", images, labels))
        if labels := by_name(tree, r"labels/([^/]+)\.png", r"59_context_labels/([^/]+)\.png"):
            return Layout("ready PNG masks", self._split(tree, "Main", images, _masks(labels, by_number=False)))
        if annotations := tree.one(r"trainval_merged\.json"):
            return Layout("trainval_merged.json", self._detail(annotations, images), _CHANGED)
        if labels := by_name(tree, r"SegmentationClassContext/([^/]+)\.png"):
            originals = self._split(tree, "SegmentationContext", images, _masks(labels, by_number=True))
            return Layout("ready PNG masks, made from trainval_merged.json", originals, _CHANGED)
        raise missing(self, "trainval/X.mat (or trainval_merged.json, or labels/X.png)")

    def label(self, original: Original) -> NDArray[np.uint8]:
        """Of a ``.mat`` map, a ready mask, or painted from the JSON's regions."""
        label = original.label
        if isinstance(label, DetailLabel):
            return self._numbers(paint(label), label.name)
        if isinstance(label, PngLabel):
            table = self._png[label.by_number, label.rest]
            return table(decode_mask(label.mask.read(), place(label.mask)), place(label.mask))
        return self._numbers(read_map(label, "LabelMap"), place(label))

    def _split(
        self, tree: Tree, lists: str, images: dict[str, Entry], labels: dict[str, Entry] | dict[str, PngLabel]
    ) -> list[Original]:
        """By VOC's lists, or by train.txt and val.txt where there is one of each alone."""
        originals: list[Original] = []
        for split in self.expected:
            file = rf"{split}\.txt"
            entry = one_of(tree, rf"VOC2010/ImageSets/{lists}/{file}", rf"ImageSets/{lists}/{file}", file)
            if entry is None:
                raise missing(self, f"ImageSets/{lists}/{split}.txt (or {split}.txt)")
            originals += pair(self, split, names_in(entry), images, labels)
        return originals

    def _detail(self, annotations: Entry, images: dict[str, Entry]) -> list[Original]:
        phases = read_detail(annotations)
        originals: list[Original] = []
        for split in self.expected:
            labels = phases.get(split)
            if not labels:
                raise missing(self, f"images of phase {split} in {place(annotations)}")
            originals += pair(self, split, sorted(labels), images, labels)
        return originals


class PascalContext60(PascalContext):
    """60 classes: class 0 is everything that is none of the 59."""

    name = "pascal-context-60"
    title = "Pascal Context, 60 classes"
    class_names = ("background", *_NUMBERS)
    palette = default_palette(60)
    background = True


def _masks(labels: dict[str, Entry], by_number: bool) -> dict[str, PngLabel]:
    rest = _value_of_the_rest([labels[name] for name in sorted(labels)])
    return {name: PngLabel(mask, by_number, rest) for name, mask in labels.items()}


def _value_of_the_rest(masks: list[Entry]) -> int:
    """0 (classes 1 to 59) or 255 (classes 0 to 58), from the values of at most 500 masks over the whole set.

    The value 59, wood, is in the first numbering alone. Without any 59, 255 tells the second, unless 0 is in most
    masks: there it would be the aeroplane.

    Raises:
        InputError: the values do not tell.
    """
    sample = masks[:: -(-len(masks) // _SAMPLE)]
    unlabeled = zeros = 0
    for entry in sample:
        values = np.unique(decode_mask(entry.read(), place(entry)))
        if 59 in values:
            return 0
        unlabeled += 255 in values
        zeros += 0 in values
    if unlabeled and 2 * zeros <= len(sample):
        return 255
    raise InputError(
        f"{place(masks[0])} and the other masks do not tell whether 0 is a class or none (59 is in no mask, 255 in "
        f"{unlabeled} and 0 in {zeros} of {len(sample)}): give all masks of the data set, or its .mat files or "
        "trainval_merged.json."
    )
