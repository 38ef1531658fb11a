"""One object of an image in another image: cut by its label, laid with a soft edge, and scored there.

Of the old surroundings nothing comes along: the edge fades inside the object. NumPy only.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from classaware.data.pairs import default_reach

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]

_EIGHT = np.ones((3, 3), dtype=bool)  # pixels that meet at a corner belong together


class SceneObject(NamedTuple):
    """A connected region of one class.

    Attributes:
        class_index: its class.
        top: first row of its box.
        left: first column of its box.
        mask_hw: bool, its pixels in the box.
    """

    class_index: int
    top: int
    left: int
    mask_hw: Bools

    def moved(self, corner: tuple[int, int]) -> "SceneObject":
        """The same with its box at (top, left)."""
        return self._replace(top=corner[0], left=corner[1])

    @property
    def rows(self) -> slice:
        """Of its box."""
        return slice(self.top, self.top + self.mask_hw.shape[0])

    @property
    def columns(self) -> slice:
        """Of its box."""
        return slice(self.left, self.left + self.mask_hw.shape[1])


class Region(NamedTuple):
    """The pixels by which an object is scored, in a window around it.

    Attributes:
        rows: of the window.
        columns: of the window.
        core: bool over the window, the object without its soft edge.
        others: bool over the window, labeled pixels of other classes.
    """

    rows: slice
    columns: slice
    core: Bools
    others: Bools


def find_objects(label_HW: Labels, class_index: int, smallest: float, largest: float) -> list[SceneObject]:
    """The 8-connected regions of a class that do not touch the image's border, in reading order.

    Args:
        label_HW: classes.
        class_index: of the objects.
        smallest: least share of the image's pixels.
        largest: greatest share of the image's pixels.
    """
    numbered, _ = ndimage.label(label_HW == class_index, _EIGHT)
    height, width = label_HW.shape
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(numbered), 1):
        if rows.start == 0 or columns.start == 0 or rows.stop == height or columns.stop == width:
            continue
        mask_hw = numbered[rows, columns] == number
        if smallest * label_HW.size <= mask_hw.sum() <= largest * label_HW.size:
            found.append(SceneObject(class_index, rows.start, columns.start, mask_hw))
    return found


def soft_mask(mask_hw: Bools, feather: int) -> NDArray[np.float64]:
    """Opacity float64 (h, w) of an object: min(d / (feather + 1), 1), 0 outside.

    d is the Euclidean distance, in pixels, of a pixel's center to that of the nearest pixel that is not the object's.
    """
    # What lies beyond the box is not the object's; one pixel of it is enough, the nearest is always in it.
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(mask_hw, 1))[1:-1, 1:-1]
    return np.minimum(distance / (feather + 1), 1.0)


def same_place(thing: SceneObject, size: tuple[int, int], other: tuple[int, int]) -> tuple[int, int] | None:
    """Corner (top, left) of an object's box in an image of another size; None where it does not fit.

    Its center has the same relative position, rounded half up, and the box is moved inside where it has to be.

    Args:
        thing: the object.
        size: (H, W) of its image.
        other: (H, W) of the other image.
    """
    found = []
    for start, length, old, new in zip((thing.top, thing.left), thing.mask_hw.shape, size, other, strict=True):
        if length > new:
            return None
        wanted = ((2 * start + length) * new - length * old + old) // (2 * old)
        found.append(min(max(wanted, 0), new - length))
    return found[0], found[1]


def context_around(
    thing: SceneObject, label_HW: Labels, ignore_index: int, num_classes: int
) -> tuple[int, float] | None:
    """The most frequent class near an object, other than its own (the first of equally frequent ones), and its share.

    Near are the pixels outside it, at most `default_reach` rows and columns away.

    Args:
        thing: where it is in this image.
        label_HW: of the image, with or without the object.
        ignore_index: label of the pixels that take no part.
        num_classes: K.

    Returns:
        A class, and its share of the pixels near it that have another class; None where there are none.
    """
    reach = default_reach(label_HW.shape)
    near = ndimage.maximum_filter(np.pad(thing.mask_hw, reach), 2 * reach + 1, mode="constant")
    near[reach : near.shape[0] - reach, reach : near.shape[1] - reach] &= ~thing.mask_hw
    height, width = label_HW.shape
    top, left = thing.top - reach, thing.left - reach
    label = label_HW[max(top, 0) : top + near.shape[0], max(left, 0) : left + near.shape[1]]
    inside = near[max(-top, 0) : height - top, max(-left, 0) : width - left]
    counts_K = np.bincount(label[inside & (label != ignore_index)], minlength=num_classes)
    counts_K[thing.class_index] = 0
    best, total = int(counts_K.argmax()), int(counts_K.sum())
    return (best, float(counts_K[best] / total)) if total else None


def compose(
    source_3HW: Bytes,
    thing: SceneObject,
    host_3HW: Bytes,
    host_label_HW: Labels,
    corner: tuple[int, int],
    feather: int,
    ignore_index: int,
) -> tuple[Bytes, Labels]:
    """Lay an object into another image.

    A pixel is round(a * source + (1 - a) * host) with a from `soft_mask`; its label is the object's class where a is
    1, ``ignore_index`` in the edge, where 0 < a < 1, else the host's.

    Args:
        source_3HW: uint8, the object's image.
        thing: where it is there.
        host_3HW: uint8, the other image, of any size into which the object fits.
        host_label_HW: its classes.
        corner: (top, left) of the object's box there.
        feather: width of the edge in pixels.
        ignore_index: label of the edge.

    Returns:
        Image uint8 (3, H, W) and label int64 (H, W) of the host's size.
    """
    alpha_hw = soft_mask(thing.mask_hw, feather)
    there = thing.moved(corner)
    image, label = host_3HW.copy(), host_label_HW.copy()
    old = image[:, there.rows, there.columns]
    mixed = alpha_hw * source_3HW[:, thing.rows, thing.columns] + (1 - alpha_hw) * old
    image[:, there.rows, there.columns] = np.rint(mixed).astype(np.uint8)
    box = label[there.rows, there.columns]
    box[thing.mask_hw] = ignore_index
    box[alpha_hw == 1] = thing.class_index
    return image, label


def scored_region(thing: SceneObject, label_HW: Labels, feather: int, ignore_index: int) -> Region:
    """The pixels by which an object is scored: its box, larger by a quarter of its height and width on every side.

    Neither its soft edge, nor pixels without a label, nor others of its class take part.

    Args:
        thing: where it is in this image.
        label_HW: of the image, with the object.
        feather: width of the edge in pixels.
        ignore_index: label of the pixels that take no part.
    """
    height, width = thing.mask_hw.shape
    more, wider = -(-height // 4), -(-width // 4)
    rows = slice(max(thing.top - more, 0), min(thing.rows.stop + more, label_HW.shape[0]))
    columns = slice(max(thing.left - wider, 0), min(thing.columns.stop + wider, label_HW.shape[1]))
    core_HW = np.zeros(label_HW.shape, dtype=bool)
    core_HW[thing.rows, thing.columns] = soft_mask(thing.mask_hw, feather) == 1
    label = label_HW[rows, columns]
    return Region(rows, columns, core_HW[rows, columns], (label != ignore_index) & (label != thing.class_index))


def object_scores(predicted_HW: Labels, class_index: int, region: Region) -> tuple[float, float]:
    """IoU and recall of an object's class in its region; the core must not be empty."""
    hit = predicted_HW[region.rows, region.columns] == class_index
    right, size = int(hit[region.core].sum()), int(region.core.sum())
    return right / (size + int(hit[region.others].sum())), right / size


def core_of(predicted_HW: Labels, region: Region) -> Labels:
    """Predictions at the core's pixels, in reading order, which is the same wherever the object is."""
    return predicted_HW[region.rows, region.columns][region.core]
