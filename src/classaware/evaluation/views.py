"""What a network is shown of an image: resized, padded, scaled, mirrored, a window of it."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from classaware.resizing import GRAY, Window, resize_window


class View(NamedTuple):
    """One look at an image: the whole of it at ``size``, mirrored or not."""

    size: tuple[int, int]
    mirrored: bool


class Canvas:
    """Images (B, 3, H, W), uint8 or float in [0, 1], brought to ``image_size`` and padded to at least ``pad_size``.

    Attributes:
        base: (height, width) without the padding.
        size: (height, width) with it; gray lies on the bottom and the right.
    """

    def __init__(self, images: Tensor, image_size: tuple[int, int] | None, pad_size: tuple[int, int] | None) -> None:
        self.base = image_size or (images.shape[-2], images.shape[-1])
        least = pad_size or self.base
        self.size = (max(self.base[0], least[0]), max(self.base[1], least[1]))
        self.padded = self.size != self.base
        # A padded image is small, or little is added to it. Without padding every window is made from the original,
        # which large images need; and in one resizing, for two blur twice.
        self._source = _frame(_resize(images, self.base), self.size) if self.padded else images

    def window(self, view: View, window: Window) -> Tensor:
        """A window of a view, float32 (B, 3, height, width) in [0, 1]; gray where it reaches beyond the image."""
        height, width = min(window.height, view.size[0] - window.top), min(window.width, view.size[1] - window.left)
        left = view.size[1] - window.left - width if view.mirrored else window.left
        pixels = _resize(self._source, view.size, Window(window.top, left, height, width))
        return _frame(pixels.flip(-1) if view.mirrored else pixels, (window.height, window.width))


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """The authors' rule: sides times ``scale``, cut to integers and made odd; a scale of 1 changes nothing."""
    if scale == 1:
        return size
    height, width = (int(scale * side) for side in size)
    return height + 1 - height % 2, width + 1 - width % 2


def _resize(images: Tensor, size: tuple[int, int], window: Window | None = None) -> Tensor:
    pixels = resize_window(images, size, window)
    return pixels if images.is_floating_point() else pixels / 255


def _frame(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Gray on the bottom and the right, up to ``size``."""
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    return F.pad(images, (0, size[1] - width, 0, size[0] - height), value=GRAY)
