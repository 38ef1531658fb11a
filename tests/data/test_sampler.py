from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classaware.data import StepSampler


def stream(n: int, batch: int, batches: int, seed: int = 0, start: int = 0) -> list[list[tuple[int, int]]]:
    return list(StepSampler(n, batch, batches, seed, lambda: start))


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 12), st.integers(0, 5))
def test_positions_count_up_and_every_epoch_is_a_permutation(n: int, batch: int, batches: int, seed: int) -> None:
    places = [place for places in stream(n, batch, batches, seed) for place in places]
    assert [position for _, position in places] == list(range(batch * batches))
    indices = [index for index, _ in places]
    for epoch in range(len(indices) // n):
        assert sorted(indices[epoch * n : (epoch + 1) * n]) == list(range(n))
    assert len(set(indices[len(indices) // n * n :])) == len(indices) % n


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 9), st.integers(0, 9))
def test_a_resumed_run_goes_on_where_the_first_stopped(n: int, batch: int, batches: int, start: int) -> None:
    assert stream(n, batch, batches, start=start) == stream(n, batch, batches)[start:]


def test_the_start_is_asked_when_iteration_begins() -> None:
    done = 0
    sampler = StepSampler(10, 2, 6, 0, lambda: done)
    whole = list(sampler)
    done = 4
    assert list(sampler) == whole[4:]
    assert len(sampler) == 6


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_one_global_stream(world: int) -> None:
    single = [place for places in stream(11, 3 * world, 7) for place in places]
    ranks = [[p for b in StepSampler(11, 3, 7, 0, lambda: 0, rank, world) for p in b] for rank in range(world)]
    assert sorted((place for places in ranks for place in places), key=lambda p: p[1]) == single
    for batch in range(7):
        together = {position for places in ranks for _, position in islice(places, batch * 3, batch * 3 + 3)}
        assert together == set(range(batch * 3 * world, (batch + 1) * 3 * world))


def test_seed_and_epoch_change_the_order() -> None:
    orders = [tuple(index for index, _ in stream(50, 50, 1, seed)[0]) for seed in range(4)]
    orders += [tuple(index for index, _ in places) for places in stream(50, 50, 3)[1:]]
    assert len(set(orders)) == 6
