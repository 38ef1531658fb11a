"""Which classes occur together in the images of a data set: in one image, or touching each other there."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from classaware.data.dataset import Sample, SegmentationDataset
from classaware.data.parallel import Progress, in_parallel
from classaware.errors import InputError

Together = Literal["image", "touching"]

_REACH = 0.02  # of the diagonal: wider than the unlabeled borders around objects (VOC's have 5 pixels)


class Pair(NamedTuple):
    """Two classes, in the list's order.

    Attributes:
        first: index of the one.
        second: index of the other.
        images: how many hold both.
        expected: how many would by chance, see `PairCounts.expected`.
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
        counts_KK: int64, images in which both classes are together; on the diagonal, images that hold the class.
        min_pixels: from how many pixels on an image holds a class.
        together: "image": both are in the image; "touching": they touch in it, see `classes_and_pairs`.
    """

    class_names: tuple[str, ...]
    images: int
    counts_KK: NDArray[np.int64]
    min_pixels: int = 1
    together: Together = "image"

    def conditional(self) -> NDArray[np.float64]:
        """P(column | row), float64 (K, K): share of the row's images that hold the column's class; nan: row absent."""
        return _divide(self.counts_KK.astype(np.float64), np.diag(self.counts_KK)[:, None])

    def expected(self) -> NDArray[np.float64]:
        """float64 (K, K): images in which two classes would be together by chance.

        In one image: n_row n_column / N, as if classes were independent. Touching: w_row w_column with the one factor a
        class for which every class has as many contacts with all others as were counted (not m_row m_column / M,
        which lets a class meet itself: three classes that meet alike would have a lift of 1.5); classes of one image
        need not touch, so that independence would call every pair rare.
        """
        counts = self.counts_KK.astype(np.float64)
        if self.together == "image":
            single_K = np.diag(counts)
            return np.outer(single_K, single_K) / max(float(self.images), 1.0)
        eager_K = _eagerness(counts.sum(axis=1) - np.diag(counts))
        # As far as the iteration reaches: what is equal must not differ by rounding, for lifts are compared with 1.
        return np.round(np.outer(eager_K, eager_K), 6)

    def lift(self) -> NDArray[np.float64]:
        """Counts over `expected`, float64 (K, K): 1 is chance, nan where a class is never together with another."""
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
            "together": self.together,
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
    together: Together = "image",
) -> PairCounts:
    """Count in how many images of a split each two classes occur together.

    Args:
        dataset: whose masks are read; its images are not.
        split: part of it.
        min_pixels: an image holds a class with at least so many pixels.
        workers: processes that read masks; 0 reads in this one, None takes one a core.
        progress: is told (done, all) after every mask.
        together: in one image, or touching.

    Raises:
        InputError: no such split, min_pixels below 1, or a mask that cannot be used.
    """
    read = MaskCombinations(dataset, min_pixels, together)
    samples = dataset.samples(split)
    counts_KK = np.zeros((dataset.num_classes, dataset.num_classes), dtype=np.int64)
    for present_K, together_KK in in_parallel(read, samples, workers, progress):
        counts_KK += together_KK | np.diag(present_K)
    return PairCounts(tuple(dataset.class_names), len(samples), counts_KK, min_pixels, together)


@dataclass(frozen=True)
class MaskCombinations:
    """`classes_and_pairs` of a sample's mask; can be sent to other processes.

    Raises:
        InputError: min_pixels below 1, another word for ``together``; when called, a mask that cannot be used.
    """

    dataset: SegmentationDataset
    min_pixels: int = 1
    together: Together = "image"

    def __post_init__(self) -> None:
        if self.min_pixels < 1:
            raise InputError(f"min_pixels={self.min_pixels}: must be at least 1.")
        if self.together not in get_args(Together):
            raise InputError(f"together={self.together!r} is unknown; choose one of {', '.join(get_args(Together))}.")

    def __call__(self, sample: Sample) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Classes (K,) and pairs (K, K) of the mask."""
        label, data = self.dataset.read_label(sample), self.dataset
        return classes_and_pairs(label, data.ignore_index, data.num_classes, self.min_pixels, self.together)


def classes_and_pairs(
    label_HW: NDArray[np.int64],
    ignore_index: int,
    num_classes: int,
    min_pixels: int = 1,
    together: Together = "image",
    reach: int | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The classes of an image, and which of them are together.

    Args:
        label_HW: classes 0..K-1 or ``ignore_index``.
        ignore_index: label of the pixels that take no part.
        num_classes: K.
        min_pixels: an image holds a class with at least so many pixels; others take no part.
        together: "image": both are in it; "touching": a pixel of one lies within ``reach`` rows and columns of one of
            the other.
        reach: in pixels; None: see `default_reach`.

    Returns:
        bool (K,), and bool (K, K), symmetric, False on the diagonal.
    """
    kept_HW = label_HW != ignore_index
    present_K = np.bincount(label_HW[kept_HW], minlength=num_classes) >= min_pixels
    if together == "image":
        together_KK = np.outer(present_K, present_K)
        np.fill_diagonal(together_KK, False)
        return present_K, together_KK
    far = default_reach(label_HW.shape) if reach is None else reach
    together_KK = np.zeros((num_classes, num_classes), dtype=bool)
    boxes = ndimage.find_objects(np.where(kept_HW, label_HW + 1, 0), num_classes)
    for index in np.flatnonzero(present_K).tolist():
        together_KK[index] = _within(label_HW, index, boxes[index], far, kept_HW, num_classes) & present_K
    np.fill_diagonal(together_KK, False)
    return present_K, together_KK


def default_reach(size: tuple[int, ...]) -> int:
    """How near two classes touch in an image of this size: 2 % of its diagonal, at least 2 pixels."""
    return max(2, round(_REACH * math.hypot(*size)))


def _within(
    label_HW: NDArray[np.int64],
    index: int,
    box: tuple[slice, slice],
    reach: int,
    kept_HW: NDArray[np.bool_],
    num_classes: int,
) -> NDArray[np.bool_]:
    """The classes (K,) that have a pixel within ``reach`` of one of class ``index``, which lies in ``box``."""
    rows, columns = (slice(max(side.start - reach, 0), side.stop + reach) for side in box)
    label, kept = label_HW[rows, columns], kept_HW[rows, columns]
    near = ndimage.maximum_filter((label == index) & kept, 2 * reach + 1, mode="constant")
    return np.bincount(label[near & kept], minlength=num_classes) > 0


def _eagerness(contacts_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors w >= 0 with w_a x (sum of the others' w) = contacts_a; nearest where there are none that do.

    Quasi-independence (Y. Bishop, S. Fienberg and P. Holland, "Discrete Multivariate Analysis", 1975, chapter 5), by
    iteration.
    """
    factors_K = contacts_K / math.sqrt(max(float(contacts_K.sum()), 1.0))
    for _ in range(1000):
        others_K = factors_K.sum() - factors_K
        wanted_K = np.divide(contacts_K, others_K, out=np.zeros_like(contacts_K), where=others_K > 0)
        if np.allclose(wanted_K, factors_K, rtol=1e-9, atol=0):
            break
        factors_K = np.sqrt(factors_K * wanted_K)
    return factors_K


def _divide(numerator: NDArray[np.float64], denominator: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _rows(square: NDArray[np.float64]) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in square.tolist()]
