"""Pixel-relation maps (Fig. 5 of the CAR paper): how much every place of an image looks like one of its pixels."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from classaware.errors import InputError
from classaware.insight.subject import Look, Subject
from classaware.regularization import resize_labels
from classaware.resizing import Window, resize_window

Form = Literal["dot", "cosine"]
FORMS: tuple[Form, ...] = get_args(Form)
_TOP = 5


def grid_cell(pixel: tuple[int, int], size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """The cell of a feature map that lies nearest to a pixel, with aligned corners.

    Inverse of the nearest resizing of labels, in integers: ``floor(p * (h - 1) / (H - 1) + 1/2)``.

    Args:
        pixel: (row, column) from 0.
        size: (height, width) of the image.
        grid: (height, width) of the features.

    Raises:
        InputError: the pixel is outside of the image.
    """
    if not all(0 <= p < n for p, n in zip(pixel, size, strict=True)):
        raise InputError(
            f"the pixel x={pixel[1]}, y={pixel[0]} is outside of the image, which is {size[1]} wide and {size[0]} "
            f"high: give x in 0..{size[1] - 1} and y in 0..{size[0] - 1}."
        )
    row, column = (
        (2 * p * (cells - 1) + max(n - 1, 1)) // (2 * max(n - 1, 1))
        for p, n, cells in zip(pixel, size, grid, strict=True)
    )
    return row, column


def relation_map(features_CHW: Tensor, at: tuple[int, int], form: Form = "dot") -> Tensor:
    """Similarity of every cell to one.

    Args:
        features_CHW: (C, h, w) of a float type.
        at: (row, column) of the cell.
        form: ``dot``: <x_q, x_p> / sqrt(C), as the paper draws it; ``cosine``: 0 where a feature is zero.

    Returns:
        float64 (h, w).

    Raises:
        InputError: features of another shape, a cell outside of them, or a form that does not exist.
    """
    if features_CHW.ndim != 3 or features_CHW.numel() == 0:
        raise InputError(f"The features have shape {tuple(features_CHW.shape)}. Give (channels, height, width).")
    channels, height, width = features_CHW.shape
    if not (0 <= at[0] < height and 0 <= at[1] < width):
        raise InputError(f"The cell (row, column) = {tuple(at)} is outside of the features' {height}x{width}.")
    if form not in FORMS:
        raise InputError(f"form {form!r} is unknown; choose one of {', '.join(FORMS)}.")
    x_CHW = features_CHW.double()
    if form == "cosine":
        x_CHW = F.normalize(x_CHW, dim=0, eps=1e-300)
    similarity = torch.einsum("chw,c->hw", x_CHW, x_CHW[:, at[0], at[1]])
    return similarity if form == "cosine" else similarity / math.sqrt(channels)


@dataclass(frozen=True, eq=False)
class Relation:
    """What one network makes of one pixel.

    Attributes:
        name: of the network.
        cell: (row, column) of the pixel in the feature map.
        map_HW: float64 (h, w), see `relation_map`.
        prediction_HW: int64 (H, W) classes of the image's pixels.
        predicted: class of the pixel.
        top: classes of the highest probabilities at the pixel, highest first, of the image seen whole.
        inside: mean relation of the other cells of the pixel's true class; None without a label or such cells.
        outside: mean relation of the cells of other classes; None likewise.
        order: share of pairs of a cell inside and one outside in which the one inside is related more (ties count
            half); 0.5 is chance, and unlike the values it can be compared between networks.
    """

    name: str
    cell: tuple[int, int]
    map_HW: Tensor
    prediction_HW: Tensor
    predicted: int
    top: tuple[tuple[int, float], ...]
    inside: float | None = None
    outside: float | None = None
    order: float | None = None

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value of the map."""
        return float(self.map_HW.min()), float(self.map_HW.max())

    def to_dict(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """For JSON, without the maps."""
        return {
            "name": self.name,
            "grid": list(self.map_HW.shape),
            "cell": {"row": self.cell[0], "column": self.cell[1]},
            "range": list(self.range),
            "predicted": class_names[self.predicted],
            "top": [{"class": class_names[k], "probability": p} for k, p in self.top],
            "mean_inside": self.inside,
            "mean_outside": self.outside,
            "order": self.order,
        }


def relate(
    subject: Subject,
    image_3HW: Tensor,
    pixel: tuple[int, int],
    form: Form = "dot",
    label_HW: Tensor | None = None,
    ignore_index: int = 255,
) -> Relation:
    """Everything about one pixel.

    Args:
        subject: the network.
        image_3HW: uint8.
        pixel: (row, column) from 0.
        form: of the map.
        label_HW: int64, true classes.
        ignore_index: label of pixels without a class.

    Raises:
        InputError: a pixel outside of the image.
    """
    size = (image_3HW.shape[1], image_3HW.shape[2])
    grid_cell(pixel, size, size)  # before the network runs
    look = subject.look(image_3HW)
    grid = (look.features_CHW.shape[1], look.features_CHW.shape[2])
    cell = grid_cell(pixel, size, grid)
    map_HW = relation_map(look.features_CHW, cell, form)
    prediction_HW = subject.predict(image_3HW)
    inside = outside = order = None
    if label_HW is not None and int(label_HW[pixel]) != ignore_index:
        small_HW = resize_labels(label_HW.as_subclass(Tensor)[None], grid)[0]
        inside, outside, order = contrast(map_HW, small_HW, cell, int(label_HW[pixel]), ignore_index)
    top = _top(look, pixel, size)
    return Relation(subject.name, cell, map_HW, prediction_HW, int(prediction_HW[pixel]), top, inside, outside, order)


def contrast(
    map_HW: Tensor, label_HW: Tensor, cell: tuple[int, int], true_class: int, ignore_index: int
) -> tuple[float | None, float | None, float | None]:
    """Mean relation inside and outside of a class, without the cell itself, and the order of the two.

    Args:
        map_HW: float64 (h, w).
        label_HW: integers (h, w).
        cell: (row, column) that the map belongs to.
        true_class: the class.
        ignore_index: label of cells without a class.

    Returns:
        ``inside``, ``outside`` and ``order`` of `Relation`.
    """
    others = torch.ones_like(label_HW, dtype=torch.bool)
    others[cell] = False
    inside = map_HW[(label_HW == true_class) & others]
    outside = map_HW[(label_HW != true_class) & (label_HW != ignore_index) & others]
    n, m = len(inside), len(outside)
    order = None
    if n and m:
        ranks = stats.rankdata(torch.cat((inside, outside)).numpy())
        order = float(ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    return (float(inside.mean()) if n else None), (float(outside.mean()) if m else None), order


def _top(look: Look, pixel: tuple[int, int], size: tuple[int, int]) -> tuple[tuple[int, float], ...]:
    logits_K = resize_window(look.logits_KHW, size, Window(*pixel, 1, 1))[:, 0, 0]
    found = torch.softmax(logits_K.double(), dim=0).topk(min(_TOP, len(logits_K)))
    return tuple(zip(found.indices.tolist(), found.values.tolist(), strict=True))
