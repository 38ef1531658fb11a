"""From a read pair to what a network is given."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as V

from classaware.errors import InputError
from classaware.regularization import resize_labels

_GRAY = 127.5 / 255  # of padding; exactly 0 after a normalization with mean and std of 0.5
_BRIGHTNESS = 32 / 255
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Float (3, H, W) to (3, *size), bilinear with aligned corners."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image.unsqueeze(0), size, mode="bilinear", align_corners=True)[0]


def resize_label(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Integer (H, W) to ``size``, nearest with aligned corners."""
    return resize_labels(label.unsqueeze(0), size)[0]


class TrainTransform:
    """The authors' augmentation: scale, brightness, padding, crop, flip.

    Args:
        image_size: (height, width) to which everything is brought first, or None.
        crop_size: (height, width) of what comes out; None: the size that came in.
        scales: one is drawn for each image; sides become floor(side * scale), at least 1.
        flip: mirror left and right in half of the cases.
        brightness: in half of the cases add a value from [-32, 32) of 255 to all pixels, then clip.
        ignore_index: label of padded pixels.
    """

    def __init__(
        self,
        image_size: tuple[int, int] | None = None,
        crop_size: tuple[int, int] | None = None,
        scales: Sequence[float] = SCALES,
        flip: bool = True,
        brightness: bool = True,
        ignore_index: int = 255,
    ) -> None:
        _check_size("image_size", image_size)
        _check_size("crop_size", crop_size)
        self.image_size = image_size
        self.crop_size = crop_size
        self.scales = tuple(scales)
        self.flip = flip
        self.brightness = brightness
        self.ignore_index = ignore_index

    def __call__(self, image: Tensor, label: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Image uint8 (3, H, W) and label int64 (H, W) to image float32 in [0, 1] and label of ``crop_size``."""
        image = image.as_subclass(Tensor).float() / 255
        label = label.as_subclass(Tensor)
        base = self.image_size or (image.shape[1], image.shape[2])
        scale = self.scales[int(torch.randint(len(self.scales), (), generator=generator))]
        # Once, from the original: two resizings would blur twice.
        size = (max(math.floor(base[0] * scale), 1), max(math.floor(base[1] * scale), 1))
        image, label = resize_image(image, size), resize_label(label, size)
        if self.brightness and _chance(generator):
            shift = (torch.rand((), generator=generator) * 2 - 1) * _BRIGHTNESS
            image = (image + shift).clamp(0, 1)
        image, label = self._crop(image, label, self.crop_size or base, generator)
        if self.flip and _chance(generator):
            image, label = V.horizontal_flip(image), V.horizontal_flip(label)
        return image.contiguous(), label.as_subclass(Tensor).contiguous()

    def _crop(self, image: Tensor, label: Tensor, crop: tuple[int, int], generator: Generator) -> tuple[Tensor, Tensor]:
        """Pad on the bottom and right to the crop, then cut the same window out of both."""
        padding = [0, 0, max(crop[1] - image.shape[2], 0), max(crop[0] - image.shape[1], 0)]
        label = tv_tensors.Mask(label)  # a plain tensor is taken for an image
        image, label = V.pad(image, padding, fill=_GRAY), V.pad(label, padding, fill=self.ignore_index)
        top = int(torch.randint(image.shape[1] - crop[0] + 1, (), generator=generator))
        left = int(torch.randint(image.shape[2] - crop[1] + 1, (), generator=generator))
        return V.crop(image, top, left, *crop), V.crop(label, top, left, *crop)


class EvalTransform:
    """The whole image, resized if asked; the label stays as it is.

    Args:
        image_size: (height, width), or None for the image's own.
    """

    def __init__(self, image_size: tuple[int, int] | None = None) -> None:
        _check_size("image_size", image_size)
        self.image_size = image_size

    def __call__(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Image uint8 (3, H, W) to float32 in [0, 1], and the label."""
        image = image.as_subclass(Tensor).float() / 255
        return resize_image(image, self.image_size) if self.image_size else image, label.as_subclass(Tensor)


def _check_size(name: str, size: tuple[int, int] | None) -> None:
    if size is not None and min(size) < 1:
        raise InputError(f"{name}={list(size)}: height and width must be at least 1.")


def _chance(generator: Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)
