"""The moved objects by network, by class, and by class and context."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classaware.evaluation.context_effects import (
    FAMILIAR_PLACE,
    HOME,
    UNFAMILIAR_PLACE,
    Effect,
    Group,
    Measured,
    effect,
    mean_interval,
)
from classaware.evaluation.familiarity import Rarity
from classaware.evaluation.moves import Plan
from classaware.evaluation.statistics import Interval, sd


@dataclass(frozen=True)
class ClassEffects:
    """One class.

    Attributes:
        name: of the class.
        effects: on every side, or every network where there are no sides.
        difference: of the sides' sensitivities; None without sides.
        interval: 95 % bootstrap interval of it over images; None for less than five images.
    """

    name: str
    effects: tuple[Effect, ...]
    difference: float | None
    interval: Interval | None


@dataclass(frozen=True)
class PlaceEffect:
    """Objects of one class in one context.

    Attributes:
        class_name: of the objects.
        context: class around the place.
        rarity: how familiar the two are.
        objects: number of them.
        iou_home: their mean IoU at home, by every side or network.
        iou: their mean IoU in these places.
        flips: mean share of the core that is predicted otherwise than at home.
    """

    class_name: str
    context: str
    rarity: Rarity
    objects: int
    iou_home: tuple[float, ...]
    iou: tuple[float, ...]
    flips: tuple[float, ...]


class Objects:
    """The objects of a plan with their scores.

    Args:
        measured: of R networks.
        plan: of n objects.
        resamples: of the bootstrap.
    """

    def __init__(self, measured: Measured, plan: Plan, resamples: int) -> None:
        self.measured, self.plan, self.resamples = measured, plan, resamples
        self.source_n = np.array([move.source for move in plan.moves])
        self.class_n = np.array([move.class_index for move in plan.moves])
        self.settled_n = np.array([move.settled for move in plan.moves])

    def group(self, name: str, networks: Sequence[tuple[str, int | None]], rows: Sequence[int]) -> Group:
        """Some networks as one."""
        values = self.measured.sensitivity()[list(rows)].mean(axis=1).tolist()
        names, seeds = zip(*networks, strict=True)
        everything = np.ones(len(self.source_n), dtype=bool)
        return Group(name, names, seeds, tuple(values), sd(values), self.effect(rows, everything))

    def effect(self, rows: Sequence[int], chosen_n: NDArray[np.bool_]) -> Effect:
        """Of the mean over some networks, for some objects."""
        return effect(self.measured.mean(rows), self.source_n, self.settled_n, chosen_n, self.resamples)

    def classes(self, groups: Sequence[Sequence[int]], compared: bool) -> tuple[ClassEffects, ...]:
        """Every class of which an object moved."""
        found = []
        for index in np.unique(self.class_n).tolist():
            chosen = self.class_n == index
            effects = tuple(self.effect(rows, chosen) for rows in groups)
            difference = interval = None
            if compared:
                one, other = (self.measured.mean(rows).sensitivity() for rows in groups)
                difference = float((one - other)[:, chosen].mean())
                interval = mean_interval(one - other, self.source_n, chosen, self.resamples)
            found.append(ClassEffects(self.plan.class_names[index], effects, difference, interval))
        return tuple(found)

    def places(self, groups: Sequence[Sequence[int]]) -> tuple[PlaceEffect, ...]:
        """Every class with every class that it was laid into, by name of the class, then by number of objects."""
        where: dict[tuple[int, int, Rarity], list[tuple[int, int]]] = {}
        for number, move in enumerate(self.plan.moves):
            for kind, place in ((FAMILIAR_PLACE, move.familiar), (UNFAMILIAR_PLACE, move.unfamiliar)):
                where.setdefault((move.class_index, place.context, place.rarity), []).append((number, kind))
        means = [self.measured.mean(rows) for rows in groups]
        names, found = self.plan.class_names, []
        for (index, context, rarity), at in sorted(
            where.items(), key=lambda item: (item[0][0], -len(item[1]), item[0])
        ):
            numbers, kinds = (np.array(values) for values in zip(*at, strict=True))
            found.append(
                PlaceEffect(
                    class_name=names[index],
                    context=names[context],
                    rarity=rarity,
                    objects=len(at),
                    iou_home=tuple(float(mean.iou_Rn3[0, numbers, HOME].mean()) for mean in means),
                    iou=tuple(float(mean.iou_Rn3[0, numbers, kinds].mean()) for mean in means),
                    flips=tuple(float(mean.flips_Rn3[0, numbers, kinds].mean()) for mean in means),
                )
            )
        return tuple(found)
