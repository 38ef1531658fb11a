"""Which classes occur together in the images of a data set."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import Sample, SegmentationDataset
from classaware.data.parallel import Progress, in_parallel
from classaware.errors import InputError


class Pair(NamedTuple):
    """Two classes, in the list's order.

    Attributes:
        first: index of the one.
        second: index of the other.
        images: how many hold both.
        expected: how many would if they knew nothing of each other.
        lift: images / expected.
    """

    first: int
    second: int
    images: int
    expected: float
    lift: float


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Co-occurrence of K classes in the images of a split.

    Attributes:
        class_names: K names.
        images: number of images, N.
        counts_KK: int64, images that hold both classes; on the diagonal, images that hold the class.
        min_pixels: from how many pixels on an image holds a class.
    """

    class_names: tuple[str, ...]
    images: int
    counts_KK: NDArray[np.int64]
    min_pixels: int = 1

    def conditional(self) -> NDArray[np.float64]:
        """P(column | row), float64 (K, K): share of the row's images that hold the column's class; nan: row absent."""
        return _divide(self.counts_KK.astype(np.float64), np.diag(self.counts_KK)[:, None])

    def expected(self) -> NDArray[np.float64]:
        """float64 (K, K): images that would hold both if classes were independent, n_row n_column / N."""
        single_K = np.diag(self.counts_KK).astype(np.float64)
        return np.outer(single_K, single_K) / max(self.images, 1)

    def lift(self) -> NDArray[np.float64]:
        """P(both) / (P(row) P(column)), float64 (K, K): 1 is chance, nan where a class is absent."""
        return _divide(self.counts_KK.astype(np.float64), self.expected())

    def pairs(self) -> list[Pair]:
        """All pairs of two different classes that both occur in the split, together or not."""
        expected, lift = self.expected(), self.lift()
        present = np.flatnonzero(np.diag(self.counts_KK)).tolist()
        return [
            Pair(*at, int(self.counts_KK[at]), float(expected[at]), float(lift[at]))
            for position, first in enumerate(present)
            for at in ((first, second) for second in present[position + 1 :])
        ]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; nan becomes null."""
        return {
            "images": self.images,
            "min_pixels": self.min_pixels,
            "class_names": list(self.class_names),
            "counts": self.counts_KK.tolist(),
            "conditional": _rows(self.conditional()),
            "lift": _rows(self.lift()),
        }


def count_pairs(
    dataset: SegmentationDataset,
    split: str = "train",
    min_pixels: int = 1,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PairCounts:
    """Count in how many images of a split each two classes occur together.

    Args:
        dataset: whose masks are read; its images are not.
        split: part of it.
        min_pixels: an image holds a class with at least so many pixels.
        workers: processes that read masks; 0 reads in this one, None takes one a core.
        progress: is told (done, all) after every mask.

    Raises:
        InputError: no such split, min_pixels below 1, or a mask that cannot be used.
    """
    if min_pixels < 1:
        raise InputError(f"min_pixels={min_pixels}: must be at least 1.")
    samples = dataset.samples(split)
    counts_KK = np.zeros((dataset.num_classes, dataset.num_classes), dtype=np.int64)
    for classes in in_parallel(_Classes(dataset, min_pixels), samples, workers, progress):
        counts_KK[np.ix_(classes, classes)] += 1
    return PairCounts(tuple(dataset.class_names), len(samples), counts_KK, min_pixels)


@dataclass(frozen=True)
class _Classes:
    """The classes of a sample's mask; can be sent to other processes."""

    dataset: SegmentationDataset
    min_pixels: int

    def __call__(self, sample: Sample) -> list[int]:
        label = self.dataset.read_label(sample)
        classes, pixels = np.unique(label[label != self.dataset.ignore_index], return_counts=True)
        return classes[pixels >= self.min_pixels].tolist()


def _divide(numerator: NDArray[np.float64], denominator: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _rows(square: NDArray[np.float64]) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in square.tolist()]
