"""Anybody's images and index masks, in a folder or an archive."""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import default_palette
from classaware.data.preparation.archives import Entry, Tree
from classaware.data.reading import decode_mask
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.data.sources.files import IMAGE, by_name, missing, one_of, pair, place, plain_name
from classaware.data.sources.values import ValueTable
from classaware.errors import InputError


class FolderLabel(NamedTuple):
    """A mask and the number of classes that its values may be."""

    mask: Entry
    num_classes: int


class Folder(Source):
    """From ``images/SPLIT/X.jpg``, ``masks/SPLIT/X.png`` and ``classes.txt``, whose line i names class i."""

    name = "folder"
    title = "A folder of images and masks"
    class_names = ()
    palette = ()
    expected = {}  # noqa: RUF012
    download = (
        "nothing; give a folder or archive of your own with images/SPLIT/X.jpg (.jpeg, .png, .bmp, .webp), "
        "masks/SPLIT/X.png (values 0 to K-1, 255 = none) and classes.txt (line i names class i)."
    )
    license = "yours"
    reference = "yours"

    def find(self, tree: Tree) -> Layout:
        """All splits that have masks."""
        listed = one_of(tree, r"classes\.txt")
        if listed is None:
            raise missing(self, "classes.txt")
        class_names = _class_names(listed)
        splits = sorted({match.group(1) for _, match in tree.find(r"images/([^/]+)/[^/]+\." + IMAGE)})
        if not splits:
            raise missing(self, "images/SPLIT/X.jpg")
        originals: list[Original] = []
        for split in splits:
            images = by_name(tree, rf"images/{re.escape(split)}/([^/]+)\.{IMAGE}")
            masks = by_name(tree, rf"masks/{re.escape(split)}/([^/]+)\.png")
            labels = {name: FolderLabel(mask, len(class_names)) for name, mask in masks.items()}
            originals += [
                original._replace(split=plain_name(split), name=plain_name(original.name))
                for original in pair(self, split, sorted(images), images, labels)
            ]
        return Layout("images, masks, classes.txt", originals, None, class_names, default_palette(len(class_names)))

    def label(self, original: Original) -> NDArray[np.uint8]:
        """0 to K-1 are the classes, 255 is ignored."""
        mask, num_classes = original.label
        table = ValueTable({index: index for index in range(num_classes)} | {IGNORED: IGNORED})
        return table(decode_mask(mask.read(), place(mask)), place(mask))


def _class_names(entry: Entry) -> tuple[str, ...]:
    """Line i of the list is the name of class i; blank lines at the end are passed over."""
    try:
        names = tuple(line.strip() for line in entry.read().decode("utf-8-sig").rstrip().splitlines())
    except UnicodeDecodeError as error:
        raise InputError(f"class list {place(entry)} must be UTF-8 text with one class name a line.") from error
    if not names or not all(names) or len(set(names)) < len(names) or len(names) > IGNORED:
        raise InputError(
            f"class list {place(entry)} must hold one name a line, without gaps or repetitions, {IGNORED} at most."
        )
    return names
