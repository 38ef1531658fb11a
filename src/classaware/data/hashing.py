"""Random numbers as a pure function of integers: SplitMix64, equal on every platform and in every version.

Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (the 64-bit finalizer).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def mix(value: int) -> int:
    """Return the SplitMix64 output for the state ``value`` (taken modulo 2**64), an integer in [0, 2**64)."""
    z = (value + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)


def derive(*values: int) -> int:
    """Fold integers into one 64-bit key; the order of the values matters."""
    key = 0
    for value in values:
        key = mix(key ^ mix(value))
    return key


def mix_array(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply :func:`mix` to every element of a uint64 array."""
    z = values + np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    return z ^ (z >> np.uint64(31))


class Stream:
    """An endless sequence of random integers that belongs to one key.

    Args:
        key: any integers; two streams with different keys are independent.
    """

    def __init__(self, *key: int) -> None:
        self._state = derive(*key)

    def integer(self, low: int, high: int) -> int:
        """Draw one integer, uniform in [low, high)."""
        self._state = (self._state + _GOLDEN) & _MASK
        return low + ((mix(self._state) >> 32) * (high - low) >> 32)

    def words(self, *shape: int) -> NDArray[np.uint64]:
        """Draw an array of 64-bit words."""
        start = np.uint64(self.integer(0, 1 << 32) << 32)
        places: NDArray[np.uint64] = np.arange(math.prod(shape), dtype=np.uint64)
        return mix_array(places + start).reshape(shape)


def byte(words: NDArray[np.uint64], position: int) -> NDArray[np.int32]:
    """Return byte ``position`` (0 to 7, lowest first) of every word, centered: int32 in [-128, 127]."""
    return ((words >> np.uint64(8 * position)) & np.uint64(255)).astype(np.int32) - np.int32(128)
