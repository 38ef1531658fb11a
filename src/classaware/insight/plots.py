"""Training curves as a picture."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from classaware.errors import InputError
from classaware.insight.figures import canvas, frozen, run_color, short_name

_DASHES = ("-", "--", "-.", ":")  # colors alone do not help in gray print
_FEW = 12  # values, up to which each is a dot

Curve = tuple[Sequence[float], Sequence[float]]


def curves_figure(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw training curves as small multiples.

    Args:
        curves: logged quantity (one panel each) -> network (one line each) -> (steps, values). Values that are not
            finite leave a gap, a value between two gaps is a dot; a network keeps its color in every panel. One
            whose lines are all empty has a color, but is not named.

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
        network: Line2D([], [], color=run_color(i), ls=_DASHES[i % len(_DASHES)], lw=1.6)
        for i, network in enumerate(networks)
    }
    for axis, (quantity, lines) in zip(axes, curves.items(), strict=False):
        _panel(axis, quantity, lines, looks)
    for axis in axes[len(curves) :]:
        axis.remove()
    drawn = {network for lines in curves.values() for network, (steps, _) in lines.items() if len(steps) > 0}
    named = [network for network in networks if network in drawn]
    handles, names = [looks[network] for network in named], [short_name(network) for network in named]
    legend = figure.legend(handles, names, loc="outside upper center", ncols=columns, frameon=False)
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
        x, y = np.asarray(steps), np.where(np.isfinite(values), values, np.nan)
        # A line needs two points: one that stands alone would not be seen.
        dots = np.full(len(y), True) if len(y) <= _FEW else _alone(y)
        look = looks[network]
        axis.plot(x, y, color=look.get_color(), ls=look.get_linestyle(), lw=1.6, marker="o", ms=3.5, markevery=dots)
    axis.set_title(short_name(quantity), fontsize=10, loc="left", parse_math=False)
    axis.set_xlabel("step", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(color="#e5e5e5", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _alone(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    known = np.isfinite(values)
    before, after = np.roll(known, 1), np.roll(known, -1)
    before[:1] = after[-1:] = False
    alone: NDArray[np.bool_] = known & ~before & ~after
    return alone
