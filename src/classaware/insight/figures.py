"""What all figures have in common: an empty canvas, a fixed layout, files.

Made with matplotlib's objects, never with pyplot, so there is no global state and no window; the files hold no date and
no version, so the same numbers give the same bytes.
"""

import io
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ABSENT = "#d9d9d9"

# Okabe and Ito's colors, which remain apart for color-blind readers: one a run, in the order of the runs. The first is
# what the others are compared with.
RUN_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
REFERENCE, COMPARED = RUN_COLORS[:2]


def figure_to_svg(figure: Figure) -> bytes:
    """Return the figure as SVG; letters are drawn as paths, so it looks the same everywhere."""
    with matplotlib.rc_context({"svg.hashsalt": "classaware", "svg.fonttype": "path"}):
        return _save(figure, "svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})


def figure_to_png(figure: Figure, dpi: float = 150) -> bytes:
    """Return the figure as PNG."""
    return _save(figure, "png", dpi=dpi, metadata={"Software": None})


def _save(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, bbox_inches="tight", pad_inches=0.1, **options)
    return buffer.getvalue()


def canvas(width: float, height: float) -> Figure:
    """An empty white figure of this size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def frozen(figure: Figure) -> Figure:
    """The figure with its layout fixed."""
    # Constrained layout moves a little with every drawing; laid out once, all files of a figure are the same.
    for _ in range(3):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def run_color(index: int) -> str:
    """Of run ``index``, the same in all figures of a report."""
    return RUN_COLORS[index % len(RUN_COLORS)]


def short_name(name: str) -> str:
    """At most 32 letters of a name."""
    # A long name would take all room from the picture; the report's tables and captions have it in full.
    return name if len(name) <= 32 else f"{name[:31]}…"


def one_line(name: str) -> str:
    """A name without line breaks, at most 32 letters of it."""
    return short_name(" ".join(name.split()))


def dress(axis: Axes) -> None:
    """The looks of an axis with a row for every name: quiet, with lines to read values by."""
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
