"""Context sensitivity: what a network makes of an object when nothing changes but what surrounds it.

Objects of a split are laid into other images of it, each once into a context that is familiar in training and once
into one that is not (rare, or never seen). Both are real, both moves leave the same seam, so the difference between
the two is the context's. Fractions throughout; a difference of sides is ours minus theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classaware.data.dataset import SegmentationDataset
from classaware.data.parallel import Progress
from classaware.errors import InputError
from classaware.evaluation.composites import core_of, object_scores
from classaware.evaluation.context_effects import Contrast, Group, Measured, contrasts
from classaware.evaluation.context_summary import ClassEffects, Objects, PlaceEffect
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.moves import Draw, Plan, View, plan_moves, views
from classaware.evaluation.side_by_side import pair_seeds, side_names

Predictor = Callable[[Tensor], Tensor]
"""Image uint8 (3, H, W) to classes (H, W)."""

RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """What a counterfactual test finds.

    Attributes:
        plan: which objects moved where.
        rare: lift below which a pair of classes is rare.
        measured: scores of every network for every object.
        networks: every network by itself.
        sides: ours and theirs, the means over their networks; None without a comparison.
        paired_by: "seed" if both sides have the same seeds, else None.
        contrasts: ours minus theirs, context sensitivity first; empty without a comparison.
        classes: every class of which an object moved.
        places: every class with every class that it was laid into.
        resamples: number of the bootstrap's resamples.
        warnings: what makes the numbers mean less.
    """

    plan: Plan
    rare: float
    measured: Measured
    networks: tuple[Group, ...]
    sides: tuple[Group, Group] | None
    paired_by: str | None
    contrasts: tuple[Contrast, ...]
    classes: tuple[ClassEffects, ...]
    places: tuple[PlaceEffect, ...]
    resamples: int
    warnings: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[Group, ...]:
        """The two sides, or else every network: the columns of what is told by class."""
        return self.networks if self.sides is None else self.sides

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the objects one by one are in `counterfactual_text.as_csv`."""
        plan = self.plan
        return {
            "format": "classaware-counterfactual",
            "version": 1,
            "split": plan.split,
            "images": len(plan.samples),
            "draw": asdict(plan.draw),
            "rare": self.rare,
            "objects": {
                "found": plan.found,
                "too_thin": plan.thin,
                "lacking_a_place": plan.lacking,
                "moved": len(plan.moves),
                "sources": len({move.source for move in plan.moves}),
            },
            "resamples": self.resamples,
            "networks": [asdict(group) for group in self.networks],
            "sides": None if self.sides is None else [asdict(side) for side in self.sides],
            "paired_by": self.paired_by,
            "contrasts": [asdict(row) for row in self.contrasts],
            "classes": [asdict(row) for row in self.classes],
            "places": [asdict(row) for row in self.places],
            "warnings": self.warnings,
        }


def counterfactual(
    predictors: Mapping[str, Predictor],
    dataset: SegmentationDataset,
    split: str,
    familiarity: Familiarity,
    against: Mapping[str, Predictor] | None = None,
    seeds: Mapping[str, int | None] | None = None,
    names: tuple[str, str] | None = None,
    draw: Draw = Draw(),  # noqa: B008 (frozen)
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Counterfactual:
    """Move objects and see what networks make of them; the same input gives the same numbers.

    Args:
        predictors: networks by name.
        dataset: whose images and masks are read.
        split: part of it.
        familiarity: of pairs of classes that touch in training.
        against: networks to compare them to, on the same composites; their names are others.
        seeds: of the trainings, by name; sides with the same seeds are paired by them.
        names: of the sides; None: what their networks' names begin with.
        draw: which objects, and how many.
        resamples: of the bootstrap over the images that objects come from.
        progress: is told (done, all) after every mask, then after every object.

    Raises:
        InputError: as `plan_moves`; no network; one name twice; or a prediction that is not of its image's size.
    """
    theirs = against or {}
    if not predictors or set(predictors) & set(theirs):
        raise InputError("the networks of both sides need names, all different: give at least one network.")
    plan = plan_moves(dataset, split, familiarity, draw, progress=progress)
    measured = measure_moves({**predictors, **theirs}, dataset, plan, progress)
    known = seeds or {}
    sides = [[(name, known.get(name)) for name in side] for side in (predictors, theirs) if side]
    return summarize(measured, plan, familiarity.rare, sides, names, resamples)


def measure_moves(
    predictors: Mapping[str, Predictor], dataset: SegmentationDataset, plan: Plan, progress: Progress | None = None
) -> Measured:
    """Let every network predict every composite, and every object's own image once.

    Raises:
        InputError: a prediction that is not of its image's size.
    """
    shape = (len(predictors), len(plan.moves), 3)
    measured = Measured(np.zeros(shape), np.zeros(shape), np.zeros(shape))
    order = sorted(range(len(plan.moves)), key=lambda index: plan.moves[index][:3])
    done = 0
    for _, group in groupby(order, key=lambda index: plan.moves[index].source):
        home: list[NDArray[np.int64]] = []
        for index in group:
            seen = views(dataset, plan, plan.moves[index])
            home = home or [_predict(name, predict, seen[0]) for name, predict in predictors.items()]
            for row, (name, predict) in enumerate(predictors.items()):
                _score(measured, row, index, seen, [home[row], *(_predict(name, predict, view) for view in seen[1:])])
            done += 1
            if progress is not None:
                progress(done, len(order))
    return measured


def _predict(name: str, predict: Predictor, view: View) -> NDArray[np.int64]:
    predicted = predict(torch.from_numpy(view.image_3HW))
    if predicted.shape != view.image_3HW.shape[1:]:
        raise InputError(
            f"network {name!r} predicts {tuple(predicted.shape)} for an image of {tuple(view.image_3HW.shape[1:])}: it "
            "must give a class for every pixel."
        )
    return np.asarray(predicted.cpu().numpy(), dtype=np.int64)


def _score(measured: Measured, row: int, index: int, seen: Sequence[View], predicted: Sequence[Any]) -> None:
    cores = [core_of(labels, view.region) for labels, view in zip(predicted, seen, strict=True)]
    for place, (labels, view) in enumerate(zip(predicted, seen, strict=True)):
        scores = object_scores(labels, view.thing.class_index, view.region)
        measured.iou_Rn3[row, index, place], measured.recall_Rn3[row, index, place] = scores
        measured.flips_Rn3[row, index, place] = np.mean(cores[place] != cores[0])


def summarize(
    measured: Measured,
    plan: Plan,
    rare: float,
    sides: Sequence[Sequence[tuple[str, int | None]]],
    names: tuple[str, str] | None = None,
    resamples: int = RESAMPLES,
) -> Counterfactual:
    """The numbers of one or two sides, whose networks are (name, seed), in the order of ``measured``."""
    objects = Objects(measured, plan, resamples)
    everyone = [each for side in sides for each in side]
    networks = tuple(objects.group(name, [(name, seed)], [row]) for row, (name, seed) in enumerate(everyone))
    both: tuple[Group, Group] | None = None
    contrast_rows: tuple[Contrast, ...] = ()
    paired = False
    ours = list(range(len(sides[0])))
    theirs = list(range(len(ours), len(everyone)))
    if theirs:
        order = pair_seeds([seed for _, seed in sides[0]], [seed for _, seed in sides[1]])
        paired = order is not None
        theirs = theirs if order is None else [len(ours) + place for place in order]
        names = names or side_names(*([name for name, _ in side] for side in sides))
        both = (
            objects.group(names[0], sides[0], ours),
            objects.group(names[1], [everyone[row] for row in theirs], theirs),
        )
        ordered = Measured(*(values[[*ours, *theirs]] for values in measured))
        contrast_rows = tuple(contrasts(ordered, len(ours), paired, objects.source_n, resamples))
    rows = [[row] for row in ours] if both is None else [ours, theirs]
    return Counterfactual(
        plan=plan,
        rare=rare,
        measured=measured,
        networks=networks,
        sides=both,
        paired_by="seed" if paired else None,
        contrasts=contrast_rows,
        classes=objects.classes(rows, both is not None),
        places=objects.places(rows),
        resamples=resamples,
    )
