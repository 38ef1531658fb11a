"""One number of a variant against the baseline's, over the trainings whose seeds both have.

S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classaware.evaluation.statistics import TTest, paired_t_test, sd

Values = Mapping[int, float | None]


@dataclass(frozen=True)
class Contrast:
    """A quantity of one variant (ours) against that of the baseline (theirs); fractions, a difference is ours - theirs.

    Attributes:
        seeds: that both sides have, ascending; the pairs.
        ours: the value of each pair.
        theirs: the same of the baseline.
        our_mean: over all seeds of this side, paired or not; None without any.
        their_mean: the same of the baseline.
        our_sd: over the same values, n - 1; None for less than two.
        their_sd: the same of the baseline.
        difference: mean over the pairs; None without any.
        difference_sd: of the pairs' differences; None for less than two.
        test: paired t-test.
        only_ours: seeds without a pair, since the baseline's training is not there or its value is undefined.
        only_theirs: the same the other way round.
    """

    seeds: tuple[int, ...]
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    our_mean: float | None
    their_mean: float | None
    our_sd: float | None
    their_sd: float | None
    difference: float | None
    difference_sd: float | None
    test: TTest
    only_ours: tuple[int, ...]
    only_theirs: tuple[int, ...]

    @property
    def differences(self) -> tuple[float, ...]:
        """Of every pair."""
        return tuple(one - other for one, other in zip(self.ours, self.theirs, strict=True))


def contrast(ours: Values, theirs: Values) -> Contrast:
    """Pair the values of two sides by their seeds.

    Args:
        ours: value by seed; None where it is undefined, which counts as a seed that this side lacks.
        theirs: the same of the baseline.
    """
    left, right = defined(ours), defined(theirs)
    seeds = tuple(seed for seed in left if seed in right)
    one, other = tuple(left[seed] for seed in seeds), tuple(right[seed] for seed in seeds)
    pairs = [a - b for a, b in zip(one, other, strict=True)]
    nothing = TTest("paired", undefined="not defined without a seed that both sides have")
    return Contrast(
        seeds=seeds,
        ours=one,
        theirs=other,
        our_mean=mean(list(left.values())),
        their_mean=mean(list(right.values())),
        our_sd=sd(list(left.values())),
        their_sd=sd(list(right.values())),
        difference=mean(pairs),
        difference_sd=sd(pairs),
        test=paired_t_test(one, other) if seeds else nothing,
        only_ours=tuple(seed for seed in left if seed not in right),
        only_theirs=tuple(seed for seed in right if seed not in left),
    )


def defined(values: Values) -> dict[int, float]:
    """The values that there are, by ascending seed."""
    return {seed: value for seed in sorted(values) if (value := values[seed]) is not None}


def mean(values: Sequence[float]) -> float | None:
    """None without any value."""
    return float(np.mean(values)) if values else None


def holm(probabilities: Sequence[float | None]) -> list[float | None]:
    """Adjust p values for their number, so that any of them is below 0.05 by chance in one such family out of twenty.

    Args:
        probabilities: None where a test is undefined: that stays so, and counts as no test.
    """
    order = sorted((p, place) for place, p in enumerate(probabilities) if p is not None)
    result: list[float | None] = [None] * len(probabilities)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        result[place] = highest
    return result
