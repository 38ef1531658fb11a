"""From images to label maps: whole or in windows, at one scale or several, of images of any size."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from classaware.errors import InputError
from classaware.evaluation.score_map import (
    CutMap,
    LogitMap,
    MeanMap,
    MirroredMap,
    ScoreMap,
    WindowedMap,
    label_map,
    resized,
)
from classaware.evaluation.views import Canvas, View, scaled_size
from classaware.regularization.precision import at_least_float32
from classaware.resizing import Window, resize_maps

Averaged = Literal["logits", "probabilities"]
_AT_ONCE = 256 * 2**20  # bytes of full-size logits of one image that are worth having in one piece


def resize_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring logits to the size of the image, bilinear with aligned corners.

    Args:
        logits: (B, K, h, w), any float type.
        size: (H, W).

    Returns:
        (B, K, H, W) in at least float32: half precision would make ties between classes.

    Raises:
        InputError: logits that are not (B, K, h, w), or a size below 1.
    """
    if logits.ndim != 4:
        raise InputError(f"The logits have shape {tuple(logits.shape)}. Give (images, classes, height, width).")
    if min(size) < 1:
        raise InputError(f"The size (height, width) = {tuple(size)} is empty. Both must be at least 1.")
    return resize_maps(at_least_float32(logits), (size[0], size[1]))


@torch.no_grad()
def predict_labels(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Predict the class of every pixel: resize the logits, take the largest.

    Works image by image, and band by band where one image's full-size logits (K·H·W float32) would be large.

    Args:
        logits: (B, K, h, w), any float type.
        size: (H, W).

    Returns:
        (B, H, W) int64.

    Raises:
        InputError: as in `resize_logits`.
    """
    labels = torch.empty((logits.shape[0], *size), dtype=torch.int64, device=logits.device)
    for index in range(logits.shape[0]):
        image = logits[index : index + 1]
        if image.shape[1] * math.prod(size) * 4 > _AT_ONCE:
            labels[index] = label_map(resized(LogitMap(image), size))[0]
        else:
            labels[index] = resize_logits(image, size)[0].argmax(dim=0)
    return labels


class Inference:
    """How an image becomes a label map.

    The image (at ``image_size``, padded to ``pad_size``) is seen at every scale, as it is and mirrored, whole or in
    windows; the scores are brought back, averaged, and resized to the label's own size. The defaults are one look at
    the whole image. Memory does not grow with classes times pixels: scores exist for a band of rows at a time, and
    with a window the network's own needs do not depend on the image either.

    Args:
        image_size: (height, width) to which images are brought first; null: their own.
        pad_size: (height, width) to which smaller images are padded with gray on the bottom and right; null: none.
        window: (height, width) of a sliding window; null: the whole image at once.
        stride: steps of the window down and to the right; null: two thirds of the window.
        average: what is averaged over windows, scales and mirrored views.
        scales: of the image, each seen in turn; sides become int(scale * side), plus 1 if that is even (1: unchanged).
        flip: see the mirrored image too.
    """

    def __init__(
        self,
        image_size: tuple[int, int] | None = None,
        pad_size: tuple[int, int] | None = None,
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
        average: Averaged = "logits",
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
    ) -> None:
        self.image_size = _pair("image_size", image_size)
        self.pad_size = _pair("pad_size", pad_size)
        self.window = _pair("window", window)
        self.stride = _pair("stride", stride)
        if self.stride is not None:
            if self.window is None:
                raise InputError(f"stride={list(self.stride)} needs a window: give window, or leave stride out.")
            if self.stride[0] > self.window[0] or self.stride[1] > self.window[1]:
                raise InputError(
                    f"stride={list(self.stride)} leaves gaps between windows of {list(self.window)}: lower it."
                )
        if average not in get_args(Averaged):
            raise InputError(f"average={average!r} is unknown; choose one of {', '.join(get_args(Averaged))}.")
        self.average: Averaged = average
        self.scales = _scales(scales)
        if not isinstance(flip, bool):
            raise InputError(f"flip={flip!r}: must be true or false.")
        self.flip = flip

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, plain values, the stride as it is used."""
        stride = None if self.window is None else list(self._steps(self.window))
        sizes = {name: getattr(self, name) for name in ("image_size", "pad_size", "window")}
        plain: dict[str, Any] = {name: None if size is None else list(size) for name, size in sizes.items()}
        return plain | {"stride": stride, "average": self.average, "scales": list(self.scales), "flip": self.flip}

    @torch.no_grad()
    def predict(self, network: Callable[[Tensor], Any], images: Tensor, size: tuple[int, int]) -> Tensor:
        """Classes of every pixel at the label's size.

        Args:
            network: in eval mode, on the device of the images; takes float32 (B, 3, h, w) in [0, 1] and returns logits
                (B, K, h', w') of any float type, or a `SegmenterOutput` with them.
            images: (B, 3, H, W), uint8 or float in [0, 1].
            size: (height, width) of the labels.

        Returns:
            int64 (B, *size), on the device of the images.

        Raises:
            InputError: images or logits of another shape, or an empty size.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
            raise InputError(f"The images have shape {tuple(images.shape)}. Give (images, 3, height, width).")
        if min(size) < 1:
            raise InputError(f"The size (height, width) = {tuple(size)} is empty. Both must be at least 1.")
        size = (int(size[0]), int(size[1]))
        canvas = Canvas(images, self.image_size, self.pad_size)
        mirrored = (False, True) if self.flip else (False,)
        views = [View(scaled_size(canvas.size, scale), mirror) for scale in self.scales for mirror in mirrored]
        if self.window is None and self.average == "logits" and len(views) == 1 and not canvas.padded:
            return predict_labels(_whole(network, canvas, views[0]), size)
        return label_map(MeanMap([self._scores(network, canvas, view, size) for view in views]))

    def _scores(self, network: Callable[[Tensor], Any], canvas: Canvas, view: View, size: tuple[int, int]) -> ScoreMap:
        """Of one view, at the label's size."""
        scores: ScoreMap
        if self.window is None and self.average == "logits":
            scores = LogitMap(_whole(network, canvas, view))  # resized once, to where it is used
        else:
            window = self.window or view.size
            reached = (max(view.size[0], window[0]), max(view.size[1], window[1]))
            stride = self._steps(window)
            scores = WindowedMap(
                reached,
                window,
                stride,
                lambda place: _logits(network, canvas.window(view, place)),
                self.average == "probabilities",
            )
            scores = CutMap(scores, view.size)
        if view.mirrored:
            scores = MirroredMap(scores)
        if canvas.padded:
            scores = CutMap(resized(scores, canvas.size), canvas.base)
        return resized(scores, size)

    def _steps(self, window: tuple[int, int]) -> tuple[int, int]:
        return self.stride or (max(2 * window[0] // 3, 1), max(2 * window[1] // 3, 1))


def _whole(network: Callable[[Tensor], Any], canvas: Canvas, view: View) -> Tensor:
    return _logits(network, canvas.window(view, Window(0, 0, *view.size)))


def _logits(network: Callable[[Tensor], Any], images: Tensor) -> Tensor:
    try:
        output = network(images)
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"The device's memory is full with images of shape {tuple(images.shape)}: give a window, or a smaller one, "
            "or fewer images at once."
        ) from error
    logits = cast(Tensor, getattr(output, "logits", output))
    if logits.ndim != 4 or logits.shape[0] != images.shape[0]:
        raise InputError(
            f"The network returned logits of shape {tuple(logits.shape)} for images of shape {tuple(images.shape)}. "
            "They must be (images, classes, height, width)."
        )
    return checked_logits(logits)


def checked_logits(logits: Tensor) -> Tensor:
    """Logits as they are, but for infinite ones (-inf: a class that is masked out), which become finite.

    Raises:
        InputError: nan among them.
    """
    if bool(logits.isfinite().all()):
        return logits
    # The largest of nan is some class, and the scores would look like scores.
    if bool(logits.isnan().any()):
        raise InputError(
            "The network returned logits that are no numbers (nan): its training diverged, or half precision is too "
            "narrow for it. Use an earlier checkpoint, or full precision."
        )
    # Between two pixels infinity would become nan. Half of what is left, for sums of two.
    most = torch.finfo(logits.dtype).max / 2
    return logits.clamp(-most, most)


def _pair(name: str, size: Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else ()
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise InputError(f"{name}={list(sides) or size}: give height and width, both at least 1.")
    return sides[0], sides[1]


def _scales(scales: Sequence[float]) -> tuple[float, ...]:
    given = tuple(scales) if isinstance(scales, Sequence) and not isinstance(scales, str) else ()
    if not given or not all(isinstance(scale, int | float) and 0 < scale < math.inf for scale in given):
        raise InputError(f"scales={list(given) or scales}: give at least one, all above 0 and finite.")
    return tuple(float(scale) for scale in given)
