"""Pixel-relation maps as a picture (Fig. 5 of the CAR paper)."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from classaware.errors import InputError
from classaware.insight.figures import canvas, frozen, short_name
from classaware.insight.images import overlay
from classaware.insight.relation import Relation
from classaware.regularization.labels import nearest_indices
from classaware.resizing import resize_window

_LONGEST = 640  # pixels of a panel
_SIDE = 3.2  # inches of a panel's longer side

Pixels = NDArray[np.uint8]


def relation_figure(
    image_HW3: Pixels,
    pixel: tuple[int, int],
    relations: Sequence[Relation],
    class_names: Sequence[str],
    palette: ArrayLike,
    label_HW: Tensor | None = None,
) -> Figure:
    """Draw the image with its pixel and the ground truth, and beside them every network's map and prediction.

    Each map has a scale of its own, because only the order of its values can be compared between networks.

    Args:
        image_HW3: uint8 (H, W, 3).
        pixel: (row, column), marked in all pictures.
        relations: one a network.
        class_names: K names.
        palette: (K, 3), 0..255.
        label_HW: int64 (H, W) true classes; None: there are none.

    Raises:
        InputError: no network.
    """
    if not relations:
        raise InputError("There is no relation map to draw. Give at least one network.")
    height, width = image_HW3.shape[:2]
    share = min(1.0, _LONGEST / max(height, width))
    size = (max(1, round(share * height)), max(1, round(share * width)))
    picture = np.asarray(Image.fromarray(image_HW3).resize((size[1], size[0]), Image.Resampling.LANCZOS))
    spot = tuple(p * (n - 1) / max(full - 1, 1) for p, n, full in zip(pixel, size, (height, width), strict=True))
    columns = 1 + len(relations)
    seen = _seen([*(relation.prediction_HW for relation in relations), label_HW], len(class_names))
    figure = _grid(size, columns, math.ceil(len(seen) / (2 * columns)))
    axes = figure.subplots(2, columns, squeeze=False)
    _show(axes[0, 0], picture, "image", spot)
    true = None if label_HW is None or int(label_HW[pixel]) not in seen else class_names[int(label_HW[pixel])]
    title = "ground truth" if true is None else f"ground truth: {short_name(true)}"
    _labels(axes[1, 0], label_HW, title, picture, palette, spot)
    for (above, below), relation in zip(axes[:, 1:].T, relations, strict=True):
        _show(above, picture.mean(2), short_name(relation.name), spot, gray=True)
        heat = resize_window(relation.map_HW[None], size)[0].numpy()
        low, high = relation.range
        drawn = above.imshow(heat, cmap="inferno", vmin=low, vmax=high, alpha=0.7, interpolation="nearest")
        bar = figure.colorbar(drawn, ax=above, orientation="horizontal", shrink=0.8, aspect=25, pad=0.02)
        bar.ax.tick_params(labelsize=7)
        bar.ax.locator_params(nbins=5)
        title = f"predicted: {short_name(class_names[relation.predicted])}"
        _labels(below, relation.prediction_HW, title, picture, palette, spot)
    _legend(figure, seen, class_names, palette, 2 * columns)
    return frozen(figure)


def _seen(labels: Sequence[Tensor | None], classes: int) -> list[int]:
    """The classes in any of these maps."""
    found = {int(value) for label in labels if label is not None for value in label.unique()}
    return sorted(found & set(range(classes)))


def _grid(size: tuple[int, int], columns: int, lines: int) -> Figure:
    height, width = (_SIDE * n / max(size) for n in size)
    return canvas(width=columns * (max(width, 1.6) + 0.15), height=2 * (height + 0.3) + 0.5 + 0.2 * lines)


def _show(axis: Axes, picture: NDArray[np.generic], title: str, spot: tuple[float, ...], gray: bool = False) -> None:
    axis.imshow(picture, interpolation="nearest", cmap="gray" if gray else None, vmin=0, vmax=255)
    axis.plot([spot[1]], [spot[0]], "o", color="red", markeredgecolor="white", ms=7, mew=1.2, zorder=5)
    axis.set_title(title, fontsize=9, parse_math=False)
    axis.set_anchor("N")  # a bar below must not move a picture away from its neighbors
    axis.set_axis_off()


def _labels(
    axis: Axes, label_HW: Tensor | None, title: str, picture: Pixels, palette: ArrayLike, spot: tuple[float, ...]
) -> None:
    """Painted classes over the image."""
    if label_HW is None:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "no ground truth", ha="center", va="center", transform=axis.transAxes, fontsize=9)
        return
    rows, columns = (
        nearest_indices(n, m, label_HW.device) for n, m in zip(label_HW.shape, picture.shape, strict=False)
    )
    small = label_HW.as_subclass(Tensor)[rows[:, None], columns].numpy()
    _show(axis, overlay(picture, small, palette, 0.65), title, spot)


def _legend(figure: Figure, seen: Sequence[int], class_names: Sequence[str], palette: ArrayLike, columns: int) -> None:
    colors = np.asarray(palette) / 255
    patches = [Patch(facecolor=colors[k], edgecolor="#808080", lw=0.4) for k in seen]
    names = [short_name(class_names[k]) for k in seen]
    legend = figure.legend(patches, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=7.5)
    for text in legend.get_texts():
        text.set_parse_math(False)
