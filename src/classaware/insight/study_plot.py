"""Figure of a study: how far every variant is from the baseline, on every data set and split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classaware.errors import InputError
from classaware.evaluation.formatting import signed
from classaware.evaluation.statistics import Interval
from classaware.insight.figures import COMPARED, REFERENCE, canvas, dress, frozen, one_line

_UNSURE = "#8c8c8c"
_BETWEEN = 0.6  # rows of free space above a block
_LETTERS = 72  # of a block's title and note, as many as the axis is wide
_REACH = 1.0  # how far the axis goes beyond the pairs at most, in their range: two seeds have intervals without end


@dataclass(frozen=True)
class PlotRow:
    """One variant; fractions.

    Attributes:
        name: of the variant.
        difference: mean over the pairs.
        interval: 95 % over seeds; None where it is not defined.
        pairs: the difference of every pair.
    """

    name: str
    difference: float
    interval: Interval | None
    pairs: Sequence[float]


@dataclass(frozen=True)
class PlotBlock:
    """Rows under one title, which is cut where it is long; the note behind it is not."""

    title: str
    rows: Sequence[PlotRow]
    note: str = ""


def study_figure(blocks: Sequence[PlotBlock], baseline: str) -> Figure:
    """Draw the blocks one under the other, on one axis in points; what has an interval that leaves zero out is colored.

    Args:
        blocks: one a data set, network and split; those without rows are left out.
        baseline: what all are compared with.

    Raises:
        InputError: nothing to draw.
    """
    blocks = [block for block in blocks if block.rows]
    if not blocks:
        raise InputError("There is no difference to draw: no variant has a seed in common with the baseline.")
    length = sum(len(block.rows) + 1 + _BETWEEN for block in blocks)
    figure = canvas(width=7.0, height=0.21 * length + 1.1)
    axis = figure.subplots()
    low, high = _limits([row for block in blocks for row in block.rows])
    place, ticks = 0.0, []
    for block in blocks:
        _write(axis, 0.0, place, _heading(block), fontsize=8.5, fontweight="bold")
        for row in block.rows:
            place += 1
            ticks.append((place, one_line(row.name)))
            _draw(axis, place, row, (low, high))
        place += 1 + _BETWEEN
    axis.axvline(0, color="#404040", lw=0.8, zorder=0)
    axis.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontsize=8, parse_math=False)
    axis.set_ylim(place - _BETWEEN - 0.3, -0.7)
    axis.set_xlim(low, high)
    dress(axis)
    label = figure.supxlabel(_caption(one_line(baseline)), fontsize=8.5)
    label.set_parse_math(False)
    return frozen(figure)


def _heading(block: PlotBlock) -> str:
    title = " ".join(block.title.split())
    room = _LETTERS - len(block.note)
    return f"{title if len(title) <= room else title[: room - 1] + '…'} {block.note}".rstrip()


def _caption(baseline: str) -> str:
    return (
        f"mIoU minus that of {baseline}, points; dot: a pair of trainings with one seed; bar and number: their mean\n"
        "line: 95 % interval over seeds on these images (arrow: it goes on); gray: it holds zero, or there is none"
    )


def _limits(rows: Sequence[PlotRow]) -> Interval:
    """In points: all pairs, and as much of the intervals as leaves the pairs apart."""
    pairs = [0.0, *(100 * value for row in rows for value in (row.difference, *row.pairs))]
    low, high = min(pairs), max(pairs)
    reach = _REACH * (high - low)
    ends = [100 * end for row in rows for end in row.interval or ()]
    first, last = max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)
    room = 0.06 * (last - first) or 1.0
    return first - room, last + room


def _draw(axis: Axes, place: float, row: PlotRow, limits: Interval) -> None:
    sure = row.interval is not None and (row.interval[0] > 0 or row.interval[1] < 0)
    color = (COMPARED if row.difference > 0 else REFERENCE) if sure else _UNSURE
    if row.interval is not None:
        _draw_interval(axis, place, row.interval, limits, color)
    axis.plot([100 * value for value in row.pairs], [place] * len(row.pairs), "o", color=color, ms=4, alpha=0.55, mew=0)
    axis.plot([100 * row.difference], [place], "|", color=color, ms=9, mew=2)
    _write(axis, 1.01, place, signed(row.difference), fontsize=8, color=color if sure else "#505050")


def _draw_interval(axis: Axes, place: float, interval: Interval, limits: Interval, color: str) -> None:
    low, high = (100 * end for end in interval)
    ends = max(low, limits[0]), min(high, limits[1])
    axis.plot(ends, [place, place], color=color, lw=1.3, solid_capstyle="butt")
    for cut, end, marker in ((low < limits[0], limits[0], "<"), (high > limits[1], limits[1], ">")):
        if cut:
            axis.plot([end], [place], marker, color=color, ms=5, mew=0, clip_on=False)


def _write(axis: Axes, x: float, place: float, text: str, **style: Any) -> None:
    """At ``x`` of the axis' width."""
    axis.text(x, place, text, transform=axis.get_yaxis_transform(), va="center_baseline", parse_math=False, **style)
