"""How familiar two classes are with each other, from how often they occur together in the training labels."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from classaware.data.pairs import PairCounts
from classaware.errors import InputError

Rarity = Literal["familiar", "rare", "never"]
RARITIES: tuple[Rarity, ...] = get_args(Rarity)
FAMILIAR, RARE, NEVER = range(3)


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Which pairs of K classes a training set shows often, rarely or never.

    Attributes:
        pairs: counts of the training labels.
        rare: a pair is rare where it occurs less than so many times as often as by chance (lift), 0 to 1.

    Raises:
        InputError: ``rare`` is no share.
    """

    pairs: PairCounts
    rare: float = 0.5

    def __post_init__(self) -> None:
        self.check(self.rare)

    @staticmethod
    def check(rare: float) -> None:
        """Raise ``InputError`` for a value that cannot be used."""
        if not 0 <= rare <= 1:
            raise InputError(f"rare={rare}: must be from 0 to 1, where 1 is as often as by chance.")

    @property
    def class_names(self) -> tuple[str, ...]:
        """K names."""
        return self.pairs.class_names

    @cached_property
    def occurs_K(self) -> NDArray[np.bool_]:
        """Whether a class occurs in the training labels at all, (K,)."""
        occurs: NDArray[np.bool_] = np.diag(self.pairs.counts_KK) > 0
        return occurs

    @cached_property
    def category_KK(self) -> NDArray[np.int8]:
        """int8 (K, K), symmetric: 0 familiar, 1 rare, 2 never (index of `RARITIES`); -1 on the diagonal.

        Never: together in no training image, also where a class itself never occurs. Rare: lift below ``rare``.
        """
        seen = self.pairs.counts_KK > 0
        with np.errstate(invalid="ignore"):
            rare = self.pairs.lift() < self.rare
        category = np.where(seen, np.where(rare, RARE, FAMILIAR), NEVER).astype(np.int8)
        np.fill_diagonal(category, -1)
        return category

    @cached_property
    def often_KK(self) -> NDArray[np.bool_]:
        """bool (K, K), symmetric: together in training at least as often as by chance (lift 1); False on the diagonal.

        What is compared with the unfamiliar: a lift a little above ``rare`` is as much chance as one a little below.
        """
        with np.errstate(invalid="ignore"):
            often: NDArray[np.bool_] = self.pairs.lift() >= 1
        np.fill_diagonal(often, False)
        return often

    @cached_property
    def score_KK(self) -> NDArray[np.float64]:
        """float64 (K, K), symmetric: smoothed lift (n + 1/2) / (expected + 1/2), low is rare.

        The halves keep pairs of infrequent classes, of which little is known, near 1. 0 where a class never occurs in
        training, nan on the diagonal.
        """
        score = (self.pairs.counts_KK + 0.5) / (self.pairs.expected() + 0.5)
        score[~np.outer(self.occurs_K, self.occurs_K)] = 0.0
        np.fill_diagonal(score, np.nan)
        return score

    def category(self, first: int, second: int) -> Rarity:
        """Of one pair.

        Raises:
            InputError: the two are one class.
        """
        if first == second:
            raise InputError(f"class {self.class_names[first]!r} is no pair with itself: give two classes.")
        return RARITIES[self.category_KK[first, second]]
