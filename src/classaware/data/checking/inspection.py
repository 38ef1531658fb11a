"""A close look at one pair of files, which never fails, whatever the files hold."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classaware.data.checking.diagnosis import diagnose
from classaware.data.checking.findings import Finding
from classaware.data.dataset import Sample, SegmentationDataset
from classaware.data.reading import read_image, read_mask
from classaware.files import sha256

SMALLEST_SIDE = 32
_KEPT_VALUES = 16  # of those outside the classes; a photograph as mask has thousands
_SPACES = ("CMYK", "LAB", "HSV", "YCbCr")
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_ORIENTATION = 0x0112

Size = tuple[int, int]


@dataclass(frozen=True)
class Histogram:
    """The values of a mask.

    Attributes:
        counts: class -> pixels; classes that occur only.
        ignored: pixels of ``ignore_index``.
        others: value -> pixels of values that are neither; the 16 most frequent ones.
        other_values: how many such values there are.
        other_pixels: how many pixels have one.
    """

    counts: dict[int, int] = field(default_factory=dict)
    ignored: int = 0
    others: dict[int, int] = field(default_factory=dict)
    other_values: int = 0
    other_pixels: int = 0


@dataclass(frozen=True)
class Inspection:
    """What was seen of one pair.

    Attributes:
        split: its part of the data set.
        sample: the files.
        findings: what is wrong with them; values outside the classes are left to who has seen all masks.
        size: (height, width) of the image, if it can be read.
        histogram: of the mask, if it can be read.
        image_digest: SHA-256 of the image file, if it can be read.
        mask_digest: that of the mask file, where it was asked for.
    """

    split: str
    sample: Sample
    findings: tuple[Finding, ...] = ()
    size: Size | None = None
    histogram: Histogram | None = None
    image_digest: str | None = None
    mask_digest: str | None = None


@dataclass(frozen=True)
class Inspector:
    """Inspects pairs of one data set; can be sent to other processes.

    Attributes:
        dataset: whose classes the masks should hold.
        mask_digests: whether checksums of the masks are wanted as well.
    """

    dataset: SegmentationDataset
    mask_digests: bool = False

    def __call__(self, place: tuple[str, Sample]) -> Inspection:
        """Look at one pair of a split; whatever is wrong becomes findings, never an error."""
        split, sample = place
        findings: list[Finding] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, which name no file
            size = _look_at_image(split, sample.image, findings)
            label = self._look_at_mask(split, sample.label, findings)
        histogram = None if label is None else count_values(label, self.dataset.num_classes, self.dataset.ignore_index)
        if size is not None and label is not None and size != label.shape:
            message = (
                f"{sample.image} is {size[0]}x{size[1]} (height x width) but its mask {sample.label} is "
                f"{label.shape[0]}x{label.shape[1]}: masks must have their image's size."
            )
            findings.append(Finding("error", "mask of another size", split, str(sample.label), message))
        elif histogram is not None and not histogram.counts and not histogram.others:
            message = f"{sample.label} holds no labeled pixel, so nothing is learned from it: label it, or remove it."
            findings.append(Finding("warning", "mask without a labeled pixel", split, str(sample.label), message))
        digests = _digest(sample.image), _digest(sample.label) if self.mask_digests else None
        return Inspection(split, sample, tuple(findings), size, histogram, *digests)

    def _look_at_mask(self, split: str, path: Path, findings: list[Finding]) -> NDArray[np.int64] | None:
        try:
            return self.dataset.map_values(read_mask(path))
        except Exception as error:  # damaged files make decoders raise anything
            findings.append(diagnose(split, path, "mask", error))
            return None


def count_values(label: NDArray[np.int64], num_classes: int, ignore_index: int) -> Histogram:
    """The values of a mask (H, W) as classes, ignored, and others."""
    if label.size and label.min() >= 0 and label.max() < 1 << 16:
        pixels = np.bincount(label.ravel())
        values = pixels.nonzero()[0]
        pixels = pixels[values]
    else:
        values, pixels = np.unique(label, return_counts=True)
    every = dict(zip(values.tolist(), pixels.tolist(), strict=True))
    counts = {value: number for value, number in every.items() if 0 <= value < num_classes}
    others = {value: number for value, number in every.items() if value not in counts and value != ignore_index}
    kept = dict(sorted(others.items(), key=lambda item: -item[1])[:_KEPT_VALUES])
    ignored = 0 if ignore_index in counts else every.get(ignore_index, 0)
    return Histogram(counts, ignored, kept, len(others), sum(others.values()))


def _look_at_image(split: str, path: Path, findings: list[Finding]) -> Size | None:
    try:
        height, width = read_image(path).shape[1:]
    except Exception as error:  # damaged files make decoders raise anything
        findings.append(diagnose(split, path, "image", error))
        return None
    for kind, message in _doubts(path, min(height, width)):
        findings.append(Finding("warning", kind, split, str(path), f"{path} {message}"))
    return height, width


def _doubts(path: Path, side: int) -> Iterator[tuple[str, str]]:
    with Image.open(path) as picture:
        mode, transparent = picture.mode, "transparency" in picture.info
        try:
            turn = picture.getexif().get(_ORIENTATION, 1)
        except Exception:  # the pixels can be read, and that was asked for
            turn = 1
    if turn not in (0, 1):
        yield (
            "image rotated by EXIF",
            "is turned or mirrored by its EXIF orientation, which is not followed: see that the mask lies as the "
            "pixels do, or save the image upright.",
        )
    if mode in _SPACES:
        yield "unusual color space", f"is {mode}, whose colors change a little on the way to RGB: save it as RGB."
    if mode in _ALPHA or transparent:
        yield "transparent image", "has transparency, which is dropped: save it as RGB, as it should look."
    if side < SMALLEST_SIDE:
        yield "very small image", f"has a side of {side} pixels, less than one place of the coarsest features."


def _digest(path: Path) -> str | None:
    try:
        return sha256(path)
    except OSError:
        return None
