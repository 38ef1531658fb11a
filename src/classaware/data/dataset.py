"""Images with index masks: what every data set has, and the reading of one pair with its checks."""

import glob
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from classaware.data.reading import IMAGE_SUFFIXES, image_size, read_image, read_mask
from classaware.errors import InputError

Color = tuple[int, int, int]
_LOOK = "'classaware data check' lists all such files"


class Sample(NamedTuple):
    """One image and its mask."""

    name: str
    image: Path
    label: Path


class SegmentationDataset:
    """Class names, colors, and the pairs of every split.

    A data set says where its files are (``samples``) and, where its masks are not index masks with
    ``ignore_index``, how their values map (``map_values``).

    Attributes:
        class_names: name of class i.
        palette: (red, green, blue) of class i.
        ignore_index: label of pixels without a class.
        splits: names of its parts.
    """

    class_names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_index: int = 255
    splits: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    def samples(self, split: str) -> list[Sample]:
        """All pairs of a split, sorted by name.

        Raises:
            InputError: no such split, a folder that is missing or empty, or an image without a mask.
        """
        raise NotImplementedError("a data set defines samples")

    def map_values(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        """Values of a mask file to classes and ``ignore_index``."""
        return label

    def read(self, sample: Sample) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """Image uint8 (3, H, W) and label int64 (H, W).

        Raises:
            InputError: a file that cannot be read, a mask that is a color picture, sizes that differ, or a value that
                is no class.
        """
        image, label = read_image(sample.image), self.read_label(sample)
        if image.shape[1:] != label.shape:
            raise InputError(
                f"{sample.image} is {image.shape[1]}x{image.shape[2]} (height x width) but its mask {sample.label} is "
                f"{label.shape[0]}x{label.shape[1]}: masks must have their image's size ({_LOOK})."
            )
        return tv_tensors.Image(image), tv_tensors.Mask(torch.from_numpy(label))

    def read_label(self, sample: Sample) -> NDArray[np.int64]:
        """Classes and ``ignore_index`` (H, W) of a mask.

        Raises:
            InputError: a file that cannot be read, a color picture, or a value that is no class.
        """
        label = self.map_values(read_mask(sample.label))
        bad = ((label < 0) | (label >= self.num_classes)) & (label != self.ignore_index)
        if bad.any():
            raise InputError(
                f"{sample.label} holds the value {label[bad][0]} ({int(bad.sum())} such pixels), which is neither one "
                f"of the {self.num_classes} classes (0 to {self.num_classes - 1}) nor "
                f"ignore_index={self.ignore_index}: correct the mask, the list of classes, or ignore_index ({_LOOK})."
            )
        return label

    def check_split(self, split: str) -> None:
        """Raise ``InputError`` with the names of the splits if this is none of them."""
        if split not in self.splits:
            raise InputError(
                f"split {split!r} does not exist; choose one of {', '.join(self.splits)} (--split or --splits; "
                "data.train_split and data.val_split of fit)."
            )


def pair_files(images: Path, labels: Path) -> list[Sample]:
    """Images of a folder, each with the mask of the same stem in another folder."""
    for folder in (images, labels):
        if not folder.is_dir():
            raise InputError(f"folder {folder} does not exist: expected images in {images} and masks in {labels}.")
    found = (path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path))
    # Not by path: that order differs between platforms, and a.k.png would part a.jpg from a.png.
    files = sorted(found, key=lambda path: (path.stem, path.suffix))
    if not files:
        raise InputError(f"folder {images} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    for path, following in pairwise(files):
        if path.stem == following.stem:
            raise InputError(f"{path} and {following} would share the mask {path.stem}.png: remove one of them.")
    pairs = [Sample(path.stem, path, labels / f"{path.stem}.png") for path in files]
    missing = [pair for pair in pairs if not pair.label.is_file()]
    if missing:
        first = missing[0]
        near = next(iter(sorted(labels.glob(f"{glob.escape(first.name)}*"))), None)
        hint = f" (there is {near.name}: a mask has its image's name and ends in .png)" if near else ""
        raise InputError(
            f"{len(missing)} of {len(pairs)} images have no mask, first {first.label} is missing{hint}: add the masks "
            "or remove the images."
        )
    return pairs


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is none of the data set's but left by a system or tool (``._x.jpg``, ``__MACOSX``)."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def check_one_size(samples: Sequence[Sample], cure: str) -> None:
    """Raise ``InputError`` with ``cure`` unless all images have one size; reads the files' heads alone."""
    sizes: dict[tuple[int, int], Path] = {}
    for sample in samples:
        sizes.setdefault(image_size(sample.image), sample.image)
        if len(sizes) > 1:
            (size, path), (other_size, other_path) = sizes.items()
            raise InputError(
                f"{path} is {size[0]}x{size[1]} and {other_path} {other_size[0]}x{other_size[1]}: images of different "
                f"sizes do not fit into one batch; set {cure}."
            )


def default_palette(num_classes: int) -> tuple[Color, ...]:
    """PASCAL VOC's colors: the bits of the class number dealt to red, green, blue from the highest bit down."""

    def color(index: int) -> Color:
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        return (channels[0], channels[1], channels[2])

    return tuple(color(index) for index in range(num_classes))


def read_class_names(path: Path) -> tuple[str, ...]:
    """Line i of a text file is the name of class i; blank lines at the end are passed over."""
    if not path.is_file():
        raise InputError(f"class list {path} does not exist: write one name a line; line i, from 0, names value i.")
    try:
        lines: Sequence[str] = path.read_text("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"class list {path} cannot be read: it must be UTF-8 text with one class name a line."
        ) from error
    names = tuple(line.strip() for line in lines)
    if not names or not all(names) or len(set(names)) < len(names):
        raise InputError(f"class list {path} must hold one name a line, without gaps or repetitions.")
    return names
