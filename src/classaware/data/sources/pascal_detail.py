"""Pascal Context's labels as regions: trainval_merged.json of the PASCAL in Detail challenge (CVPR 2017)."""

import json
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classaware.data.preparation.archives import Entry
from classaware.data.sources.files import place
from classaware.data.sources.rle import decode_runs
from classaware.errors import InputError

_UNREAD = ("parts", "boundary_mask", "edges", "keypoints", "bbox")  # the larger part of the file


class DetailLabel(NamedTuple):
    """The regions of an image, each a number among the 459 classes and its run lengths, in the file's order."""

    name: str
    size: tuple[int, int]
    regions: list[tuple[int, str | list[int]]]


def read_detail(entry: Entry) -> dict[str, dict[str, DetailLabel]]:
    """Labels of the images of every phase (train, val, test), by the image's name.

    Raises:
        InputError: damaged, or another kind of JSON.
    """
    name = place(entry)
    try:
        content = json.loads(_bytes(entry), object_hook=_slim)
        labels: dict[Any, DetailLabel] = {}
        phases: dict[str, dict[str, DetailLabel]] = {}
        for image in content["images"]:
            stem = PurePosixPath(image["file_name"]).stem
            label = DetailLabel(f"{name} ({stem})", (int(image["height"]), int(image["width"])), [])
            labels[image["image_id"]] = phases.setdefault(image["phase"], {})[stem] = label
        for region in content["annos_segmentation"]:
            counts = region["segmentation"]["counts"]
            labels[region["image_id"]].regions.append((int(region["category_id"]), counts))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{name} is not the JSON of PASCAL in Detail, or is damaged ({type(error).__name__}: {error})."
        ) from error
    return phases


def paint(label: DetailLabel) -> NDArray[np.int64]:
    """Numbers (H, W) of an image, 0 where there is no region; where two meet, the later one is on top.

    Raises:
        InputError: the regions do not fit the image.
    """
    height, width = label.size
    if min(label.size) < 1 or height * width > (Image.MAX_IMAGE_PIXELS or np.inf):
        raise InputError(f"{label.name}: {height}x{width} is no size of an image: the file is damaged.")
    numbers = np.zeros(label.size, dtype=np.int64)
    for number, counts in label.regions:
        if not 0 <= number < 1 << 32:
            raise InputError(f"{label.name}: a region of category {number}, which is none: the file is damaged.")
        numbers[decode_runs(counts, label.size, label.name)] = number
    return numbers


def _bytes(entry: Entry) -> bytes:
    """Of a plain file without the limit for images and labels, which this one file may pass."""
    return entry.container.read_bytes() if entry.member is None else entry.read()


def _slim(entry: dict[str, Any]) -> dict[str, Any]:
    for key in _UNREAD:
        entry.pop(key, None)
    return entry
