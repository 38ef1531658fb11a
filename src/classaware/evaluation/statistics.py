"""Means, t-tests over trainings and bootstrap intervals over images, on plain arrays.

B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile intervals); B. L. Welch, "The
generalization of Student's problem", Biometrika 1947.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Interval = tuple[float, float]

_CHUNK = 200  # resamples at a time: weights of 200 x images instead of all


@dataclass(frozen=True)
class TTest:
    """A two-sided t-test that two means are equal.

    Attributes:
        kind: "paired" or "Welch".
        t: the statistic; None, as all that follows from it, where ``undefined`` says why there is none.
        degrees: degrees of freedom.
        p: probability of a difference at least as large if there were none.
        interval: 95 % confidence interval of the difference.
        undefined: why there is no result, or None.
    """

    kind: str
    t: float | None = None
    degrees: float | None = None
    p: float | None = None
    interval: Interval | None = None
    undefined: str | None = None


def sd(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1; None for less than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def or_none(value: float) -> float | None:
    """None instead of nan."""
    return None if np.isnan(value) else float(value)


def t_test(ours: Sequence[float], theirs: Sequence[float], paired: bool) -> TTest:
    """Of the differences of pairs, or of two groups that need not be of one size."""
    return (paired_t_test if paired else welch_t_test)(ours, theirs)


def paired_t_test(ours: Sequence[float], theirs: Sequence[float]) -> TTest:
    """Student's t-test of the differences of pairs."""
    differences = np.subtract(ours, theirs)
    count = len(differences)
    if count < 2:
        return TTest("paired", undefined="not defined for one run a side")
    error = float(np.std(differences, ddof=1)) / math.sqrt(count)
    return _t_test("paired", float(differences.mean()), error, count - 1)


def welch_t_test(ours: Sequence[float], theirs: Sequence[float]) -> TTest:
    """Welch's t-test of two groups of any sizes and variances."""
    if min(len(ours), len(theirs)) < 2:
        return TTest("Welch", undefined="not defined for one run on a side")
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (ours, theirs)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return _t_test("Welch", 0.0, 0.0, 1)
    weights = [part / error**2 for part in parts]
    degrees = 1 / sum(w**2 / (len(v) - 1) for w, v in zip(weights, (ours, theirs), strict=True))
    return _t_test("Welch", float(np.mean(ours) - np.mean(theirs)), error, degrees)


def _t_test(kind: str, difference: float, error: float, degrees: float) -> TTest:
    # Runs that are equal but for rounding have no spread either.
    if error < 1e-12:
        return TTest(kind, undefined="not defined: the runs do not vary")
    t = difference / error
    reach = float(stats.t.ppf(0.975, degrees)) * error
    p = 2 * float(stats.t.sf(abs(t), degrees))
    return TTest(kind, t, degrees, p, (difference - reach, difference + reach))


def image_weights(images: int, resamples: int, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """How often each image occurs in each resample (n draws with replacement), (at most 200, n) at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        draws = rng.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(draws.ravel(), minlength=rows * images).reshape(rows, images)


def resampled_iou(runs: Sequence[NDArray[np.int64]], resamples: int, seed: int = 0) -> Floats:
    """IoU of every run in the same resamples of images, from summed counts.

    Args:
        runs: R arrays (n, K, 3) of true positives, false positives and false negatives of the same n images.
        resamples: how many, S.
        seed: of the draws.

    Returns:
        (R, S, K) float64; nan where a class is in neither truth nor prediction of a resample.
    """
    images, classes, _ = runs[0].shape
    # float64 holds these sums of integers exactly, so the order of summation does not matter.
    flat = [np.concatenate((run[..., 0], run.sum(axis=2)), axis=1).astype(np.float64) for run in runs]
    result = np.empty((len(runs), resamples, classes))
    start = 0
    for weights in image_weights(images, resamples, seed):
        chunk = weights.astype(np.float64)
        for index, counts in enumerate(flat):
            sums = chunk @ counts
            right, union = sums[:, :classes], sums[:, classes:]
            result[index, start : start + len(chunk)] = np.divide(
                right, union, out=np.full_like(right, np.nan), where=union > 0
            )
        start += len(chunk)
    return result


def resampled_groups(ours: Floats, theirs: Floats, paired: bool, seed: int = 1) -> Floats:
    """Difference of the means of two groups whose runs are drawn anew, with replacement, in every resample.

    Args:
        ours: (R, S) value of each run in each resample of images.
        theirs: (R', S); R' = R if ``paired``.
        paired: draw pairs instead of each group by itself.
        seed: of the draws.

    Returns:
        (S,) differences.
    """
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(ours), size=ours.shape)
    others = picks if paired else rng.integers(len(theirs), size=theirs.shape)
    columns = np.arange(ours.shape[1])
    difference: Floats = ours[picks, columns].mean(axis=0) - theirs[others, columns].mean(axis=0)
    return difference


def nan_mean(values: Floats, axis: int) -> Floats:
    """Mean of the values that are not nan; nan where there is none."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def percentile_interval(values: Floats) -> Interval | None:
    """The middle 95 % of the values that are not nan; None without any."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
