"""Anybody's images in a folder."""

from pathlib import Path

from classaware.data.dataset import (
    Sample,
    SegmentationDataset,
    default_palette,
    is_hidden,
    pair_files,
    read_class_names,
)
from classaware.data.manifest import UNFINISHED, Manifest
from classaware.errors import InputError


class FolderDataset(SegmentationDataset):
    """Images and index masks in folders, the splits being the folders found: one's own, or a prepared data set.

    A folder made by ``classaware data prepare`` has a manifest, which says its colors and what ``ignore_index`` is.

    Args:
        root: folder with images/SPLIT/X.jpg (.jpeg, .png, .bmp, .webp), masks/SPLIT/X.png and classes.txt, whose line
            i names class i.
        ignore_index: value of pixels without a class; default: the manifest's, or 255.
    """

    def __init__(self, root: Path, ignore_index: int | None = None) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise InputError(f"data folder {self.root} does not exist: give yours as data.dataset.root.")
        if (self.root / UNFINISHED).is_file():
            raise InputError(
                f"{self.root} is not prepared to the end: run the same 'classaware data prepare' again, which goes on."
            )
        self.class_names = read_class_names(self.root / "classes.txt")
        self.manifest = Manifest.read(self.root)
        if self.manifest is not None and self.manifest.class_names != self.class_names:
            raise InputError(
                f"{self.root / 'classes.txt'} and manifest.json beside it name different classes: restore the list, or "
                "remove the manifest if you made this data set your own."
            )
        self.palette = self.manifest.palette if self.manifest else default_palette(self.num_classes)
        known = self.manifest.ignore_index if self.manifest else 255
        self.ignore_index = known if ignore_index is None else ignore_index
        if 0 <= self.ignore_index < self.num_classes:
            raise InputError(
                f"ignore_index={self.ignore_index} is the number of a class ({self.class_names[self.ignore_index]!r}), "
                "which would never be learned nor counted: give a value that no class has."
            )
        images = self.root / "images"
        self.splits = (
            tuple(sorted(p.name for p in images.iterdir() if p.is_dir() and not is_hidden(p)))
            if images.is_dir()
            else ()
        )
        if not self.splits:
            raise InputError(
                f"{images} holds no folder: images belong into images/train, images/val, ..., masks into masks/train, "
                f"masks/val, ... of {self.root}."
            )

    def samples(self, split: str) -> list[Sample]:
        """All pairs of one of the folders."""
        self.check_split(split)
        return pair_files(self.root / "images" / split, self.root / "masks" / split)
