"""Figure of scores by the familiarity of combinations: groups, and the curve from rare to familiar."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classaware.evaluation.rare_combinations import BinScore, GroupScore, RareCombinations, Unit
from classaware.evaluation.side_by_side import Estimate, Measure
from classaware.insight.figures import COMPARED, REFERENCE, canvas, frozen, short_name

_MARKERS = ("o", "s")
_APART = 0.11  # of the sides, so that their intervals can be seen
_UNITS: tuple[Unit, ...] = ("region", "image")

Colors = tuple[str, str]  # of ours and theirs


def combinations_figure(result: RareCombinations, color: str | None = None) -> Figure:
    """Draw mIoU by group (left) and by bins of the score (right), of regions (above) and images (below).

    Every point has its interval; both sides, where there are two, are drawn next to each other.

    Args:
        result: as `rare_combinations` returns it.
        color: of ours; None: of what is compared, or, where there is no other side, of the first run.
    """
    colors = (color or (REFERENCE if result.theirs is None else COMPARED), REFERENCE)
    figure = canvas(width=9.6, height=6.0)
    grid = figure.subplots(2, 2, squeeze=False, sharey=True, width_ratios=(1.0, 1.7))
    for axes, unit in zip(grid, _UNITS, strict=True):
        _draw_groups(axes[0], result, unit, colors)
        _draw_curve(axes[1], result, unit, colors)
        axes[0].set_ylabel(f"mIoU of {unit}s, %")
        for axis in axes:
            _dress(axis)
    handles, labels = grid[0][0].get_legend_handles_labels()
    if result.theirs is not None and handles:
        legend = figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
        for text in legend.get_texts():
            text.set_parse_math(False)
    label = figure.supxlabel(_caption(result), fontsize=9)
    label.set_parse_math(False)
    return frozen(figure)


def _draw_groups(axis: Axes, result: RareCombinations, unit: Unit, colors: Colors) -> None:
    rows: list[GroupScore] = [row for row in result.groups if row.unit == unit]
    _draw(axis, result, [row.mean_iou for row in rows], colors, joined=False)
    axis.set_xticks(range(len(rows)), [f"{row.group}\n{row.units:,}" for row in rows], fontsize=8)
    axis.set_title(f"{unit}s by their least familiar pair", fontsize=9, loc="left")


def _draw_curve(axis: Axes, result: RareCombinations, unit: Unit, colors: Colors) -> None:
    rows: list[BinScore] = [row for row in result.curve if row.unit == unit]
    _draw(axis, result, [row.mean_iou for row in rows], colors, joined=True)
    axis.set_xticks(range(len(rows)), [f"{row.middle:.2f}\n{row.units:,}" for row in rows], fontsize=8)
    axis.set_title("the same from rare to familiar, in bins of about equal size", fontsize=9, loc="left")


def _draw(axis: Axes, result: RareCombinations, measures: Sequence[Measure], colors: Colors, joined: bool) -> None:
    sides = [side for side in (result.ours, result.theirs) if side is not None]
    for index, side in enumerate(sides):
        shift = 0.0 if len(sides) == 1 else (2 * index - 1) * _APART
        found = [measure.theirs if index else measure.ours for measure in measures]
        known = [(place + shift, each) for place, each in enumerate(found) if each and each.value is not None]
        for place, each in known:
            _draw_interval(axis, place, each, colors[index])
        axis.plot(
            [place for place, _ in known],
            [100 * (each.value or 0.0) for _, each in known],
            color=colors[index],
            marker=_MARKERS[index],
            ms=4.5,
            lw=1.2 if joined else 0,
            label=_line(side.name),
        )
    axis.set_xlim(-0.6, max(len(measures), 1) - 0.4)


def _draw_interval(axis: Axes, place: float, estimate: Estimate, color: str) -> None:
    if estimate.interval is not None:
        low, high = estimate.interval
        axis.plot([place, place], [100 * low, 100 * high], color=color, lw=1.1, alpha=0.7, solid_capstyle="butt")


def _caption(result: RareCombinations) -> str:
    lines = ["under each point: group or median score (times as often as by chance, smoothed), and number of units"]
    if result.gap is not None:
        sides = [(result.ours, result.gap.gap.ours), (result.theirs, result.gap.gap.theirs)]
        texts = [
            f"{_line(side.name)} {100 * each.value:+.2f}"
            for side, each in sides
            if side and each and each.value is not None
        ]
        lines.append(f"matched gap of regions, familiar minus rare or never, points: {', '.join(texts)}")
    return "\n".join([*lines, "95 % intervals over images for these networks (seeds not included)"])


def _line(name: str) -> str:
    # A label that begins with an underscore is left out of legends.
    return short_name(" ".join(name.split())).lstrip("_") or "?"


def _dress(axis: Axes) -> None:
    axis.tick_params(labelsize=8)
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
