"""COCO's run lengths: the columns of a mask as alternating runs of 0 and 1, in plain numbers or packed as text."""

import numpy as np
from numpy.typing import NDArray

from classaware.errors import InputError


def decode_runs(counts: str | list[int], size: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """A mask (H, W).

    Args:
        counts: run lengths, the first of zeros; or the text that packs them.
        size: (H, W).
        name: of the file, for errors.

    Raises:
        InputError: the runs are negative or do not fill the mask.
    """
    try:
        runs = _unpack(counts) if isinstance(counts, str) else np.array(counts, dtype=np.int64)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: a run length code cannot be read ({error}): the file is damaged.") from error
    height, width = size
    possible = runs.ndim == 1 and ((runs >= 0) & (runs <= height * width)).all()  # or their sum may wrap around
    if not possible or runs.sum() != height * width:
        raise InputError(f"{name}: a run length code does not fill its mask of {height}x{width}: the file is damaged.")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _unpack(text: str) -> NDArray[np.int64]:
    """Numbers of a text: 5 bits a character, lowest first; 0x20 says that more follow, 0x10 in the last: negative.

    From the fourth on, each is the difference to the run two before it.
    """
    codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        raise ValueError("not of the 64 characters from 0 to o, or cut off")
    last = codes & 32 == 0
    number = np.concatenate(([0], np.cumsum(last)[:-1]))
    starts = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
    position = np.arange(len(codes)) - starts[number]
    if position.max() > 7:
        raise ValueError("a number of more than 40 bits")
    values = np.zeros(int(last.sum()), dtype=np.int64)
    np.add.at(values, number, (codes & 31) << (5 * position))
    sign = (codes & 16 != 0) & last
    values[number[sign]] -= 1 << (5 * (position[sign] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
