"""Class-dependency maps as a picture (Fig. 4 of the CAR paper)."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from classaware.errors import InputError
from classaware.insight.dependency import Form
from classaware.insight.figures import ABSENT, canvas, frozen, short_name

_COLUMNS = 3  # networks in one row
_LABELS: dict[Form, str] = {
    "paper": "similarity of class centers (Eq. 4)",
    "unit": "similarity of class centers (Eq. 4, features of unit scale)",
    "cosine": "cosine of class centers",
}


def dependency_figure(maps: Mapping[str, ArrayLike], class_names: Sequence[str], form: Form = "paper") -> Figure:
    """Draw class-dependency maps side by side on one color scale.

    The scale is a square root, because what matters is small and off the diagonal; of cosines it is linear, and white
    is 0.

    Args:
        maps: name of the network -> (K, K) as `similarity_map` returns it; nan is drawn gray.
        class_names: K names.
        form: of the maps.

    Raises:
        InputError: no map, or a map of another size.
    """
    squares = {name: _square(name, values, len(class_names)) for name, values in maps.items()}
    if not squares:
        raise InputError("There is no dependency map to draw. Give at least one.")
    side = min(18.0, max(2.6, 0.19 * len(class_names)))
    names = [short_name(name) for name in class_names]
    room = 0.08 * max(map(len, names))
    columns = min(_COLUMNS, len(squares)) if len(squares) != 4 else 2
    rows = math.ceil(len(squares) / columns)
    figure = canvas(width=columns * (side + 0.3) + room + 1.5, height=rows * (side + 0.5) + room + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    norm, colors = _scale(list(squares.values()), form)
    for axis, (name, square) in zip(axes.flat, squares.items(), strict=False):
        picture = axis.imshow(
            np.ma.masked_invalid(square),
            cmap=matplotlib.colormaps[colors].with_extremes(bad=ABSENT),
            norm=norm,
            interpolation="nearest",
        )
        axis.set_title(short_name(name), fontsize=11, parse_math=False)
        _name_axes(axis, names, side)
    for axis in axes.flat[len(squares) :]:
        axis.remove()
    for axis in axes.flat[max(0, len(squares) - columns) : len(squares)]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("on this class")
    for axis in axes[:, 0]:
        axis.set_ylabel("dependency of this class")
    figure.colorbar(
        picture, ax=list(axes.flat[: len(squares)]), label=_LABELS[form], shrink=0.8, aspect=max(20, 3 * side)
    )
    return frozen(figure)


def _name_axes(axis: Axes, names: Sequence[str], side: float) -> None:
    font = min(8.5, 72 * side / len(names) * 0.8)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=font, parse_math=False)
    axis.set_yticks(range(len(names)), names, fontsize=font, parse_math=False)
    axis.tick_params(length=0)


def _scale(squares: Sequence[NDArray[np.float64]], form: Form) -> tuple[Normalize, str]:
    if form == "cosine":
        return Normalize(-1.0, 1.0), "RdBu_r"
    top = max((float(np.nanmax(square)) for square in squares if not np.isnan(square).all()), default=1.0)
    return PowerNorm(0.5, vmin=0.0, vmax=top), "viridis"


def _square(name: str, values: ArrayLike, size: int) -> NDArray[np.float64]:
    square = np.asarray(values, dtype=np.float64)
    if square.shape != (size, size) or size == 0:
        raise InputError(
            f"The dependency map '{name}' has shape {square.shape} and there are {size} class names. "
            "Give one name a class."
        )
    return square
