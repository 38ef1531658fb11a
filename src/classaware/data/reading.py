"""Image and mask files as arrays, with one clear error for everything that is no such file."""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from classaware.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def read_image(path: Path, upright: bool = False) -> torch.Tensor:
    """An image file as uint8 (3, H, W); gray becomes RGB, transparency is dropped.

    Args:
        path: of the file.
        upright: turn it as its EXIF data say. Data sets do not: their masks are drawn on the pixels as they are stored.

    Raises:
        InputError: no such file, one that cannot be read as an image, or 16 and 32 bits.
    """
    with _open(path, path) as picture:
        if picture.mode.startswith(("I", "F")):  # the conversion to RGB would cut all values at 255
            raise InputError(f"{path} is a gray picture of 16 or 32 bits ({picture.mode}): convert it to 8 bits.")
        turned = _turned(picture) if upright else picture
        return torch.from_numpy(np.array(turned.convert("RGB"))).permute(2, 0, 1).contiguous()


def _turned(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # whatever damaged EXIF data make the reader raise: they are no part of the pixels
        return picture


def read_mask(path: Path) -> NDArray[np.int64]:
    """An index mask (H, W); of a palette PNG the indices, not the colors."""
    with _open(path, path) as picture:
        return _indices(picture, path, path)


def decode_mask(data: bytes, name: str) -> NDArray[np.int64]:
    """:func:`read_mask` of the bytes of a file; ``name`` is for the errors."""
    with _open(io.BytesIO(data), name) as picture:
        return _indices(picture, io.BytesIO(data), name)


def decode_colors(data: bytes, name: str) -> NDArray[np.uint8]:
    """Red, green and blue (H, W, 3) of the bytes of a picture; of a palette picture the colors."""
    with _open(io.BytesIO(data), name) as picture:
        return np.array(picture.convert("RGB"))


def is_colored(data: bytes, name: str) -> bool:
    """Whether the bytes are a picture of three or four channels, not of indices."""
    with _open(io.BytesIO(data), name, decode=False) as picture:
        return picture.mode in ("RGB", "RGBA")


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's head alone."""
    with _open(path, path, decode=False) as picture:
        return picture.height, picture.width


def _indices(picture: Image.Image, file: Path | io.BytesIO, name: Path | str) -> NDArray[np.int64]:
    if picture.mode not in ("L", "P", "I", "I;16", "1"):
        raise InputError(
            f"{name} is a color picture ({picture.mode}), not an index mask: write the class numbers as an 8-bit "
            "gray or palette PNG."
        )
    if picture.format == "JPEG":
        raise InputError(
            f"{name} is a JPEG, which changes the class numbers: write them anew as an 8-bit gray or palette PNG."
        )
    if picture.mode == "L" and picture.format == "PNG" and _bit_depth(file) < 8:
        raise InputError(
            f"{name} is a gray PNG of {_bit_depth(file)} bits, whose values readers stretch to 0..255: write the "
            "class numbers as an 8-bit gray or palette PNG."
        )
    return np.array(picture).astype(np.int64)


def _bit_depth(file: Path | io.BytesIO) -> int:
    """Of a PNG: the byte behind signature, chunk head, width and height."""
    if isinstance(file, io.BytesIO):
        return file.getvalue()[24]
    with file.open("rb") as stream:
        return stream.read(25)[24]


def _open(file: Path | io.BytesIO, name: Path | str, decode: bool = True) -> Image.Image:
    """A picture, with its pixels decoded so that a truncated file shows itself here, or its head alone."""
    try:
        picture = Image.open(file)
        if decode:
            picture.load()
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{name} cannot be read as an image ({error}): it is damaged or no image.") from error
    return picture
