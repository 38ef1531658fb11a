import math
from itertools import pairwise
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from classaware.study.contrast import contrast, holm

VALUES = st.dictionaries(st.integers(0, 9), st.one_of(st.none(), st.floats(0, 1)), max_size=8)


def test_three_seeds_by_hand() -> None:
    found = contrast({0: 0.52, 1: 0.55, 2: 0.53}, {2: 0.53, 0: 0.50, 1: 0.52})
    # Differences 0.02, 0.03, 0.00: mean 0.05 / 3; squares of what is left 0.0033^2 + 0.0133^2 + 0.0167^2 = 0.00046667,
    # over 2 and rooted 0.0152753. t = 0.0166667 / (0.0152753 / sqrt 3) = 1.889822, t^2 = 25 / 7. With 2 degrees of
    # freedom p = 1 - t / sqrt(2 + t^2) = 1 - 1.889822 / 2.360387, and 95 % reach to 4.302653 errors of 0.00881917.
    assert found.seeds == (0, 1, 2)
    assert found.differences == pytest.approx((0.02, 0.03, 0.0), abs=1e-12)
    assert found.difference == pytest.approx(0.05 / 3)
    assert found.difference_sd == pytest.approx(0.0152753, rel=1e-5)
    assert found.test.t == pytest.approx(math.sqrt(25 / 7))
    assert found.test.degrees == 2
    assert found.test.p == pytest.approx(0.1993592, rel=1e-5)
    assert found.test.interval == pytest.approx((0.0166667 - 0.0379458, 0.0166667 + 0.0379458), rel=1e-4)
    assert (found.our_mean, found.their_mean) == pytest.approx((1.60 / 3, 1.55 / 3))
    assert found.our_sd == pytest.approx(0.0152753, rel=1e-5)
    assert found.only_ours == found.only_theirs == ()


@given(VALUES, VALUES)
def test_against_scipy_and_plain_loops(ours: dict[int, float | None], theirs: dict[int, float | None]) -> None:
    found = contrast(ours, theirs)
    left = [seed for seed, value in ours.items() if value is not None]
    right = [seed for seed, value in theirs.items() if value is not None]
    both = sorted(set(left) & set(right))
    assert list(found.seeds) == both
    assert list(found.only_ours) == sorted(set(left) - set(right))
    assert list(found.only_theirs) == sorted(set(right) - set(left))
    values = [ours[seed] for seed in left]
    assert found.our_mean == (pytest.approx(mean(values), abs=1e-12) if left else None)  # type: ignore[type-var]
    assert (found.their_sd is None) == (len(right) < 2)
    differences = [ours[seed] - theirs[seed] for seed in both]  # type: ignore[operator]
    assert found.difference == (pytest.approx(mean(differences), abs=1e-12) if both else None)
    if len(both) < 2:
        assert found.difference_sd is found.test.p is found.test.interval is None
        assert found.test.undefined
        return
    assert found.difference_sd == pytest.approx(stdev(differences), abs=1e-9)
    if stdev(differences) > 1e-9:
        expected = ttest_rel([ours[seed] for seed in both], [theirs[seed] for seed in both])
        interval = expected.confidence_interval(0.95)
        assert found.test.t == pytest.approx(expected.statistic, rel=1e-6, abs=1e-9)
        assert found.test.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
        assert found.test.interval == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


def test_ties_have_no_test_and_say_why() -> None:
    found = contrast({0: 0.6, 1: 0.7, 2: 0.8}, {0: 0.5, 1: 0.6, 2: 0.7})
    assert found.difference == pytest.approx(0.1)
    assert found.difference_sd == pytest.approx(0, abs=1e-12)
    assert found.test.p is found.test.interval is found.test.t is None
    assert found.test.undefined == "not defined: the runs do not vary"


def test_one_seed_has_a_difference_and_no_test() -> None:
    found = contrast({0: 0.6}, {0: 0.5})
    assert found.difference == pytest.approx(0.1)
    assert found.difference_sd is found.our_sd is found.test.p is None
    assert found.test.undefined == "not defined for one run a side"


def test_a_seed_of_one_side_is_in_its_mean_alone() -> None:
    found = contrast({0: 0.6, 1: 0.7, 2: 0.9}, {0: 0.5, 1: 0.65, 3: 0.1, 4: None, 2: None})
    assert found.seeds == (0, 1)
    assert found.difference == pytest.approx(0.075)
    assert found.our_mean == pytest.approx(2.2 / 3)
    assert found.their_mean == pytest.approx(1.25 / 3)
    assert (found.only_ours, found.only_theirs) == ((2,), (3,))


def test_nothing_in_common() -> None:
    found = contrast({0: 0.6, 1: None}, {1: 0.5})
    assert found.difference is found.test.p is None
    assert found.test.undefined == "not defined without a seed that both sides have"
    assert contrast({}, {}).our_mean is None


def test_holm_by_hand() -> None:
    # Ascending: 4 x 0.005 = 0.02, 3 x 0.01 = 0.03, 2 x 0.03 = 0.06, and 1 x 0.04, raised to the one before it.
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_what_the_stepwise_procedure_rejects(probabilities: list[float]) -> None:
    adjusted = holm(probabilities)
    for level in (0.01, 0.05, 0.5):
        rejected = set()
        for rank, place in enumerate(sorted(range(len(probabilities)), key=lambda i: probabilities[i])):
            if probabilities[place] * (len(probabilities) - rank) > level:
                break
            rejected.add(place)
        assert {place for place, p in enumerate(adjusted) if p is not None and p <= level} == rejected
    ordered = [p for _, p in sorted(zip(probabilities, adjusted, strict=True))]
    assert all(low <= high for low, high in pairwise(ordered))  # type: ignore[operator]
