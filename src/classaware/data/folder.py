"""Anybody's images in a folder."""

from pathlib import Path

from classaware.data.dataset import Sample, SegmentationDataset, default_palette, pair_files, read_class_names
from classaware.errors import InputError


class FolderDataset(SegmentationDataset):
    """Images and index masks in folders, the splits being the folders found.

    Args:
        root: folder with images/SPLIT/X.jpg (.jpeg, .png, .bmp, .webp), masks/SPLIT/X.png and classes.txt, whose line
            i names class i.
        ignore_index: value of pixels without a class.
    """

    def __init__(self, root: Path, ignore_index: int = 255) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise InputError(f"data folder {self.root} does not exist: give yours as data.dataset.root.")
        self.class_names = read_class_names(self.root / "classes.txt")
        self.palette = default_palette(self.num_classes)
        self.ignore_index = ignore_index
        images = self.root / "images"
        self.splits = tuple(sorted(path.name for path in images.iterdir() if path.is_dir())) if images.is_dir() else ()
        if not self.splits:
            raise InputError(f"{images} holds no folder: expected images/train, images/val, ... in {self.root}.")

    def samples(self, split: str) -> list[Sample]:
        """All pairs of one of the folders."""
        self.check_split(split)
        return pair_files(self.root / "images" / split, self.root / "masks" / split)
