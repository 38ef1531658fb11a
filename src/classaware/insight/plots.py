"""Figures: class-dependency maps and training curves."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from classaware.errors import InputError
from classaware.insight.figures import ABSENT, canvas, frozen, short_name

# Okabe and Ito's colors, which remain apart for color-blind readers; the dashes help in gray print.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")

Curve = tuple[Sequence[float], Sequence[float]]


def dependency_figure(maps: Mapping[str, ArrayLike], class_names: Sequence[str]) -> Figure:
    """Draw class-dependency maps side by side on one color scale.

    The scale is a square root, because what matters is small and off the diagonal.

    Args:
        maps: name of the network -> (K, K) as `dependency_map` returns it; nan is drawn gray.
        class_names: K names.

    Raises:
        InputError: no map, or a map of another size.
    """
    squares = {name: _square(name, values, len(class_names)) for name, values in maps.items()}
    if not squares:
        raise InputError("There is no dependency map to draw. Give at least one.")
    side = min(14.0, max(2.6, 0.19 * len(class_names)))
    names = [short_name(name) for name in class_names]
    room = 0.08 * max(map(len, names))
    figure = canvas(width=len(squares) * (side + 0.3) + room + 1.5, height=side + room + 1.0)
    axes = figure.subplots(1, len(squares), squeeze=False, sharey=True)[0]
    top = max((float(np.nanmax(s)) for s in squares.values() if not np.isnan(s).all()), default=1.0)
    norm = PowerNorm(0.5, vmin=0.0, vmax=top)
    colors = matplotlib.colormaps["viridis"].with_extremes(bad=ABSENT)
    font = min(8.5, 72 * side / len(class_names) * 0.8)
    for axis, (name, square) in zip(axes, squares.items(), strict=True):
        picture = axis.imshow(np.ma.masked_invalid(square), cmap=colors, norm=norm, interpolation="nearest")
        axis.set_title(short_name(name), fontsize=11, parse_math=False)
        ticks = range(len(names))
        axis.set_xticks(ticks, names, rotation=90, fontsize=font, parse_math=False)
        axis.set_yticks(ticks, names, fontsize=font, parse_math=False)
        axis.tick_params(length=0)
        axis.set_xlabel("on this class")
    axes[0].set_ylabel("dependency of this class")
    figure.colorbar(picture, ax=list(axes), label="similarity of class centers (Eq. 4)", shrink=0.8)
    return frozen(figure)


def curves_figure(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw training curves as small multiples.

    Args:
        curves: logged quantity (one panel each) -> network (one line each) -> (steps, values). Values that are not
            finite leave a gap; a network keeps its color in every panel.

    Raises:
        InputError: no curve, or steps and values of different lengths.
    """
    networks = list(dict.fromkeys(network for lines in curves.values() for network in lines))
    if not networks:
        raise InputError("There is no curve to draw. Give at least one quantity with one network.")
    columns = 2 if len(curves) == 4 else min(3, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = canvas(width=3.6 * columns + 0.4, height=2.5 * rows + 0.4 + 0.2 * math.ceil(len(networks) / columns))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    looks = {
        network: Line2D([], [], color=_COLORS[i % len(_COLORS)], ls=_DASHES[i % len(_DASHES)], lw=1.6)
        for i, network in enumerate(networks)
    }
    for axis, (quantity, lines) in zip(axes, curves.items(), strict=False):
        _panel(axis, quantity, lines, looks)
    for axis in axes[len(curves) :]:
        axis.remove()
    names = [short_name(network) for network in networks]
    legend = figure.legend(list(looks.values()), names, loc="outside upper center", ncols=columns, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return frozen(figure)


def _panel(axis: Axes, quantity: str, lines: Mapping[str, Curve], looks: Mapping[str, Line2D]) -> None:
    for network, (steps, values) in lines.items():
        if len(steps) != len(values):
            raise InputError(
                f"The curve '{quantity}' of '{network}' has {len(steps)} steps and {len(values)} values. "
                "Give one value a step."
            )
        look = looks[network]
        marker = "o" if len(steps) <= 12 else ""
        y = np.where(np.isfinite(values), values, np.nan)
        axis.plot(np.asarray(steps), y, color=look.get_color(), ls=look.get_linestyle(), lw=1.6, marker=marker, ms=3.5)
    axis.set_title(short_name(quantity), fontsize=10, loc="left", parse_math=False)
    axis.set_xlabel("step", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(color="#e5e5e5", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _square(name: str, values: ArrayLike, size: int) -> NDArray[np.float64]:
    square = np.asarray(values, dtype=np.float64)
    if square.shape != (size, size) or size == 0:
        raise InputError(
            f"The dependency map '{name}' has shape {square.shape} and there are {size} class names. "
            "Give one name a class."
        )
    return square
