"""Moved objects as a picture: at home and in both places, each image beside what networks predict."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from classaware.errors import InputError
from classaware.insight.figures import canvas, frozen, short_name
from classaware.insight.images import overlay

_SIDE = 1.55  # inches of a tile
_ALPHA = 0.7
_INK = (255, 0, 255)  # of the outline: seldom a color of an image


class Seen(NamedTuple):
    """One image with the object in it.

    Attributes:
        title: what it is.
        image_HW3: uint8.
        object_HW: bool, the object's pixels.
        predicted: classes (H, W) by every network.
        notes: a line under each prediction.
    """

    title: str
    image_HW3: NDArray[np.uint8]
    object_HW: NDArray[np.bool_]
    predicted: Sequence[NDArray[np.int64]]
    notes: Sequence[str]


def moved_objects_figure(
    examples: Sequence[Sequence[Seen]], networks: Sequence[str], class_names: Sequence[str], palette: ArrayLike
) -> Figure:
    """Draw one row an example, over a legend of the classes that are predicted.

    Args:
        examples: of each the images, with one prediction a network.
        networks: their names.
        class_names: name of class i.
        palette: (K, 3), red, green and blue 0..255 of every class.

    Raises:
        InputError: no example.
    """
    if not examples:
        raise InputError("there is no moved object to draw: give at least one.")
    tiles = 1 + len(networks)
    columns = tiles * len(examples[0])
    # A narrow column parts the images from each other.
    widths = [part for _ in examples[0] for part in (*[1.0] * tiles, 0.12)][:-1]
    heights = [_SIDE * max(part.image_HW3.shape[0] / part.image_HW3.shape[1] for part in row) + 0.3 for row in examples]
    figure = canvas(width=_SIDE * sum(widths), height=sum(heights) + 0.6)
    grid = figure.add_gridspec(len(examples), len(widths), width_ratios=widths, height_ratios=heights)
    for row, example in enumerate(examples):
        for number, seen in enumerate(example):
            place = number * (tiles + 1)
            axes = [figure.add_subplot(grid[row, place + tile]) for tile in range(tiles)]
            _draw(axes, seen, networks, palette)
    shown = sorted(
        {int(k) for example in examples for seen in example for part in seen.predicted for k in np.unique(part)}
    )
    colors = np.asarray(palette) / 255
    entries = [
        Patch(facecolor=colors[k], edgecolor="#808080", label=_line(class_names[k]))
        for k in shown
        if 0 <= k < len(class_names)
    ]
    legend = figure.legend(
        handles=entries, loc="outside lower center", ncols=min(12, columns), fontsize=7, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return frozen(figure)


def _draw(axes: Sequence[Axes], seen: Seen, networks: Sequence[str], palette: ArrayLike) -> None:
    edge = outline(seen.object_HW)
    pictures = [seen.image_HW3, *(overlay(seen.image_HW3, part, palette, _ALPHA) for part in seen.predicted)]
    titles = [seen.title, *networks]
    for axis, picture, title, note in zip(axes, pictures, titles, ["", *seen.notes], strict=True):
        axis.imshow(np.where(edge[..., None], np.array(_INK, dtype=np.uint8), picture))
        axis.set_title(_line(title), fontsize=6, pad=2, parse_math=False)
        axis.set_xlabel(_line(note), fontsize=6, labelpad=1, parse_math=False)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)


def outline(object_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels around an object: outside it, with one of its own beside, above or below."""
    padded = np.pad(object_HW, 1)
    near = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    around: NDArray[np.bool_] = near & ~object_HW
    return around


def _line(text: str) -> str:
    return short_name(" ".join(text.split()))
