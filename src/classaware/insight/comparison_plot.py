"""Figure of a comparison: the mIoU of every run, and the difference of every class with its interval."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classaware.errors import InputError
from classaware.insight.figures import COMPARED, REFERENCE, canvas, dress, frozen, one_line

_SIDES = (COMPARED, REFERENCE)
_UNSURE = "#8c8c8c"
_LONGEST = 60  # classes in one column

_MEAN_ROW = -1.7  # above the first class
_CAPTION = (
    "95 % interval over images for these networks (seeds not included)\n"
    "in the color of what scores more: this interval leaves zero out; gray: it does not, or there is none"
)

Interval = tuple[float, float]
Difference = tuple[str, float, Interval | None]
Place = tuple[float, Difference]  # its row


def comparison_figure(
    differences: Sequence[Difference], sides: Mapping[str, Sequence[float]], mean_interval: Interval | None = None
) -> Figure:
    """Draw classes sorted by their difference, in as many columns as are needed, over the runs' mIoU.

    The difference of the means stands above the first column. What has an interval that leaves
    zero out has the color of the side that scores more.

    Args:
        differences: (class, difference, 95 % interval or None), fractions; classes that have no difference are left
            out by the caller.
        sides: name -> mIoU of its runs, fractions; two of them, the second what the first is compared with.
        mean_interval: of the difference of the means.

    Raises:
        InputError: nothing to draw.
    """
    if not differences or len(sides) != 2:
        raise InputError("There is no difference to draw. Give at least one class with an IoU on both sides.")
    ranked = sorted(differences, key=lambda item: (-item[1], item[0]))
    columns = math.ceil(len(ranked) / _LONGEST)
    rows = math.ceil(len(ranked) / columns)
    height = 0.17 * (rows - _MEAN_ROW) + 0.6
    figure = canvas(width=max(6.0, 4.4 * columns), height=height + 2.0)
    grid = figure.add_gridspec(2, columns, height_ratios=(1.0, height))
    _draw_runs(figure.add_subplot(grid[0, :]), sides)
    one, other = (sum(values) / len(values) for values in sides.values())
    mean = ("mean", one - other, mean_interval)
    values = [100 * value for _, x, interval in [mean, *ranked] for value in (x, *(interval or ()))]
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.06 * (high - low) or 1.0
    for column in range(columns):
        axis = figure.add_subplot(grid[1, column])
        places: list[Place] = list(enumerate(ranked[column * rows : (column + 1) * rows]))
        if column == 0:
            places.insert(0, (_MEAN_ROW, mean))
            axis.axhline(_MEAN_ROW / 2 - 0.25, color="#404040", lw=0.6)
        _draw_differences(axis, places)
        axis.set_ylim(rows - 0.4, _MEAN_ROW - 0.7)
        axis.set_xlim(low - room, high + room)
    names = [one_line(name) for name in sides]
    label = figure.supxlabel(f"IoU of {names[0]} minus {names[1]}, points,\n{_CAPTION}", fontsize=9)
    label.set_parse_math(False)
    return frozen(figure)


def _draw_runs(axis: Axes, sides: Mapping[str, Sequence[float]]) -> None:
    for row, (values, color) in enumerate(zip(sides.values(), _SIDES, strict=True)):
        points = [100 * value for value in values]
        axis.plot(points, [row] * len(points), "o", color=color, ms=5, alpha=0.6, mew=0)
        mean = sum(points) / len(points)
        axis.plot([mean], [row], "|", color=color, ms=14, mew=1.8)
        axis.annotate(
            f"{mean:.2f}", (mean, row), (0, 10), textcoords="offset points", ha="center", fontsize=8, color=color
        )
    axis.set_yticks(range(2), [one_line(name) for name in sides], fontsize=9, parse_math=False)
    axis.set_ylim(1.6, -0.8)
    axis.margins(x=0.1)
    axis.set_title("mIoU of each run and mean, %", fontsize=9, loc="left")
    dress(axis)


def _draw_differences(axis: Axes, places: Sequence[Place]) -> None:
    for row, (_, difference, interval) in places:
        sure = interval is not None and (interval[0] > 0 or interval[1] < 0)
        color = _SIDES[0 if difference > 0 else 1] if sure else _UNSURE
        if interval is not None:
            axis.plot([100 * interval[0], 100 * interval[1]], [row, row], color=color, lw=1.3, solid_capstyle="butt")
        axis.plot([100 * difference], [row], "o", color=color, ms=3.6, mew=0)
    axis.axvline(0, color="#404040", lw=0.8, zorder=0)
    labels = [one_line(name) for _, (name, _, _) in places]
    axis.set_yticks([row for row, _ in places], labels, fontsize=7.5, parse_math=False)
    dress(axis)
