"""Statistics against closed formulas, tables and brute force."""

import math
import random
from statistics import mean, stdev

import numpy as np
import pytest
from fake_records import fake_record
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.evaluation.statistics import (
    image_weights,
    nan_mean,
    or_none,
    paired_t_test,
    percentile_interval,
    resampled_groups,
    resampled_iou,
    sd,
    t_test,
    welch_t_test,
)

# 97.5 % points of Student's t, as printed in every table.
T_TABLE = {1: 12.7062, 2: 4.30265, 3: 3.18245, 4: 2.77645, 9: 2.26216}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 10])
def test_paired_test_is_the_closed_formula(count: int) -> None:
    draw = random.Random(count)
    ours, theirs = [draw.gauss(0.51, 0.02) for _ in range(count)], [draw.gauss(0.5, 0.02) for _ in range(count)]
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    error = stdev(differences) / math.sqrt(count)
    result = paired_t_test(ours, theirs)
    assert result.kind == "paired"
    assert result.degrees == count - 1
    assert result.t == pytest.approx(mean(differences) / error, rel=1e-9)
    reach = T_TABLE[count - 1] * error
    assert result.interval == pytest.approx((mean(differences) - reach, mean(differences) + reach), rel=1e-5)
    assert result.undefined is None


def test_p_values_of_one_and_two_degrees_are_closed_forms() -> None:
    """With 1 degree Student's t is Cauchy's distribution; with 2 its tail is 1/2 - t / (2 sqrt(2 + t²))."""
    result = paired_t_test([0.5, 0.53], [0.49, 0.5])
    assert result.t == pytest.approx(2.0)
    assert result.p == pytest.approx(1 - 2 * math.atan(2) / math.pi)
    result = paired_t_test([0.5, 0.53, 0.56], [0.49, 0.5, 0.54])
    assert result.t is not None
    assert result.p == pytest.approx(1 - result.t / math.sqrt(2 + result.t**2))
    swapped = paired_t_test([0.49, 0.5, 0.54], [0.5, 0.53, 0.56])
    assert swapped.p == pytest.approx(result.p)
    assert swapped.t == pytest.approx(-result.t)


def test_welch_is_the_closed_formula() -> None:
    ours, theirs = [3.0, 4.0, 1.0, 2.1], [490.0, 340.0, 433.0]
    a, b = stdev(ours) ** 2 / 4, stdev(theirs) ** 2 / 3
    result = welch_t_test(ours, theirs)
    assert result.kind == "Welch"
    assert result.t == pytest.approx((mean(ours) - mean(theirs)) / math.sqrt(a + b), rel=1e-9)
    assert result.degrees == pytest.approx((a + b) ** 2 / (a**2 / 3 + b**2 / 2), rel=1e-9)
    equal = welch_t_test([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    assert equal.degrees == pytest.approx(4)
    reach = T_TABLE[4] * math.sqrt(2 / 3)
    assert equal.interval == pytest.approx((-1 - reach, -1 + reach), rel=1e-5)


def test_the_test_of_pairs_or_of_groups() -> None:
    ours, theirs = [0.5, 0.53, 0.56], [0.49, 0.5, 0.54]
    assert t_test(ours, theirs, paired=True) == paired_t_test(ours, theirs)
    assert t_test(ours, theirs[:2], paired=False) == welch_t_test(ours, theirs[:2])
    assert (or_none(math.nan), or_none(np.float64(0.5))) == (None, 0.5)
    assert type(or_none(np.float64(0.5))) is float


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (paired_t_test([0.5], [0.4]), "one run a side"),
        (paired_t_test([0.5, 0.6], [0.4, 0.5]), "do not vary"),
        (paired_t_test([0.5, 0.5], [0.5, 0.5]), "do not vary"),
        (welch_t_test([0.5], [0.4, 0.5]), "one run"),
        (welch_t_test([0.5, 0.5], [0.4, 0.4, 0.4]), "do not vary"),
    ],
)
def test_what_is_not_defined_says_so_and_is_no_number(result, words: str) -> None:  # type: ignore[no-untyped-def]
    assert words in result.undefined
    assert (result.t, result.degrees, result.p, result.interval) == (None,) * 4


def test_sd() -> None:
    assert sd([1.0, 2.0, 4.0]) == pytest.approx(stdev([1.0, 2.0, 4.0]))
    assert sd([1.0]) is None
    assert sd([]) is None


def test_weights_are_draws_with_replacement() -> None:
    weights = np.concatenate(list(image_weights(7, 4001, seed=3)))
    assert weights.shape == (4001, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.06)
    assert weights.var(axis=0) == pytest.approx(np.full(7, 6 / 7), abs=0.1)  # binomial(7, 1/7)
    assert np.array_equal(weights, np.concatenate(list(image_weights(7, 4001, seed=3))))


def test_bootstrap_is_a_loop_over_the_same_resamples() -> None:
    runs = [fake_record(seed).counts for seed in range(2)]
    found = resampled_iou(runs, 230, seed=5)
    weights = np.concatenate(list(image_weights(12, 230, seed=5)))
    for run, counts in enumerate(runs):
        for resample in range(0, 230, 7):
            for index in range(4):
                images = [i for i in range(12) for _ in range(weights[resample, i])]
                tp, fp, fn = (sum(int(counts[i, index, part]) for i in images) for part in range(3))
                assert found[run, resample, index] == tp / (tp + fp + fn)


def test_a_class_that_vanishes_in_a_resample_has_no_iou() -> None:
    counts = np.zeros((3, 2, 3), dtype=np.int64)
    counts[:, 0] = (5, 1, 0)
    counts[0, 1] = (1, 1, 0)
    found = resampled_iou([counts], 300)[0]
    weights = np.concatenate(list(image_weights(3, 300)))
    assert np.array_equal(np.isnan(found[:, 1]), weights[:, 0] == 0)
    assert np.isnan(found[:, 1]).any()
    assert set(found[weights[:, 0] > 0, 1]) == {0.5}
    assert nan_mean(found, axis=1).tolist() == [(5 / 6 if w == 0 else (5 / 6 + 0.5) / 2) for w in weights[:, 0]]


def test_exact_with_counts_beyond_float32() -> None:
    big = 2**40 + 1
    counts = np.full((2, 1, 3), (big, 0, 1), dtype=np.int64)
    assert set(resampled_iou([counts], 5)[0, :, 0]) == {2 * big / (2 * big + 2)}


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """200 sets of 40 images with IoU 0.5 in the whole: about 95 % of the intervals hold it."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        right = rng.binomial(50, rng.beta(4, 4, 40))
        counts = np.stack((right, 50 - right, np.zeros(40, dtype=np.int64)), axis=1)[:, None]
        interval = percentile_interval(resampled_iou([counts], 300)[0, :, 0])
        assert interval is not None
        held += interval[0] <= 0.5 <= interval[1]
    assert 178 <= held <= 199


def test_groups_drawn_anew() -> None:
    # Two runs a side and no variation over images: all the variation is that of the draws.
    ours, theirs = np.repeat([[0.5], [0.7]], 4000, axis=1), np.repeat([[0.4], [0.8]], 4000, axis=1)
    paired = resampled_groups(ours, theirs, paired=True).round(9)
    values, counts = np.unique(paired, return_counts=True)
    assert values.tolist() == [-0.1, 0.0, 0.1]  # both the second, each once, both the first
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    free = np.unique(resampled_groups(ours, theirs, paired=False).round(9))
    assert free.tolist() == [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]
    assert resampled_groups(ours, theirs[:1], paired=False).shape == (4000,)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.floats(-1, 1), st.just(math.nan)), min_size=1, max_size=9))
def test_means_and_intervals_without_nan(values: list[float]) -> None:
    known = [value for value in values if not math.isnan(value)]
    found = float(nan_mean(np.array([values]), axis=1)[0])
    interval = percentile_interval(np.array(values))
    if not known:
        assert math.isnan(found)
        assert interval is None
        return
    assert found == pytest.approx(math.fsum(known) / len(known), abs=1e-12)
    assert interval is not None
    assert min(known) <= interval[0] <= interval[1] <= max(known)
