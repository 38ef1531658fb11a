"""The two places of an object in other images: one with a familiar context, one with an unfamiliar one."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import Sample, SegmentationDataset
from classaware.data.hashing import derive, mix_array
from classaware.evaluation.composites import Bools, Labels, SceneObject, context_around, find_objects, same_place
from classaware.evaluation.familiarity import FAMILIAR, Familiarity, Rarity

Lack = Literal["familiar", "unfamiliar", "both"]

_SMALLEST, _LARGEST = 0.005, 0.25  # shares of an image
_LEAST_SHARE = 0.75  # of the pixels near an object: less is no one context, and other objects in the way
_KEPT = 2**28  # bytes of labels that wait to be hosts again


class Place(NamedTuple):
    """Where an object goes: number of the image, (top, left) of its box, the class around it and how familiar it is."""

    host: int
    corner: tuple[int, int]
    context: int
    rarity: Rarity


class Move(NamedTuple):
    """An object with its two places.

    Attributes:
        source: number of its image.
        class_index: its class.
        number: which of the objects of its class in that image.
        home: most frequent class around it there, None if nothing near it is labeled.
        settled: whether its place at home would do as its familiar one.
        familiar: place with a context that is familiar in training.
        unfamiliar: place with one that is rare or was never seen.
    """

    source: int
    class_index: int
    number: int
    home: int | None
    settled: bool
    familiar: Place
    unfamiliar: Place


class Candidate(NamedTuple):
    """An object: number of its image, its class, and which of the image's objects of that class."""

    source: int
    class_index: int
    number: int


def movable_objects(label_HW: Labels, class_index: int) -> list[SceneObject]:
    """The objects of a class of the sizes that can move."""
    return find_objects(label_HW, class_index, _SMALLEST, _LARGEST)


def place_kinds(familiarity: Familiarity) -> NDArray[np.int8]:
    """Which contexts (columns) are wanted for objects of a class (rows), int8 (K, K).

    1: familiar, where the two touch at least as often in training as by chance. -1: unfamiliar, rare or never there.
    0: neither, in between, and the class itself.
    """
    familiar = (familiarity.category_KK == FAMILIAR) & familiarity.often_KK
    return np.where(familiarity.category_KK > FAMILIAR, -1, familiar).astype(np.int8)


class PlaceSearch:
    """Finds an object's places: called with one, it gives a `Move`, or says which kind of place is lacking.

    Args:
        dataset: its masks are read.
        samples: the images.
        familiarity: of pairs of classes.
        present_nK: bool, classes of the images.
        seed: of the order in which places are looked for.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        samples: Sequence[Sample],
        familiarity: Familiarity,
        present_nK: Bools,
        seed: int,
    ) -> None:
        self.dataset, self.familiarity, self.present_nK, self.seed = dataset, familiarity, present_nK, seed
        self.kinds_KK = place_kinds(familiarity)
        self.label = _remembering(dataset, samples)

    def __call__(self, which: Candidate) -> Move | Lack:
        """Look for both places."""
        label = self.label(which.source)
        thing = movable_objects(label, which.class_index)[which.number]
        found: dict[bool, Place] = {}  # by whether its context is familiar
        for place in self._places(which, thing, label.shape):
            found.setdefault(place.rarity == "familiar", place)
            if len(found) == 2:
                home = self._context(thing, label)
                context = None if home is None else home[0]
                settled = (
                    home is not None and home[1] >= _LEAST_SHARE and self.kinds_KK[which.class_index, home[0]] == 1
                )
                return Move(*which, context, settled, found[True], found[False])
        if not found:
            return "both"
        return "unfamiliar" if True in found else "familiar"

    def _places(self, which: Candidate, thing: SceneObject, size: tuple[int, ...]) -> Iterator[Place]:
        """In images in an order drawn by the seed; one that holds no class of a kind still wanted is not read."""
        kinds_K = self.kinds_KK[which.class_index]
        wanted_K = kinds_K != 0
        for host in self._order(which):
            if not (self.present_nK[host] & wanted_K).any():
                continue
            label = self.label(host)
            corner = same_place(thing, (size[0], size[1]), (label.shape[0], label.shape[1]))
            near = None if corner is None else self._context(thing.moved(corner), label)
            if corner is not None and near is not None and near[1] >= _LEAST_SHARE and wanted_K[near[0]]:
                wanted_K &= kinds_K != kinds_K[near[0]]
                yield Place(host, corner, near[0], self.familiarity.category(which.class_index, near[0]))

    def _order(self, which: Candidate) -> list[int]:
        hosts = np.flatnonzero(~self.present_nK[:, which.class_index])  # not its own image either
        keys = mix_array(hosts.astype(np.uint64) ^ np.uint64(derive(self.seed, *which, 1)))
        return hosts[np.argsort(keys)].tolist()

    def _context(self, thing: SceneObject, label_HW: Labels) -> tuple[int, float] | None:
        return context_around(thing, label_HW, self.dataset.ignore_index, self.dataset.num_classes)


def _remembering(dataset: SegmentationDataset, samples: Sequence[Sample]) -> Callable[[int], Labels]:
    """Labels by number; as many of them stay in memory as are worth it."""
    first = dataset.read_label(samples[0])
    small = np.result_type(np.min_scalar_type(dataset.num_classes), np.min_scalar_type(dataset.ignore_index))

    @lru_cache(maxsize=max(1, _KEPT // (first.size * small.itemsize)))
    def kept(number: int) -> NDArray[Any]:
        return dataset.read_label(samples[number]).astype(small)

    return lambda number: kept(number).astype(np.int64)
