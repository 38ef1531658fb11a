"""From a read pair to what a network is trained on."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as V

from classaware.errors import InputError
from classaware.resizing import GRAY, Window, resize_label_window, resize_window

_BRIGHTNESS = 32 / 255
_FACTORS = (0.5, 1.5)  # of contrast and saturation
_HUE = 0.1  # of a full turn
_CROPS = 10  # windows that are tried for one that no class fills
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


class TrainTransform:
    """Scale, brightness, photometric distortion, padding, crop, flip, in this order.

    The defaults are the authors' chain: seven scales with aligned corners, brightness, flip. The common chain of other
    libraries is ``scale_range=(0.5, 2)``, ``max_class_share=0.75``, ``photometric=True``. Only the pixels of the crop
    are computed, whatever the scale.

    Args:
        image_size: (height, width) to which everything is brought first, or None.
        crop_size: (height, width) of what comes out; None: the size that came in.
        scales: one is drawn for each image; sides become floor(side * scale), at least 1.
        scale_range: draw the scale evenly between these two instead of from ``scales`` (scale jitter).
        flip: mirror left and right in half of the cases.
        brightness: in half of the cases add a value from [-32, 32) of 255 to all pixels, then clip.
        photometric: contrast and saturation by a factor from [0.5, 1.5) and hue by up to a tenth of a turn, each in
            half of the cases.
        max_class_share: of ten windows the first is taken of whose labeled pixels no class has this share or more
            (category-ratio crop), else the tenth; 1 takes the first.
        ignore_index: label of padded pixels.
    """

    def __init__(
        self,
        image_size: tuple[int, int] | None = None,
        crop_size: tuple[int, int] | None = None,
        scales: Sequence[float] = SCALES,
        scale_range: tuple[float, float] | None = None,
        flip: bool = True,
        brightness: bool = True,
        photometric: bool = False,
        max_class_share: float = 1.0,
        ignore_index: int = 255,
    ) -> None:
        check_size("image_size", image_size)
        check_size("crop_size", crop_size)
        if not scales or not all(0 < scale < math.inf for scale in scales):
            raise InputError(f"scales={list(scales)}: give at least one, all above 0 and finite.")
        if scale_range is not None and not 0 < scale_range[0] <= scale_range[1] < math.inf:
            raise InputError(f"scale_range={list(scale_range)}: give the smallest and the largest scale, both above 0.")
        if not 0 < max_class_share <= 1:
            raise InputError(f"max_class_share={max_class_share}: must be above 0 and at most 1.")
        self.image_size = image_size
        self.crop_size = crop_size
        self.scales = tuple(scales)
        self.scale_range = scale_range
        self.flip = flip
        self.brightness = brightness
        self.photometric = photometric
        self.max_class_share = max_class_share
        self.ignore_index = ignore_index

    def __call__(self, image: Tensor, label: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Image uint8 (3, H, W) and label int64 (H, W) to image float32 in [0, 1] and label of ``crop_size``."""
        base = self.image_size or (image.shape[1], image.shape[2])
        scale = self._scale(generator)
        # Once, from the original: two resizings would blur twice.
        size = (max(math.floor(base[0] * scale), 1), max(math.floor(base[1] * scale), 1))
        crop = self.crop_size or base
        shift = self._shift(generator)
        window, label = self._window(label.as_subclass(Tensor), size, crop, generator)
        image = resize_window(image.as_subclass(Tensor), size, window) / 255
        if shift:
            image = (image + shift).clamp_(0, 1)
        flip = self.flip and _chance(generator)
        if self.photometric:
            image = distort(image, generator)
        if flip:
            image, label = image.flip(-1), label.flip(-1)
        # Bottom and right of the image, which a flip has turned: then the left.
        missing_x, missing_y = crop[1] - window.width, crop[0] - window.height
        padding = [missing_x if flip else 0, 0, 0 if flip else missing_x, missing_y]
        image = V.pad(tv_tensors.Image(image), padding, fill=GRAY)
        label = V.pad(tv_tensors.Mask(label), padding, fill=self.ignore_index)
        return image.as_subclass(Tensor).contiguous(), label.as_subclass(Tensor).contiguous()

    def _scale(self, generator: Generator) -> float:
        if self.scale_range is not None:
            return _uniform(*self.scale_range, generator)
        return self.scales[int(torch.randint(len(self.scales), (), generator=generator))]

    def _shift(self, generator: Generator) -> float:
        return _uniform(-_BRIGHTNESS, _BRIGHTNESS, generator) if self.brightness and _chance(generator) else 0.0

    def _window(
        self, label: Tensor, size: tuple[int, int], crop: tuple[int, int], generator: Generator
    ) -> tuple[Window, Tensor]:
        """The part of the scaled image that lies in a random crop of the padded one, and its label."""
        for _ in range(_CROPS):
            top = int(torch.randint(max(size[0] - crop[0], 0) + 1, (), generator=generator))
            left = int(torch.randint(max(size[1] - crop[1], 0) + 1, (), generator=generator))
            window = Window(top, left, min(size[0], crop[0]), min(size[1], crop[1]))
            cut = resize_label_window(label, size, window)
            if self.max_class_share == 1 or self._mixed(cut):
                break
        return window, cut

    def _mixed(self, label: Tensor) -> bool:
        counts = label[label != self.ignore_index].bincount()
        return bool(counts.max() < self.max_class_share * counts.sum()) if len(counts) else False


def distort(image: Tensor, generator: Generator) -> Tensor:
    """Contrast, saturation and hue of a float image (3, H, W), each changed in half of the cases.

    Contrast comes before the other two or after them, with equal chance (the order of SSD, Liu et al., ECCV 2016).
    """
    contrast = _uniform(*_FACTORS, generator) if _chance(generator) else None
    first = _chance(generator)
    if contrast is not None and first:
        image = V.adjust_contrast(image, contrast)
    if _chance(generator):
        image = V.adjust_saturation(image, _uniform(*_FACTORS, generator))
    if _chance(generator):
        image = V.adjust_hue(image, _uniform(-_HUE, _HUE, generator))
    if contrast is not None and not first:
        image = V.adjust_contrast(image, contrast)
    return image


def check_size(name: str, size: tuple[int, int] | None) -> None:
    """Raise ``InputError`` unless a size that is given has a height and a width."""
    if size is not None and min(size) < 1:
        raise InputError(f"{name}={list(size)}: height and width must be at least 1.")


def _chance(generator: Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)


def _uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
