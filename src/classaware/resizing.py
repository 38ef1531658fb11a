"""Resizing with aligned corners, of a whole map or of a window of the result alone.

Output i of ``size`` reads position i·(n − 1)/(size − 1) of n, so that the corners' pixels lie on each other (TensorFlow
1's ``align_corners``, which the authors use everywhere). A window costs what its own pixels cost, however large the
whole result would be: training crops and tiles of large images are made this way.
"""

from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from classaware.regularization.labels import nearest_indices
from classaware.regularization.precision import at_least_float32

GRAY = 127.5 / 255  # of padding; exactly 0 after a normalization with mean and std of 0.5


class Window(NamedTuple):
    """A part of a map: rows ``top`` to ``top + height``, columns ``left`` to ``left + width``."""

    top: int
    left: int
    height: int
    width: int


def resize_window(x: Tensor, size: tuple[int, int], window: Window | None = None) -> Tensor:
    """Bilinear with aligned corners.

    Args:
        x: (..., H, W), uint8 or floating.
        size: (height, width) of the whole result.
        window: the part of it that is wanted; None: all.

    Returns:
        float32 (..., window.height, window.width); ``resize(x, size)`` cut to the window, up to rounding.
    """
    window = window or Window(0, 0, *size)
    if size == tuple(x.shape[-2:]):
        return _cut(x, window).float()
    if window == (0, 0, *size):
        flat = x.reshape(1, -1, *x.shape[-2:]).float()
        return F.interpolate(flat, size, mode="bilinear", align_corners=True).reshape(*x.shape[:-2], *size)
    top, rows = neighbors(x.shape[-2], size[0], window.top, window.height)
    left, columns = neighbors(x.shape[-1], size[1], window.left, window.width)
    needed = Window(top, left, int(rows.upper[-1]) + 1, int(columns.upper[-1]) + 1)
    return interpolate(_cut(x, needed).float(), rows, columns)


def resize_label_window(label: Tensor, size: tuple[int, int], window: Window | None = None) -> Tensor:
    """Nearest with aligned corners: integer (H, W) to the window of its resized form, of the same type."""
    window = window or Window(0, 0, *size)
    rows = nearest_indices(label.shape[0], size[0], label.device)[window.top : window.top + window.height]
    columns = nearest_indices(label.shape[1], size[1], label.device)[window.left : window.left + window.width]
    return label[rows[:, None], columns]


def resize_maps(x: Tensor, size: tuple[int, int], last: bool = False) -> Tensor:
    """Bilinear with aligned corners of whole maps in a network or a loss.

    Where a gradient is wanted, as two matrix products: deterministic on every device, unlike torch's own gradient,
    which adds with atomics on CUDA.

    Args:
        x: (B, C, h, w), floating.
        size: (height, width).
        last: ``x`` is channels-last and the result has to be: products that copy nothing. (A loss over the classes is
            faster on the other layout.)

    Returns:
        (B, C, *size) of the type of ``x``; computed in at least float32, under autocast too.
    """
    # Without a gradient torch's kernel is deterministic, but in deterministic mode it is not taken on a device.
    slow = x.device.type != "cpu" and torch.are_deterministic_algorithms_enabled()
    if torch.compiler.is_exporting() or not (slow or (torch.is_grad_enabled() and x.requires_grad)):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)
    kind = x.device.type
    with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
        wide = at_least_float32(x)
        rows, columns = (_weights(n, m, wide) for n, m in zip(x.shape[-2:], size, strict=True))
        if last:
            (images, channels, height, width), (new_height, new_width) = x.shape, size
            tall = rows @ wide.permute(0, 2, 3, 1).reshape(images, height, width * channels)
            whole = columns @ tall.view(images * new_height, width, channels)
            return whole.view(images, new_height, new_width, channels).permute(0, 3, 1, 2).to(x.dtype)
        return (rows @ wide @ columns.T).to(x.dtype)


def _weights(size_in: int, size_out: int, like: Tensor) -> Tensor:
    """(size_out, size_in): what every source pixel gives to every position."""
    i, steps = torch.arange(size_out, device=like.device) * (size_in - 1), max(size_out - 1, 1)
    lower = (i // steps).unsqueeze(1)
    share = ((i.unsqueeze(1) - lower * steps).double() / steps).to(like.dtype)
    place = torch.arange(size_in, device=like.device)
    return (place == lower) * (1 - share) + (place == lower + 1) * share


class Neighbors(NamedTuple):
    """Of every position of one axis: the source pixels around it and the weight of the upper one."""

    lower: Tensor
    upper: Tensor
    weight: Tensor


def neighbors(size_in: int, size_out: int, start: int, count: int) -> tuple[int, Neighbors]:
    """The first source pixel that ``count`` positions from ``start`` need, and their neighbors counted from it."""
    # Integers decide which pixels: a float position just below a pixel would name the wrong one.
    i, steps = torch.arange(start, start + count) * (size_in - 1), max(size_out - 1, 1)
    lower = i // steps
    weight = ((i - lower * steps).double() / steps).float()
    upper = (lower + 1).clamp(max=size_in - 1)
    first = int(lower[0])
    return first, Neighbors(lower - first, upper - first, weight)


def interpolate(x: Tensor, rows: Neighbors, columns: Neighbors) -> Tensor:
    """Float32 (..., H, W) to (..., rows, columns). A part of the positions gives the same bits as all of them."""
    rows, columns = (Neighbors(*(part.to(x.device) for part in axis)) for axis in (rows, columns))
    shape = (*x.shape[:-1], len(columns.weight))
    # On the last axis gather is several times as fast as index_select.
    x = _blend(x.gather(-1, columns.lower.expand(shape)), x.gather(-1, columns.upper.expand(shape)), columns.weight)
    return _blend(x.index_select(-2, rows.lower), x.index_select(-2, rows.upper), rows.weight.unsqueeze(-1))


def _blend(lower: Tensor, upper: Tensor, weight: Tensor) -> Tensor:
    """``lower`` plus ``weight`` times the way to ``upper``, which is overwritten."""
    # Three operations that each round by themselves: one for all (lerp) rounds differently at the end of what it is
    # given, and parts would show.
    return upper.sub_(lower).mul_(weight).add_(lower)


def _cut(x: Tensor, window: Window) -> Tensor:
    return x[..., window.top : window.top + window.height, window.left : window.left + window.width]
