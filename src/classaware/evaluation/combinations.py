"""Which classes stand together in the images of a split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import Sample, SegmentationDataset
from classaware.data.pairs import MaskCombinations, Together, classes_and_pairs
from classaware.data.parallel import Progress, in_parallel
from classaware.errors import InputError
from classaware.evaluation.record import EvaluationRecord

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Combinations:
    """What stands together in n images with K classes.

    Attributes:
        names: of the images.
        class_names: of the classes.
        split: of the data set.
        pixels_nK: int64, labeled pixels of each class.
        present_nK: bool, the image holds the class.
        pairs_m3: int64, rows of (image, class, other class) with class < other class, sorted: together in that image.
        min_pixels: from how many pixels on an image holds a class.
        together: what together means, see `classaware.data.pairs.classes_and_pairs`.
    """

    names: tuple[str, ...]
    class_names: tuple[str, ...]
    split: str
    pixels_nK: Counts
    present_nK: NDArray[np.bool_]
    pairs_m3: Counts
    min_pixels: int
    together: Together

    def ordered(self, names: Sequence[str]) -> "Combinations":
        """The same with its images in the order of ``names``, which are all of them."""
        places = {name: index for index, name in enumerate(self.names)}
        order = np.array([places[name] for name in names], dtype=np.int64)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        pairs = self.pairs_m3.copy()
        pairs[:, 0] = back[pairs[:, 0]]
        pairs = pairs[np.lexsort(pairs.T[::-1])]
        pixels, present = self.pixels_nK[order], self.present_nK[order]
        return Combinations(
            tuple(names), self.class_names, self.split, pixels, present, pairs, self.min_pixels, self.together
        )


def read_combinations(
    dataset: SegmentationDataset,
    split: str,
    min_pixels: int = 1,
    together: Together = "touching",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Combinations:
    """Read the masks of a split; its images are not read.

    Args:
        dataset: whose masks are read.
        split: part of it.
        min_pixels: an image holds a class with at least so many pixels.
        together: in one image, or touching.
        workers: processes that read masks; 0 reads in this one, None takes one a core.
        progress: is told (done, all) after every mask.

    Raises:
        InputError: no such split, min_pixels below 1, or a mask that cannot be used.
    """
    read = _Reader(MaskCombinations(dataset, min_pixels, together))
    samples = dataset.samples(split)
    pixels_nK = np.zeros((len(samples), dataset.num_classes), dtype=np.int64)
    present_nK = np.zeros(pixels_nK.shape, dtype=bool)
    pairs = [np.zeros((0, 3), dtype=np.int64)]
    for image, (pixels_K, present_K, pairs_p2) in enumerate(in_parallel(read, samples, workers, progress)):
        pixels_nK[image], present_nK[image] = pixels_K, present_K
        pairs.append(np.insert(pairs_p2, 0, image, axis=1))
    names = tuple(sample.name for sample in samples)
    classes = tuple(dataset.class_names)
    return Combinations(names, classes, split, pixels_nK, present_nK, np.concatenate(pairs), min_pixels, together)


@dataclass(frozen=True)
class _Reader:
    """Pixels (K,), presence (K,) and pairs (p, 2) of a sample's mask; can be sent to other processes."""

    by: MaskCombinations

    def __call__(self, sample: Sample) -> tuple[Counts, NDArray[np.bool_], Counts]:
        data = self.by.dataset
        label, size = data.read_label(sample), data.num_classes
        present_K, together_KK = classes_and_pairs(label, data.ignore_index, size, self.by.min_pixels, self.by.together)
        pixels_K = np.bincount(label[label != data.ignore_index], minlength=size)
        return pixels_K, present_K, np.argwhere(np.triu(together_KK))


def aligned_combinations(combinations: Combinations, record: EvaluationRecord) -> Combinations:
    """The combinations in the order of the record's images.

    Raises:
        InputError: they are of other classes, images or labels than were evaluated.
    """

    def refuse(what: str) -> InputError:
        return InputError(
            f"{record.path or 'The evaluation'} was made on other data than these labels of split "
            f"{combinations.split!r}: {what}. Name the data set that was evaluated (--dataset), or evaluate again."
        )

    if record.class_names != combinations.class_names:
        raise refuse(f"its classes are {few_names(record.class_names)}, theirs {few_names(combinations.class_names)}")
    odd = sorted(set(record.names) ^ set(combinations.names))
    if odd:
        raise refuse(f"{len(odd)} images are in one of them only, such as {odd[0]!r}")
    found = combinations.ordered(record.names)
    wrong = (record.counts[..., 0] + record.counts[..., 2] != found.pixels_nK).any(axis=1)
    if wrong.any():
        raise refuse(f"{int(wrong.sum())} images have other labels, such as {record.names[int(wrong.argmax())]!r}")
    return found


def few_names(names: Sequence[str]) -> str:
    """All of them, or the first and how many."""
    return ", ".join(names) if len(names) < 5 else f"{', '.join(names[:3])}, ... ({len(names)})"
