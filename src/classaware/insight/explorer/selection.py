"""Which images of a split are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from classaware.data import SegmentationDataset
from classaware.data.dataset import Sample
from classaware.data.parallel import Progress, in_parallel
from classaware.errors import InputError


def choose_samples(
    dataset: SegmentationDataset, split: str, count: int, workers: int | None = None, progress: Progress | None = None
) -> list[Sample]:
    """``count`` images spread over a split, in its order, with as many of its classes as a greedy choice reaches.

    Args:
        dataset: whose masks are read.
        split: part of it.
        count: of images; all of a smaller split.
        workers: processes that read masks, see `in_parallel`.
        progress: is told (done, all).

    Raises:
        InputError: a count below 1, no such split, or a mask that cannot be used.
    """
    if count < 1:
        raise InputError(f"count={count}: show at least 1 image.")
    samples = dataset.samples(split)
    if count >= len(samples):
        return samples
    present_NK = np.stack(list(in_parallel(_Presence(dataset), samples, workers, progress)))
    return [samples[i] for i in spread_indices(present_NK, count)]


def named_samples(dataset: SegmentationDataset, split: str, names: Sequence[str]) -> list[Sample]:
    """The images of these names, in this order.

    Raises:
        InputError: no such image, or one that is named twice.
    """
    known = {sample.name: sample for sample in dataset.samples(split)}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"its images are named like {next(iter(known))!r}."
            raise InputError(f"split {split!r} has no image {name!r}; {hint}")
    if len(set(names)) < len(names):
        raise InputError("an image is named twice: name every image once.")
    return [known[name] for name in names]


def spread_indices(present_NK: NDArray[np.bool_], count: int) -> list[int]:
    """Indices of ``count`` of N images, ascending: as many classes as can be had, then far from each other.

    Args:
        present_NK: which classes are in which image.
        count: at most N.
    """
    order = np.arange(len(present_NK))
    covered_K = np.zeros(present_NK.shape[1], dtype=bool)
    distance_N = np.abs(2 * order - len(order) + 1) + len(order)  # before the first: those at the ends
    chosen: list[int] = []
    while len(chosen) < count:
        gain_N = (present_NK & ~covered_K).sum(axis=1)
        gain_N[chosen] = -1
        best = np.flatnonzero(gain_N == gain_N.max())
        index = int(best[np.argmax(distance_N[best])])
        chosen.append(index)
        covered_K |= present_NK[index]
        distance_N = np.minimum(distance_N, np.abs(order - index))
    return sorted(chosen)


@dataclass(frozen=True)
class _Presence:
    """Which classes a sample's mask holds, bool (K,); can be sent to other processes."""

    dataset: SegmentationDataset

    def __call__(self, sample: Sample) -> NDArray[np.bool_]:
        label, classes = self.dataset.read_label(sample), self.dataset.num_classes
        return np.bincount(label[label != self.dataset.ignore_index], minlength=classes) > 0
