"""Class scores of a large image, made band by band.

A score map says how large it is and gives any band of its rows. Maps are put upon one another (windows, then their
average, then a resizing, then a mean over scales), and nothing is computed before a band is asked for: what is in
memory at once is a band of every map, whatever the image's height.

Bands are asked for from the top down. How an image is cut into bands changes no bit of averaged logits, and of
averaged probabilities at most the last one (softmax rounds differently at the end of what it is given).
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Protocol

import torch
from torch import Tensor

from classaware.resizing import Window, interpolate, neighbors

# Bytes of scores at once: what the caches of a CPU hold; elsewhere enough to make many threads worth their start.
_CPU_BYTES = 4 * 2**20
_DEVICE_BYTES = 64 * 2**20


class ScoreMap(Protocol):
    """Scores of K classes for B images of ``size`` = (height, width)."""

    size: tuple[int, int]

    def rows(self, top: int, height: int) -> Tensor:
        """Float32 (B, K, height, width); the caller does not write into it. ``top`` never falls from call to call."""


class LogitMap:
    """Logits (B, K, h, w) of any float type as they are."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.size = (logits.shape[-2], logits.shape[-1])

    def rows(self, top: int, height: int) -> Tensor:
        """A part of the logits."""
        # In float32: half precision would make ties between classes.
        return self.logits[..., top : top + height, :].float()


class ResizedMap:
    """Another map at another size, bilinear with aligned corners."""

    def __init__(self, inner: ScoreMap, size: tuple[int, int]) -> None:
        self.inner = inner
        self.size = size

    def rows(self, top: int, height: int) -> Tensor:
        """Made from those rows of the other map that lie around the band."""
        first, rows = neighbors(self.inner.size[0], self.size[0], top, height)
        _, columns = neighbors(self.inner.size[1], self.size[1], 0, self.size[1])
        return interpolate(self.inner.rows(first, int(rows.upper[-1]) + 1), rows, columns)


class CutMap:
    """The top left part of another map."""

    def __init__(self, inner: ScoreMap, size: tuple[int, int]) -> None:
        self.inner = inner
        self.size = size

    def rows(self, top: int, height: int) -> Tensor:
        """Without the columns on the right."""
        return self.inner.rows(top, height)[..., : self.size[1]]


class MirroredMap:
    """Another map with left and right exchanged."""

    def __init__(self, inner: ScoreMap) -> None:
        self.inner = inner
        self.size = inner.size

    def rows(self, top: int, height: int) -> Tensor:
        """The same rows, from right to left."""
        return self.inner.rows(top, height).flip(-1)


class MeanMap:
    """The mean of maps of one size."""

    def __init__(self, maps: Sequence[ScoreMap]) -> None:
        self.maps = maps
        self.size = maps[0].size

    def rows(self, top: int, height: int) -> Tensor:
        """Added in the maps' order."""
        total = self.maps[0].rows(top, height)
        if len(self.maps) == 1:
            return total
        total = total.clone()
        for other in self.maps[1:]:
            total += other.rows(top, height)
        return total.div_(len(self.maps))


class WindowedMap:
    """Overlapping windows, each brought to its own size, averaged by how many lie over a pixel.

    Every window goes through the network once. Its logits, at the network's resolution, are kept until the bands have
    passed it.

    Args:
        size: (height, width), at least that of the window.
        window: (height, width).
        stride: steps down and to the right, at most the window's size; the last window lies flush with the border.
        logits: (B, K, h, w) of any size for a window's place.
        probabilities: average softmax probabilities instead of logits.
    """

    def __init__(
        self,
        size: tuple[int, int],
        window: tuple[int, int],
        stride: tuple[int, int],
        logits: Callable[[Window], Tensor],
        probabilities: bool = False,
    ) -> None:
        self.size = size
        self.window = window
        self.tops, self.lefts = (window_starts(*sides) for sides in zip(size, window, stride, strict=True))
        self.logits = logits
        self.probabilities = probabilities
        self._kept: dict[tuple[int, int], ScoreMap] = {}
        self._columns_over = _windows_over(self.lefts, window[1], 0, size[1])

    def rows(self, top: int, height: int) -> Tensor:
        """The average over the windows that reach into the band."""
        for place in [place for place in self._kept if place[0] + self.window[0] <= top]:
            del self._kept[place]
        total: Tensor | None = None
        reaching = [start for start in self.tops if start < top + height and start + self.window[0] > top]
        for start, left in product(reaching, self.lefts):
            first, last = max(start, top), min(start + self.window[0], top + height)
            scores = self._scores(start, left).rows(first - start, last - first)
            if self.probabilities:
                scores = scores.softmax(1)
            if total is None:
                total = scores.new_zeros(*scores.shape[:2], height, self.size[1])
            total[..., first - top : last - top, left : left + self.window[1]] += scores
        assert total is not None  # the windows leave no gap
        count = _windows_over(self.tops, self.window[0], top, height).unsqueeze(-1) * self._columns_over
        return total.div_(count.to(total.device))

    def _scores(self, top: int, left: int) -> ScoreMap:
        if (top, left) not in self._kept:
            logits = self.logits(Window(top, left, *self.window))
            self._kept[top, left] = resized(LogitMap(logits), self.window)
        return self._kept[top, left]


def resized(scores: ScoreMap, size: tuple[int, int]) -> ScoreMap:
    """The map itself if it has that size."""
    return scores if scores.size == size else ResizedMap(scores, size)


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """Multiples of the stride from which a window does not reach the border, and the place where it just does."""
    return [*range(0, size - window, stride), size - window]


def label_map(scores: ScoreMap, band_bytes: int | None = None) -> Tensor:
    """The class of the largest score at every pixel, int64 (B, H, W), from bands of at most ``band_bytes`` of scores.

    A band has at least one row. The maps under ``scores`` need a few times as much beside it. None: as much as suits
    the device.
    """
    height, width = scores.size
    # One row alone shows how many classes there are.
    one = scores.rows(0, 1)
    labels = torch.empty((one.shape[0], height, width), dtype=torch.int64, device=one.device)
    band_bytes = band_bytes or (_CPU_BYTES if one.device.type == "cpu" else _DEVICE_BYTES)
    step = max(band_bytes // one.nbytes, 1)
    for top in range(0, height, step):
        band = scores.rows(top, min(step, height - top))
        labels[:, top : top + step] = band.max(1).indices  # several times as fast as argmax
    return labels


def _windows_over(starts: Sequence[int], window: int, first: int, count: int) -> Tensor:
    """How many windows lie over each of ``count`` positions from ``first``, float32."""
    positions = torch.arange(first, first + count)
    return torch.stack([(positions >= start) & (positions < start + window) for start in starts]).sum(0).float()
