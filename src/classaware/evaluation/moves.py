"""Which objects of a split move into which other images of it, decided by labels and a seed alone."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from classaware.data.dataset import Sample, SegmentationDataset
from classaware.data.hashing import derive
from classaware.data.parallel import Progress, in_parallel
from classaware.errors import InputError
from classaware.evaluation.composites import (
    Bools,
    Bytes,
    Labels,
    Region,
    SceneObject,
    compose,
    scored_region,
    soft_mask,
)
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.places import Candidate, Lack, Move, PlaceSearch, movable_objects

_LEAST_CORE = 0.25  # of an object's pixels: a pole is all edge


@dataclass(frozen=True)
class Draw:
    """How objects are drawn.

    Attributes:
        classes: names of the classes whose objects move; None: the data set's things, or all where it names none.
        objects: how many at most.
        feather: width of their soft edge in pixels.
        seed: of the drawing.
    """

    classes: tuple[str, ...] | None = None
    objects: int = 200
    feather: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objects < 1 or self.feather < 0 or self.seed < 0:
            raise InputError(
                f"objects={self.objects}, feather={self.feather}, seed={self.seed}: at least one object must move, and "
                "the others must not be negative."
            )


@dataclass(frozen=True)
class Plan:
    """What moves where.

    Attributes:
        split: part of the data set.
        samples: its images.
        class_names: of the data set.
        draw: how it came about.
        moves: in the order of the draw, in which the classes take turns.
        found: number of objects that could be drawn.
        thin: number of further ones that are nearly all edge.
        lacking: of those that were drawn and left out, how many lack which kind of place.
    """

    split: str
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    draw: Draw
    moves: tuple[Move, ...]
    found: int
    thin: int
    lacking: dict[Lack, int]


class View(NamedTuple):
    """An object in an image: uint8 (3, H, W), where it is, and the pixels by which it is scored."""

    image_3HW: Bytes
    thing: SceneObject
    region: Region


def plan_moves(
    dataset: SegmentationDataset,
    split: str,
    familiarity: Familiarity,
    draw: Draw = Draw(),
    workers: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Draw objects, and for each one familiar and one unfamiliar place.

    An object is an 8-connected region of its class, 0.5 % to 25 % of its image, that does not touch the border and
    that is a quarter core at least. A place is where it was, relative to the size, in an image without its class, with
    three quarters of what is around it of one class, its context there.
    Every draw depends on the seed and the numbers of the images, not on the other draws and on no network.

    Args:
        dataset: its masks are read, its images are not.
        split: part of it.
        familiarity: of pairs of classes that touch in training.
        draw: which objects, and how many.
        workers: processes that look for objects; 0 works in this one, None takes one a core.
        progress: is told (done, all) after every mask.

    Raises:
        InputError: no such split or class, a familiarity of other classes or not of touching ones, a mask that cannot
            be used, or nothing that could move.
    """
    classes = _classes(dataset, draw)
    _check(dataset, familiarity)
    samples = dataset.samples(split)
    scan = _Scan(dataset, classes, draw.feather)
    present_nK = np.zeros((len(samples), dataset.num_classes), dtype=bool)
    objects: list[Candidate] = []
    thin = 0
    for source, (present_K, found, edges) in enumerate(in_parallel(scan, samples, workers, progress)):
        present_nK[source] = present_K
        objects += [Candidate(source, *which) for which in found]
        thin += edges
    search = PlaceSearch(dataset, samples, familiarity, present_nK, draw.seed)
    moves: list[Move] = []
    lacking: Counter[Lack] = Counter()
    for which in _in_turn(objects, draw.seed):
        if len(moves) == draw.objects:
            break
        result = search(which)
        if isinstance(result, Move):
            moves.append(result)
        else:
            lacking[result] += 1
    if not moves:
        raise InputError(_nothing(dataset, split, classes, len(objects), thin))
    names = tuple(dataset.class_names)
    return Plan(split, tuple(samples), names, draw, tuple(moves), len(objects), thin, dict(lacking))


def views(dataset: SegmentationDataset, plan: Plan, move: Move) -> tuple[View, View, View]:
    """An object at home, in its familiar and in its unfamiliar place; reads three images."""
    feather, ignored = plan.draw.feather, dataset.ignore_index
    image, label = _read(dataset, plan.samples[move.source])
    thing = movable_objects(label, move.class_index)[move.number]
    found = [View(image, thing, scored_region(thing, label, feather, ignored))]
    for place in (move.familiar, move.unfamiliar):
        host = _read(dataset, plan.samples[place.host])
        made, made_label = compose(image, thing, *host, place.corner, feather, ignored)
        there = thing.moved(place.corner)
        found.append(View(made, there, scored_region(there, made_label, feather, ignored)))
    return found[0], found[1], found[2]


def _read(dataset: SegmentationDataset, sample: Sample) -> tuple[Bytes, Labels]:
    image, label = dataset.read(sample)
    return image.numpy(), label.numpy()


def _classes(dataset: SegmentationDataset, draw: Draw) -> tuple[int, ...]:
    if draw.classes is None:
        things: Sequence[int] = getattr(dataset, "things", range(dataset.num_classes))
        return tuple(sorted(things))
    unknown = next((name for name in draw.classes if name not in dataset.class_names), None)
    if unknown is not None or not draw.classes:
        raise InputError(f"class {unknown!r} does not exist; choose some of {', '.join(dataset.class_names)}.")
    return tuple(sorted({dataset.class_names.index(name) for name in draw.classes}))


def _check(dataset: SegmentationDataset, familiarity: Familiarity) -> None:
    if familiarity.class_names != tuple(dataset.class_names):
        raise InputError("the training labels have other classes than these images: take both from one data set.")
    if familiarity.pairs.together != "touching":
        raise InputError("familiarity is of classes in one image: count pairs with together='touching'.")


def _nothing(dataset: SegmentationDataset, split: str, classes: tuple[int, ...], found: int, thin: int) -> str:
    names = ", ".join(dataset.class_names[index] for index in classes)
    if found:
        return (
            f"none of {found} objects of split {split!r} ({names}) has both a familiar and an unfamiliar place in "
            "another image: choose other classes, a larger split, or another --rare."
        )
    return (
        f"split {split!r} holds no object of {names} that could move (one region of 0.5 % to 25 % of its image, off "
        f"the border; {thin} are too thin): choose other classes, another split, or a smaller feather."
    )


@dataclass(frozen=True)
class _Scan:
    """Classes of a sample's mask (K,), its objects as (class, number), and how many more are too thin; for workers."""

    dataset: SegmentationDataset
    classes: tuple[int, ...]
    feather: int

    def __call__(self, sample: Sample) -> tuple[Bools, list[tuple[int, int]], int]:
        label = self.dataset.read_label(sample)
        present_K = np.zeros(self.dataset.num_classes, dtype=bool)
        present_K[np.unique(label[label != self.dataset.ignore_index])] = True
        found, thin = [], 0
        for class_index in self.classes:
            for number, thing in enumerate(movable_objects(label, class_index) if present_K[class_index] else []):
                core = int((soft_mask(thing.mask_hw, self.feather) == 1).sum())
                if core and core >= _LEAST_CORE * int(thing.mask_hw.sum()):
                    found.append((class_index, number))
                else:
                    thin += 1
        return present_K, found, thin


def _in_turn(objects: Sequence[Candidate], seed: int) -> Iterator[Candidate]:
    """Each class's objects in an order drawn by the seed, one of every class at a time."""
    waiting: dict[int, list[Candidate]] = {}
    for which in sorted(objects, key=lambda which: derive(seed, *which)):
        waiting.setdefault(which.class_index, []).append(which)
    for turn in range(max(map(len, waiting.values()), default=0)):
        yield from (waiting[index][turn] for index in sorted(waiting) if turn < len(waiting[index]))
