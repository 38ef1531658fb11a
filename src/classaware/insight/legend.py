"""A legend to a picture: names, colors and shares of the classes that its label map holds. Pillow alone draws."""

import math
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from classaware.errors import InputError

_INK, _PAPER, _FRAME = (30, 30, 30), (255, 255, 255), (110, 110, 110)
_SMALLEST = 12  # points of the letters
_SCALE = 0.024  # size of the letters in a picture of a height and width of 1
_LINE = 1.6  # height of a line, in sizes of the letters, like all that follows
_SWATCH = 1.1
_WIDEST = 18  # of a name
_MOST = 40  # classes; the others, the smallest ones, are summed up
_LONGEST = 200  # letters of a name that are looked at
_FALLBACK = "mpl-data/fonts/ttf/DejaVuSans.ttf"  # Greek, Cyrillic, Arabic, Hebrew, ...
_NO_LETTER = "\U0010fffe"  # no font has it
_Letters = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Entry(NamedTuple):
    """A line of a legend.

    Attributes:
        name: of the class, as it is shown.
        share: percent of the pixels, as text.
        color: of the class; None for what is summed up.
        letters: the font that has all of the name's letters.
    """

    name: str
    share: str
    color: tuple[int, int, int] | None
    letters: _Letters


def add_legend(
    picture: ArrayLike, label: ArrayLike, class_names: Sequence[str], palette: ArrayLike
) -> NDArray[np.uint8]:
    """Put the picture beside or above a legend of the classes in its label map, the largest first.

    The picture itself lies unchanged in the upper left. The legend is below it or to its right, in columns, so
    that the longer side of the whole is short; its letters grow with the picture.

    Args:
        picture: (H, W, 3) uint8.
        label: (H, W) of an integer type; values that are no class are not in the legend.
        class_names: name of class i; of a name in letters that no font at hand has, the number is shown.
        palette: (K, 3), red, green and blue 0..255 of every class.

    Returns:
        (H', W', 3) uint8, H' >= H, W' >= W; the picture alone where its label map holds no class.

    Raises:
        InputError: arrays that do not fit.
    """
    pixels, index, colors = np.asarray(picture), np.asarray(label), np.asarray(palette)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.shape[:2] != index.shape:
        raise InputError(
            f"The picture is {pixels.dtype} {pixels.shape}, its label map {index.shape}. Give uint8 (height, width, 3) "
            "and (height, width)."
        )
    if colors.shape != (len(class_names), 3):
        raise InputError(f"There are {len(class_names)} names and a palette {colors.shape}. Give one color a name.")
    size = max(_SMALLEST, round(_SCALE * math.sqrt(index.size)))
    entries = _entries(class_shares(index, len(class_names)), class_names, colors, size)
    return _drawn(pixels, entries, size) if entries else pixels


def class_shares(label: ArrayLike, num_classes: int) -> list[tuple[int, float]]:
    """Classes in a label map (H, W) with their shares of all pixels (0 to 1), the largest first, then by number."""
    index = np.asarray(label)
    counts = np.zeros(num_classes, dtype=np.int64)
    for row in index:  # the whole would be another copy of a large map
        counts += np.bincount(row[(row >= 0) & (row < num_classes)].astype(np.int64), minlength=num_classes)
    order = np.argsort(-counts, kind="stable")
    return [(int(k), int(counts[k]) / index.size) for k in order if counts[k] > 0]


def _entries(
    shares: Sequence[tuple[int, float]], names: Sequence[str], colors: NDArray[np.int64], size: int
) -> list[Entry]:
    entries = []
    for k, share in shares[:_MOST]:
        name, letters = _name(names[k], k, size)
        red, green, blue = (int(value) for value in colors[k])
        entries.append(Entry(name, _percent(share), (red, green, blue), letters))
    rest = shares[_MOST:]
    if rest:
        entries.append(Entry(f"{len(rest)} more", _percent(sum(share for _, share in rest)), None, _fonts(size)[0]))
    return entries


def _percent(share: float) -> str:
    """Never 0 of what is there, nor 100 where something else is."""
    if share >= 1:
        return "100 %"
    return "<0.1 %" if share < 0.0005 else f"{min(100 * share, 99.9):.1f} %"


def _name(name: str, k: int, size: int) -> tuple[str, _Letters]:
    """What can be shown of a name that others gave, and the font for it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in name[:_LONGEST]).split())
    number = f"class {k}"
    font = next((font for font in _fonts(size) if _has_all(font, line)), None)
    if not line or font is None:
        return number, _fonts(size)[0]
    kept = len(line)
    text = line
    while font.getlength(text) > _WIDEST * size:
        kept -= 1
        text = f"{line[:kept].rstrip()}..."
    return text, font


@lru_cache(maxsize=64)
def _fonts(size: int) -> tuple[_Letters, ...]:
    """Pillow's own letters, and those with more alphabets that come with matplotlib."""
    own = ImageFont.load_default(size)
    package = find_spec("matplotlib")
    if package is None or package.origin is None or not isinstance(own, ImageFont.FreeTypeFont):
        return (own,)
    return own, ImageFont.truetype(str(Path(package.origin).parent / _FALLBACK), size)


def _has_all(font: _Letters, text: str) -> bool:
    """Whether no letter is drawn as the box that stands for all that a font lacks."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        return text.isascii()
    return not any(_shape(font, letter) == _shape(font, _NO_LETTER) for letter in set(text) - {" "})


def _shape(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


class _Grid(NamedTuple):
    """Where the entries are: column by column, each ``rows`` long, from ``left`` and ``top`` on."""

    left: int
    top: int
    rows: int
    canvas: tuple[int, int]


def _grid(picture: tuple[int, int], count: int, cell: tuple[int, int], gap: int) -> _Grid:
    """The grid below or beside a picture (width, height) whose canvas has the shortest long side."""
    width, height = picture
    grids = []
    for rows in range(1, count + 1):
        area = 2 * gap + math.ceil(count / rows) * cell[0], 2 * gap + rows * cell[1]
        for left, top in ((0, height), (width, 0)):
            canvas = max(width, left + area[0]), max(height, top + area[1])
            grids.append(_Grid(left + gap, top + gap, rows, canvas))
    return min(grids, key=lambda grid: (max(grid.canvas), math.prod(grid.canvas)))


def _drawn(pixels: NDArray[np.uint8], entries: Sequence[Entry], size: int) -> NDArray[np.uint8]:
    line, gap, swatch = math.ceil(_LINE * size), math.ceil(0.5 * size), math.ceil(_SWATCH * size)
    own = _fonts(size)[0]
    lengths = [math.ceil(entry.letters.getlength(entry.name)) for entry in entries]
    text = max(n + own.getlength(entry.share) for n, entry in zip(lengths, entries, strict=True))
    cell = math.ceil(text) + swatch + 4 * gap, line
    grid = _grid((pixels.shape[1], pixels.shape[0]), len(entries), cell, gap)
    sheet = Image.new("RGB", grid.canvas, _PAPER)
    sheet.paste(Image.fromarray(pixels), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for i, (entry, length) in enumerate(zip(entries, lengths, strict=True)):
        x, y = grid.left + i // grid.rows * cell[0], grid.top + i % grid.rows * line
        if entry.color is not None:
            box = x, y + (line - swatch) // 2, x + swatch, y + (line - swatch) // 2 + swatch
            draw.rectangle(box, entry.color, _FRAME, max(1, size // 12))
        x += swatch + gap
        # Two texts: letters that run from right to left would take the share with them.
        for place, letters, written in ((x, entry.letters, entry.name), (x + length + gap, own, entry.share)):
            if isinstance(letters, ImageFont.FreeTypeFont):
                draw.text((place, y + line // 2), written, _INK, letters, anchor="lm")
            else:
                draw.text((place, y), written, _INK, letters)
    return np.array(sheet)
