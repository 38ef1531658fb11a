"""A figure as two files."""

from pathlib import Path

from matplotlib.figure import Figure

from classaware.files import write_atomically
from classaware.insight.figures import figure_to_png, figure_to_svg

_WIDEST = 8000  # pixels of a PNG; what is larger is to be read in the SVG


def write_figure(folder: Path, stem: str, figure: Figure) -> None:
    """Write ``stem.png`` and ``stem.svg``."""
    dpi = min(150.0, _WIDEST / max(figure.get_size_inches()))
    write_atomically(folder / f"{stem}.png", figure_to_png(figure, dpi))
    write_atomically(folder / f"{stem}.svg", figure_to_svg(figure))
