import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from classaware.data.hashing import Stream, byte, derive, mix, mix_array

WORDS = st.integers(0, 2**64 - 1)


def test_mix_gives_the_published_sequence_of_splitmix64_for_seed_0() -> None:
    step = 0x9E3779B97F4A7C15
    assert mix(0) == 0xE220A8397B1DCDAF
    assert mix(step) == 0x6E789E6AA1B965F4
    assert mix(2 * step) == 0x06C45D188009454F


@given(st.lists(WORDS, min_size=1, max_size=8))
def test_arrays_and_integers_are_mixed_alike(values: list[int]) -> None:
    assert mix_array(np.array(values, dtype=np.uint64)).tolist() == [mix(value) for value in values]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_derive_minds_the_order(a: int, b: int) -> None:
    assert (derive(a, b) == derive(b, a)) == (a == b)


@given(st.integers(0, 2**32), st.integers(-100, 100), st.integers(1, 100))
def test_integers_stay_in_their_range(key: int, low: int, width: int) -> None:
    stream = Stream(key)
    assert all(low <= stream.integer(low, low + width) < low + width for _ in range(20))


def test_integers_are_uniform() -> None:
    stream = Stream(5)
    counts = np.bincount([stream.integer(0, 8) for _ in range(8000)], minlength=8)
    assert counts.min() > 850
    assert counts.max() < 1150


def test_byte_takes_the_named_byte() -> None:
    word = np.array([0x0807060504030201], dtype=np.uint64)
    assert [int(byte(word, i)[0]) for i in range(8)] == [1 + i - 128 for i in range(8)]
