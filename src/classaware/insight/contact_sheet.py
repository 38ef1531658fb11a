"""Images with their masks on one sheet. Pillow, with the letters that come with matplotlib."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from classaware.errors import InputError
from classaware.insight.images import overlay, png_bytes

_BOX = (240, 180)  # width and height into which an image is fitted
_GAP = 12
_LINE = 18  # height of a line of text
_FONT_SIZE = 12
_INK, _PAPER, _FRAME = (30, 30, 30), (255, 255, 255), (150, 150, 150)
_ALPHA = 0.6


class Tile(NamedTuple):
    """One image of the sheet, already small.

    Attributes:
        name: shown below it.
        image_HW3: uint8.
        label_HW: classes; every other value shows the image alone.
    """

    name: str
    image_HW3: NDArray[np.uint8]
    label_HW: NDArray[np.int64]


def make_tile(name: str, image: ArrayLike, label: ArrayLike) -> Tile:
    """Shrink an image uint8 (H, W, 3) and its label (H, W) to the size that they have on a sheet.

    The label keeps its values: of every place the nearest pixel.
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = min(_BOX[0] / picture.width, _BOX[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    index = np.asarray(label, dtype=np.int32)  # the integers that Pillow can resize
    small = Image.fromarray(index).resize(size, Image.Resampling.NEAREST)
    return Tile(name, np.array(picture.resize(size, method)), np.array(small).astype(np.int64))


def contact_sheet(tiles: Sequence[Tile], class_names: Sequence[str], palette: ArrayLike) -> NDArray[np.uint8]:
    """Lay tiles out in rows, each image beside itself with its mask, over a legend of the classes that occur.

    Args:
        tiles: at least one.
        class_names: name of class i.
        palette: (K, 3), red, green and blue 0..255 of every class.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: no tile, or a palette of another length.
    """
    colors = np.asarray(palette)
    if not tiles or len(colors) != len(class_names):
        raise InputError(
            f"the sheet has {len(tiles)} images, {len(class_names)} names and {len(colors)} colors: give at least one "
            "image, and one color a name."
        )
    columns = min(3, max(1, round(math.sqrt(len(tiles) * 0.75))))
    rows = math.ceil(len(tiles) / columns)
    cell = 2 * _BOX[0] + 4 + _GAP, _BOX[1] + _LINE + _GAP
    width = _GAP + columns * cell[0]
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), _FONT_SIZE)
    entries = _legend(tiles, class_names, colors)
    across = max(1, min(len(entries), width // 200))
    height = _GAP + rows * cell[1] + math.ceil(len(entries) / across) * _LINE + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, tile in enumerate(tiles):
        x, y = _GAP + i % columns * cell[0], _GAP + i // columns * cell[1]
        masked = overlay(tile.image_HW3, tile.label_HW, colors, _ALPHA)
        for picture, left in ((tile.image_HW3, x), (masked, x + _BOX[0] + 4)):
            place = left + (_BOX[0] - picture.shape[1]) // 2, y + _BOX[1] - picture.shape[0]
            sheet.paste(Image.fromarray(picture), place)
        draw.text((x, y + _BOX[1] + 2), _fitted(tile.name, cell[0] - _GAP, font), _INK, font)
    for i, (name, color) in enumerate(entries):
        x, y = _GAP + i % across * (width // across), _GAP + rows * cell[1] + i // across * _LINE
        draw.rectangle((x, y + 2, x + 14, y + 14), color or _PAPER, _FRAME)
        draw.text((x + 20, y), _fitted(name, width // across - 30, font), _INK, font)
    return np.array(sheet)


def sheet_png(sheet: ArrayLike) -> bytes:
    """The sheet as a PNG file; equal sheets give equal bytes."""
    return png_bytes(sheet)


def _legend(
    tiles: Iterable[Tile], class_names: Sequence[str], colors: NDArray[np.int64]
) -> list[tuple[str, tuple[int, int, int] | None]]:
    present = np.unique(np.concatenate([np.unique(tile.label_HW) for tile in tiles])).tolist()
    entries: list[tuple[str, tuple[int, int, int] | None]] = [
        (f"{i} {class_names[i]}", (int(colors[i][0]), int(colors[i][1]), int(colors[i][2])))
        for i in present
        if 0 <= i < len(class_names)
    ]
    if len(entries) < len(present):
        entries.append(("no class: the image alone", None))
    return entries


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """One line of printable letters that fits, with its middle left out if it must."""
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    kept = len(line)
    while font.getlength(fitted := _shortened(line, kept)) > width:
        kept = min(kept - 1, int(kept * 0.95))
    return fitted


def _shortened(line: str, kept: int) -> str:
    return line if kept >= len(line) else f"{line[: kept - kept // 2]}…{line[len(line) - kept // 2 :]}"
