"""The co-occurrence of classes as a picture."""

import matplotlib
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from classaware.data.pairs import PairCounts
from classaware.errors import InputError
from classaware.insight.figures import ABSENT, canvas, short_name


def pairs_figure(pairs: PairCounts) -> Figure:
    """Draw how often the column's class occurs in images that hold the row's.

    The scale is a square root, because rare pairs matter. The figure grows, so that 171 names can be read.

    Args:
        pairs: as ``count_pairs`` returns it.

    Raises:
        InputError: no class.
    """
    size = len(pairs.class_names)
    if size == 0:
        raise InputError("there is no class to draw: give a data set with classes.")
    share_KK = pairs.conditional()
    np.fill_diagonal(share_KK, np.nan)  # always 1, and says nothing
    side = min(26.0, max(2.8, 0.2 * size))
    names = [short_name(name) for name in pairs.class_names]
    room = 0.09 * max(map(len, names))
    figure = canvas(width=side + room + 1.2, height=side + room + 0.9)
    axes = figure.subplots()
    colors = matplotlib.colormaps["viridis"].with_extremes(bad=ABSENT)
    picture = axes.imshow(share_KK, cmap=colors, norm=PowerNorm(0.5, vmin=0.0, vmax=1.0), interpolation="nearest")
    font = min(8.5, 72 * side / size * 0.75)
    axes.set_xticks(range(size), names, rotation=90, fontsize=font, parse_math=False)
    axes.set_yticks(range(size), names, fontsize=font, parse_math=False)
    axes.tick_params(length=0)
    if size > 30:  # so that the eye keeps to its row: every tenth
        edges = np.arange(9.5, size - 1, 10)
        axes.hlines(edges, -0.5, size - 0.5, colors="white", linewidths=0.5)
        axes.vlines(edges, -0.5, size - 0.5, colors="white", linewidths=0.5)
    axes.set_xlabel("also hold this class")
    axes.set_ylabel("images with this class")
    axes.set_title(f"{pairs.images} images (gray: the class itself, or absent)", fontsize=10, loc="left")
    figure.colorbar(picture, ax=axes, label="share of images", shrink=0.8, aspect=max(20, 5 * side), pad=0.01)
    return figure
