"""What the page holds of one image: arrays as text."""

import base64
import zlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from classaware.errors import InputError
from classaware.insight.explorer.projection import Quantized
from classaware.insight.images import compact_bytes
from classaware.insight.subject import Look
from classaware.regularization.labels import nearest_indices

LONGEST = 512  # pixels of the longer side as shown
TOP = 5  # classes whose probabilities are kept
_SHARES = 1000  # parts of a probability: what is printed, and less than half of what 16 bits would take
_TYPES = {"u1": np.uint8, "u2": np.uint16, "f4": np.float32}
_ROOM = 64  # bytes of markup around one array


class Blobs:
    """Arrays and files as base64, numbered as they come; ``size`` is what they take in the page, in bytes."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.size = 0

    def add(self, array: NDArray[Any]) -> dict[str, Any]:
        """Keep an array of uint8, uint16 or float32, little-endian; returns how the page finds it."""
        kind = next(name for name, dtype in _TYPES.items() if array.dtype == dtype)
        data = np.ascontiguousarray(array, dtype=np.dtype(_TYPES[kind]).newbyteorder("<")).tobytes()
        return {"blob": self._keep(zlib.compress(data, 9)), "type": kind, "shape": list(array.shape)}

    def add_picture(self, picture_HW3: NDArray[np.uint8]) -> dict[str, Any]:
        """Keep a picture as the smaller of JPEG and palette PNG."""
        kind, data = compact_bytes(picture_HW3)
        return {"blob": self._keep(data), "type": kind}

    def _keep(self, data: bytes) -> int:
        self.texts.append(base64.b64encode(data).decode())
        self.size += len(self.texts[-1]) + _ROOM
        return len(self.texts) - 1


def base64_bytes(count: int) -> int:
    """At most what ``count`` bytes of any content take as compressed base64 with its markup."""
    return (count + count // 1000 + 64 + 2) // 3 * 4 + _ROOM


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Size in the page: the image's own, or at most `LONGEST` on the longer side."""
    longest = max(height, width)
    if longest <= LONGEST:
        return height, width
    return max(1, round(height * LONGEST / longest)), max(1, round(width * LONGEST / longest))


def pack_image(blobs: Blobs, name: str, image_3HW: Tensor, label_HW: Tensor, num_classes: int) -> dict[str, Any]:
    """Picture and true classes of an image, as shown, and the classes that it holds."""
    height, width = label_HW.shape
    size = shown_size(height, width)
    picture = Image.fromarray(np.ascontiguousarray(image_3HW.permute(1, 2, 0).numpy()))
    if size != (height, width):
        picture = picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    present = torch.unique(label_HW).tolist()
    return {
        "name": name,
        "size": [height, width],
        "shown": list(size),
        "classes": [k for k in present if 0 <= k < num_classes],
        "picture": blobs.add_picture(np.array(picture)),
        "truth": blobs.add(shown_label(label_HW, num_classes)),
    }


def shown_label(label_HW: Tensor, num_classes: int) -> NDArray[Any]:
    """Classes at the size of the page, by the nearest pixel with aligned corners.

    Returns:
        uint8 where classes fit beside the largest value, else uint16; the largest value is what is no class.
    """
    sizes = zip(label_HW.shape, shown_size(label_HW.shape[0], label_HW.shape[1]), strict=True)
    rows, columns = (nearest_indices(a, b, label_HW.device) for a, b in sizes)
    small = label_HW.as_subclass(Tensor)[rows[:, None], columns].numpy()
    dtype = class_type(num_classes)
    return np.where((small >= 0) & (small < num_classes), small, np.iinfo(dtype).max).astype(dtype)


def class_type(num_classes: int) -> type[np.uint8] | type[np.uint16]:
    """What holds a class or none.

    Raises:
        InputError: more than 65,535 classes.
    """
    if num_classes > np.iinfo(np.uint16).max:
        raise InputError(f"{num_classes} classes are too many for the explorer, which can tell 65535 apart.")
    return np.uint8 if num_classes <= np.iinfo(np.uint8).max else np.uint16


def pack_prediction(blobs: Blobs, name: str, look: Look, prediction_HW: Tensor, num_classes: int) -> dict[str, Any]:
    """Predicted classes as shown, and the highest probabilities of every cell of the features.

    Probabilities travel in thousandths, (2, T, h, w): first all high bytes, then all low ones.

    Raises:
        InputError: logits that are not finite.
    """
    if not bool(torch.isfinite(look.logits_KHW).all()):
        raise InputError(
            f"network {name!r} makes logits that are nan or infinite: its training has diverged. Use an earlier "
            "checkpoint."
        )
    found = torch.softmax(look.logits_KHW.double(), dim=0).topk(min(TOP, num_classes), dim=0)
    share_THW = np.rint(found.values.numpy() * _SHARES).astype(np.uint16)
    return {
        "prediction": blobs.add(shown_label(prediction_HW, num_classes)),
        "top": blobs.add(found.indices.numpy().transpose(1, 2, 0).astype(class_type(num_classes))),
        "shares": blobs.add(np.stack((share_THW >> 8, share_THW & 255)).astype(np.uint8)),
    }


def pack_features(blobs: Blobs, quantized: Quantized) -> dict[str, Any]:
    """Levels (h * w, d), and what brings them back to values."""
    return {
        "grid": list(quantized.grid),
        "levels": blobs.add(quantized.levels_PD),
        "low": blobs.add(quantized.low_D),
        "step": blobs.add(quantized.step_D),
    }


def feature_bytes(cells: int, components: int) -> int:
    """At most what `pack_features` adds."""
    return base64_bytes(cells * components) + 2 * base64_bytes(4 * components)
