"""Values and colors of published labels to classes, by table; whatever a data set does not define is an error."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import Color
from classaware.errors import InputError


class ValueTable:
    """Numbers to classes.

    Args:
        classes: class, or ``IGNORED``, of every number from 0 that the data set defines.
    """

    def __init__(self, classes: Mapping[int, int]) -> None:
        self._classes = np.full(max(classes) + 1, -1, dtype=np.int16)
        self._classes[list(classes)] = list(classes.values())

    def __call__(self, label: NDArray[np.int64], name: str) -> NDArray[np.uint8]:
        """Classes of a label map (H, W) of numbers.

        Raises:
            InputError: a number that is not in the table; names it and the file ``name``.
        """
        inside = (label >= 0) & (label < len(self._classes))
        classes = np.where(inside, self._classes[np.where(inside, label, 0)], -1)
        bad = classes < 0
        if bad.any():
            raise InputError(
                f"{name} holds the value {label[bad][0]} ({int(bad.sum())} such pixels), which this data set does not "
                "define: the file is of another data set or form, or damaged."
            )
        return classes.astype(np.uint8)


class ColorTable:
    """Colors to classes.

    Args:
        classes: class, or ``IGNORED``, of every color that the data set defines.
    """

    def __init__(self, classes: Mapping[Color, int]) -> None:
        keys = np.array([(red << 16) + (green << 8) + blue for red, green, blue in classes])
        order = np.argsort(keys)
        self._keys = keys[order]
        self._classes = np.array(list(classes.values()), dtype=np.uint8)[order]

    def __call__(self, pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """Classes (H, W) of a picture (H, W, 3).

        Raises:
            InputError: a color that is not in the table; names it and the file ``name``.
        """
        keys = pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        bad = self._keys[places] != keys
        if bad.any():
            color = tuple(int(channel) for channel in pixels[bad][0])
            raise InputError(
                f"{name} holds the color {color} ({int(bad.sum())} such pixels), which this data set does not define: "
                "the file is of another data set, or was stored with loss."
            )
        return self._classes[places]
