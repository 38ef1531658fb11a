"""Images and regions by how familiar training made what stands together in them."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from classaware.errors import InputError
from classaware.evaluation.combinations import Combinations, few_names
from classaware.evaluation.familiarity import RARITIES, Familiarity

Group = Literal["familiar", "rare", "never", "alone"]
GROUPS: tuple[Group, ...] = get_args(Group)
ALONE = len(RARITIES)


class Units(NamedTuple):
    """Images and regions by how familiar their least familiar pair is. A region is a class in an image.

    Attributes:
        image_groups_n: int8, index of `GROUPS`; -1 where the image holds no class.
        region_groups_nK: int8, the same of each region by its pairs; -1 where the image does not hold the class.
        image_scores_n: float64, lowest score of the image's pairs; nan without a pair.
        region_scores_nK: float64, lowest score of the region's pairs; nan without a pair.
        region_often_nK: bool, all of the region's pairs, at least one, are as frequent in training as by chance.
    """

    image_groups_n: NDArray[np.int8]
    region_groups_nK: NDArray[np.int8]
    image_scores_n: NDArray[np.float64]
    region_scores_nK: NDArray[np.float64]
    region_often_nK: NDArray[np.bool_]


def units(combinations: Combinations, familiarity: Familiarity) -> Units:
    """Group and score of every image and region: the worst pair decides.

    Raises:
        InputError: the two are of different classes, or mean different things by together.
    """
    _check_same(combinations, familiarity)
    image, one, other = combinations.pairs_m3.T
    category, score = familiarity.category_KK[one, other], familiarity.score_KK[one, other]
    seldom = ~familiarity.often_KK[one, other]
    present_nK = combinations.present_nK
    worst = np.full(present_nK.shape, -1, dtype=np.int8)
    lowest = np.full(present_nK.shape, np.inf)
    any_seldom = np.zeros(present_nK.shape, dtype=bool)
    for index in (one, other):
        np.maximum.at(worst, (image, index), category)
        np.minimum.at(lowest, (image, index), score)
        np.logical_or.at(any_seldom, (image, index), seldom)
    return Units(
        _or_alone(worst.max(axis=1, initial=-1), np.any(present_nK, axis=1)),
        _or_alone(worst, present_nK),
        _or_nan(lowest.min(axis=1, initial=np.inf)),
        _or_nan(lowest),
        (worst >= 0) & ~any_seldom,
    )


def _or_alone(worst: NDArray[np.int8], present: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.where(present & (worst < 0), ALONE, worst).astype(np.int8)


def _or_nan(lowest: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isinf(lowest), np.nan, lowest)


def score_bins(scores: NDArray[np.float64], most: int = 8, least: int = 10) -> NDArray[np.int64]:
    """Number of the bin of each value: at most ``most`` bins of about equal size, of about ``least`` values or more.

    Equal values are in one bin, by the middle of their ranks; so there can be fewer bins, and uneven ones.

    Args:
        scores: of any shape; nan is in no bin.
        most: number of bins.
        least: values in a bin.

    Returns:
        int64 of the same shape: 0 for the lowest scores, then 1, ... without gaps; -1 for nan.
    """
    bins = np.full(scores.shape, -1, dtype=np.int64)
    known = ~np.isnan(scores)
    _, inverse, sizes = np.unique(scores[known], return_inverse=True, return_counts=True)
    total = int(sizes.sum())
    if not total:
        return bins
    count = min(most, max(1, total // least))
    twice_middle = 2 * np.cumsum(sizes) - sizes  # integers: no bin hangs on rounding
    of_values = np.minimum(twice_middle * count // (2 * total), count - 1)
    bins[known] = np.unique(of_values, return_inverse=True)[1][inverse]
    return bins


def _check_same(combinations: Combinations, familiarity: Familiarity) -> None:
    if combinations.class_names != familiarity.class_names:
        raise InputError(
            f"the training labels have the classes {few_names(familiarity.class_names)}, the evaluated ones "
            f"{few_names(combinations.class_names)}: take both from one data set."
        )
    one, other = combinations.together, familiarity.pairs.together
    if one != other:
        raise InputError(
            f"together means {other!r} in the training labels and {one!r} in the evaluated ones: count both alike."
        )
