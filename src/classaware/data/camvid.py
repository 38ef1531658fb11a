"""CamVid: Brostow et al., ECCV 2008, in the 11-class split of SegNet (Badrinarayanan et al., PAMI 2017)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import Sample, SegmentationDataset, pair_files

_CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign symbol": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}


class CamVid(SegmentationDataset):
    """701 frames of driving video: 367 train, 101 val, 233 test.

    Args:
        root: folder with train/X.png (or .jpg) and trainannot/X.png, likewise val and test, where 11 means unlabeled;
            or what ``classaware data prepare camvid`` made of it.
    """

    class_names = tuple(_CLASSES)
    palette = tuple(_CLASSES.values())
    splits = ("train", "val", "test")

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def samples(self, split: str) -> list[Sample]:
        """All pairs of train, val or test."""
        self.check_split(split)
        if (self.root / "manifest.json").is_file():
            return pair_files(self.root / "images" / split, self.root / "masks" / split)
        return pair_files(self.root / split, self.root / f"{split}annot")

    def map_values(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        """11, unlabeled, to ``ignore_index``."""
        return np.where(label == len(_CLASSES), self.ignore_index, label)
