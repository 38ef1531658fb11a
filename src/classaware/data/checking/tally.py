"""Sums over the pairs of a split, taken one by one."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classaware.data.checking.inspection import Inspection, Size


@dataclass(eq=False)
class Tally:
    """What a split holds.

    Attributes:
        name: of the split.
        num_classes: K.
        images: files that were looked at, the unreadable ones among them.
        pixels_K: int64, pixels of each class.
        images_K: int64, images that hold each class.
        ignored: pixels of ``ignore_index``.
        other_pixels: pixels whose value is neither.
        smallest: (height, width) of the image of the fewest pixels.
        largest: that of the most.
    """

    name: str
    num_classes: int
    images: int = 0
    pixels_K: NDArray[np.int64] = field(init=False)
    images_K: NDArray[np.int64] = field(init=False)
    ignored: int = 0
    other_pixels: int = 0
    smallest: Size | None = None
    largest: Size | None = None

    def __post_init__(self) -> None:
        self.pixels_K = np.zeros(self.num_classes, dtype=np.int64)
        self.images_K = np.zeros(self.num_classes, dtype=np.int64)

    def add(self, seen: Inspection) -> None:
        """Count one pair."""
        self.images += 1
        if seen.size is not None:
            self.smallest = min(self.smallest or seen.size, seen.size, key=lambda size: (size[0] * size[1], size))
            self.largest = max(self.largest or seen.size, seen.size, key=lambda size: (size[0] * size[1], size))
        if seen.histogram is not None:
            for index, pixels in seen.histogram.counts.items():
                self.pixels_K[index] += pixels
                self.images_K[index] += 1
            self.ignored += seen.histogram.ignored
            self.other_pixels += seen.histogram.other_pixels

    @property
    def pixels(self) -> int:
        """All pixels of all masks that can be read."""
        return int(self.pixels_K.sum()) + self.ignored + self.other_pixels

    @property
    def labeled_share(self) -> float | None:
        """Share of pixels that have a class; None where there is no pixel."""
        return int(self.pixels_K.sum()) / self.pixels if self.pixels else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "split": self.name,
            "images": self.images,
            "pixels": self.pixels,
            "ignored_pixels": self.ignored,
            "other_pixels": self.other_pixels,
            "labeled_share": self.labeled_share,
            "smallest": self.smallest and list(self.smallest),
            "largest": self.largest and list(self.largest),
            "class_pixels": self.pixels_K.tolist(),
            "class_images": self.images_K.tolist(),
        }
