"""Figure of a counterfactual test: IoU in every kind of place, and the context sensitivity of every class."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classaware.evaluation.context_effects import Group
from classaware.evaluation.counterfactual import Counterfactual
from classaware.evaluation.statistics import Interval
from classaware.insight.figures import COMPARED, REFERENCE, canvas, dress, frozen, one_line, run_color

_PLACES = (
    ("home", "s", "at home"),
    ("familiar", "o", "in a familiar context"),
    ("unfamiliar", "X", "in an unfamiliar one"),
)

Point = tuple[float, Interval | None]


def counterfactual_figure(result: Counterfactual) -> Figure:
    """Draw both panels; sides (or networks, where there are no sides) have one color each, theirs that of the first run
    in other figures.

    Args:
        result: with one class at least.
    """
    groups = result.groups
    order = sorted(result.classes, key=lambda row: -row.effects[0].sensitivity)
    names = [f"{one_line(row.name)} ({row.effects[0].objects})" for row in order]
    rows = [[(effect.sensitivity, effect.interval) for effect in row.effects] for row in order]
    names.insert(0, f"all ({groups[0].effect.objects})")
    rows.insert(0, [(group.effect.sensitivity, group.effect.interval) for group in groups])
    colors = [run_color(i) for i in range(len(groups))] if result.sides is None else [COMPARED, REFERENCE]
    heights = (0.34 * len(groups) + 0.7, (0.16 + 0.13 * len(groups)) * len(rows) + 0.6)
    figure = canvas(width=7.0, height=sum(heights) + 1.4)
    above, below = figure.subplots(2, 1, height_ratios=heights)
    _draw_places(above, groups, colors)
    _draw_sensitivity(below, names, rows, colors)
    label = figure.supxlabel(
        "IoU in a familiar minus IoU in an unfamiliar context, points; 0: the context does not matter\n"
        "95 % interval over images for these networks (seeds not included); in brackets: objects",
        fontsize=8.5,
    )
    label.set_parse_math(False)
    return frozen(figure)


def _draw_places(axis: Axes, groups: Sequence[Group], colors: Sequence[str]) -> None:
    for row, group in enumerate(groups):
        values = [100 * getattr(group.effect.iou, kind) for kind, _, _ in _PLACES]
        color = colors[row]
        axis.plot([min(values), max(values)], [row, row], color=color, lw=1, alpha=0.5, zorder=1)
        for value, (_, marker, _) in zip(values, _PLACES, strict=True):
            axis.plot([value], [row], marker, color=color, ms=7, mew=0)
    for _, marker, text in _PLACES:
        axis.plot([], [], marker, color="#606060", ms=7, mew=0, label=text)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, frameon=False, borderpad=0)
    names = [one_line(group.name) for group in groups]
    axis.set_yticks(range(len(groups)), names, fontsize=9, parse_math=False)
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.set_xlabel("mean IoU of the objects, %", fontsize=8.5)
    axis.margins(x=0.08)
    dress(axis)


def _draw_sensitivity(axis: Axes, names: Sequence[str], rows: Sequence[Sequence[Point]], colors: Sequence[str]) -> None:
    count = len(rows[0])
    step = 0.7 / max(count, 2)
    for row, points in enumerate(rows):
        for place, (value, interval) in enumerate(points):
            at = row + (place - (count - 1) / 2) * step
            color = colors[place]
            if interval is not None:
                ends = [100 * end for end in interval]
                axis.plot(ends, [at, at], color=color, lw=1.4, solid_capstyle="butt")
            axis.plot([100 * value], [at], "o", color=color, ms=4, mew=0)
    axis.axvline(0, color="#404040", lw=0.8, zorder=0)
    axis.axhline(0.5, color="#404040", lw=0.6)
    axis.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_title("context sensitivity", fontsize=9, loc="left")
    dress(axis)
