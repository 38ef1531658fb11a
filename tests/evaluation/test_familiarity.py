"""Categories and scores of pairs against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import chance_contacts

from classaware.data.pairs import PairCounts, Together
from classaware.errors import InputError
from classaware.evaluation.familiarity import Familiarity


def counts(rows: list[list[int]], images: int, together: Together = "image") -> PairCounts:
    names = ("sky", "road", "car", "cow")[: len(rows)]
    return PairCounts(names, images, np.array(rows), together=together)


def test_by_hand() -> None:
    # sky in 50 of 100 images, road in 40, car in 20, cow in none.
    rows = [[50, 30, 4, 0], [30, 40, 0, 0], [4, 0, 20, 0], [0, 0, 0, 0]]
    found = Familiarity(counts(rows, 100))
    assert found.category(0, 1) == "familiar"  # 30 where chance gives 20
    assert found.category(2, 0) == found.category(0, 2) == "rare"  # 4 where chance gives 10
    assert found.category(1, 2) == "never"
    assert found.category(0, 3) == "never"
    assert found.category_KK.dtype == np.int8
    assert found.category_KK.tolist() == [[-1, 0, 1, 2], [0, -1, 2, 2], [1, 2, -1, 2], [2, 2, 2, -1]]
    assert found.score_KK[0, 1] == pytest.approx(30.5 / 20.5)
    assert found.score_KK[0, 2] == pytest.approx(4.5 / 10.5)
    assert found.score_KK[1, 2] == pytest.approx(0.5 / 8.5)
    assert found.score_KK[3, :3].tolist() == [0, 0, 0]
    assert np.isnan(np.diag(found.score_KK)).all()
    assert Familiarity(counts(rows, 100), rare=0.4).category(0, 2) == "familiar"  # not below
    assert Familiarity(counts(rows, 100), rare=1.0).category(0, 2) == "rare"


def test_touching_is_measured_by_contacts() -> None:
    square = [[50, 8, 1, 9], [8, 40, 2, 3], [1, 2, 20, 4], [9, 3, 4, 30]]
    found = Familiarity(counts(square, 100, "touching"))
    chance = chance_contacts(np.array(square))[0, 2]
    lift = 1 / chance
    assert lift < 0.5
    assert found.score_KK[0, 2] == pytest.approx(1.5 / (chance + 0.5))
    assert found.category(0, 2) == "rare"
    assert Familiarity(found.pairs, rare=lift - 0.01).category(0, 2) == "familiar"
    assert not found.often_KK[0, 2]
    assert found.often_KK[0, 3]
    assert not found.often_KK.diagonal().any()


@given(
    seed=st.integers(0, 10**6),
    images=st.integers(1, 30),
    size=st.integers(2, 6),
    rare=st.floats(0, 1),
    share=st.floats(0.05, 0.9),
)
def test_every_pair_is_as_defined(seed: int, images: int, size: int, rare: float, share: float) -> None:
    holds = np.random.default_rng(seed).random((images, size)) < share
    table = holds.astype(np.int64).T @ holds.astype(np.int64)
    found = Familiarity(PairCounts(tuple(map(str, range(size))), images, table), rare)
    for a in range(size):
        for b in range(size):
            if a == b:
                continue
            both = sum(row[a] and row[b] for row in holds.tolist())
            one, other = (sum(row[k] for row in holds.tolist()) for k in (a, b))
            chance = one * other / images
            if both == 0:
                assert found.category(a, b) == "never"
            elif abs(both / chance - rare) > 1e-9:
                assert found.category(a, b) == ("rare" if both / chance < rare else "familiar")
            known = one and other
            assert found.score_KK[a, b] == pytest.approx((both + 0.5) / (chance + 0.5) if known else 0.0)


def test_unusable_arguments_are_named() -> None:
    for rare in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="rare="):
            Familiarity(counts([[1]], 1), rare)
    with pytest.raises(InputError, match="'road' is no pair with itself"):
        Familiarity(counts([[1, 1], [1, 1]], 1)).category(1, 1)
