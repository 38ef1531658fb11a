"""One image of a data set, with its label, to a prepared pair of files."""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classaware.data.dataset import Color
from classaware.data.manifest import FileRow
from classaware.data.preparation.archives import Entry
from classaware.data.sources.base import IGNORED, Original, Source
from classaware.errors import InputError
from classaware.files import write_atomically

# Nothing else is tried: Pillow also opens files by running other programs on them.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_KEPT = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png"}


class Picture(NamedTuple):
    """An image file and what is in it."""

    suffix: str
    content: bytes
    height: int
    width: int


@dataclass(frozen=True)
class Conversion:
    """From originals to files in ``out``; can be pickled.

    Attributes:
        source: reads the labels.
        out: folder that gets images/SPLIT/NAME.jpg (or .png) and masks/SPLIT/NAME.png.
        palette: (red, green, blue) of class i.
    """

    source: Source
    out: Path
    palette: tuple[Color, ...]

    def __call__(self, original: Original) -> FileRow | str:
        """Write what is not there whole already; says what is there then, or why the original cannot be used.

        Raises:
            InputError: ``out`` cannot be written to.
        """
        images, masks = (self.out / kind / original.split for kind in ("images", "masks"))
        mask_path = masks / f"{original.name}.png"
        try:
            since = changed_at(original)
            known = known_image(images, original, since)
            image = known or read_original(original.image)
            size = image.height, image.width
            known_mask = self._known_mask(mask_path, size, since)
            mask = known_mask or self._make_mask(original, size)
        except InputError as error:
            return f"{original.split}/{original.name}: {error}"
        if known_mask is None:
            write_atomically(mask_path, mask)
        if known is None:
            for suffix in {".jpg", ".png"} - {image.suffix}:
                (images / f"{original.name}{suffix}").unlink(missing_ok=True)
            write_atomically(images / f"{original.name}{image.suffix}", image.content)
        sums = (hashlib.sha256(content).hexdigest() for content in (image.content, mask))
        return FileRow(
            original.split, original.name, f"{original.name}{image.suffix}", *size,
            len(image.content), next(sums), len(mask), next(sums),
        )  # fmt: skip

    def _make_mask(self, original: Original, size: tuple[int, int]) -> bytes:
        label = self.source.label(original)
        if label.shape != size:
            shape = "x".join(map(str, label.shape))
            raise InputError(
                f"the image {original.image.path} is {size[0]}x{size[1]} (height x width) but its label {shape}: "
                "restore the original of both."
            )
        bad = (label < 0) | (label >= len(self.palette)) & (label != IGNORED)
        if bad.any():
            raise InputError(
                f"the label of {original.image.path} holds the value {label[bad][0]}, which is neither one of the "
                f"{len(self.palette)} classes nor {IGNORED}: correct the label or the list of classes."
            )
        return encode_mask(label.astype(np.uint8), self.palette)

    def _known_mask(self, path: Path, size: tuple[int, int], since: float) -> bytes | None:
        """A mask that is there, if it is one that could have been written for an image of this size, and not before."""
        try:
            if path.stat().st_mtime < since:
                return None
            content = path.read_bytes()
            picture = open_picture(content, str(path))
        except (OSError, InputError):
            return None
        if picture.format != "PNG" or picture.mode != "P" or picture.size != size[::-1]:
            return None
        values = np.array(picture)
        usable = (
            picture.getpalette() == _flat(self.palette)
            and not ((values >= len(self.palette)) & (values != IGNORED)).any()
        )
        return content if usable else None


def changed_at(original: Original) -> float:
    """When the youngest of the files or archives that an original lies in was written, in seconds; never to come."""
    label = original.label if isinstance(original.label, tuple) else (original.label,)
    written = (part.container.stat().st_mtime for part in (original.image, *label) if isinstance(part, Entry))
    return max([0.0, *(moment for moment in written if moment <= time())])


def known_image(folder: Path, original: Original, since: float) -> Picture | None:
    """An image that is there already, whole and alone under its name, and written after ``since``."""
    found = [path for suffix in (".jpg", ".png") if (path := folder / f"{original.name}{suffix}").is_file()]
    if len(found) != 1:
        return None
    try:
        if found[0].stat().st_mtime < since:
            return None
        content = found[0].read_bytes()
        picture = open_picture(content, str(found[0]))
    except (OSError, InputError):
        return None
    suffix = found[0].suffix
    # A JPEG is always the original's copy.
    if _KEPT.get(picture.format or "") != suffix or (suffix == ".jpg" and len(content) != original.image.size):
        return None
    return Picture(suffix, content, picture.height, picture.width)


def read_original(entry: Entry) -> Picture:
    """8-bit RGB and gray JPEG and PNG byte by byte, after decoding them; everything else as a PNG.

    Raises:
        InputError: damaged, no image, gray of more than 8 bits, or of more than ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    content = entry.read()
    place = entry.path if entry.member is None else f"{entry.path} (in {entry.container})"
    picture = open_picture(content, place)
    if picture.mode.startswith(("I", "F")):  # the conversion would cut all values at 255
        raise InputError(f"{place} is a gray picture of 16 or 32 bits ({picture.mode}): convert it to 8 bits.")
    suffix = _KEPT.get(picture.format or "")
    if suffix and picture.mode in ("L", "RGB") and (suffix == ".jpg" or content[24] == 8):  # bits a channel
        return Picture(suffix, content, picture.height, picture.width)
    buffer = BytesIO()
    plain = Image.fromarray(np.array(picture.convert("L" if picture.mode in ("1", "L") else "RGB")))  # sheds metadata
    plain.save(buffer, "PNG")
    return Picture(".png", buffer.getvalue(), picture.height, picture.width)


def encode_mask(label: NDArray[np.uint8], palette: tuple[Color, ...]) -> bytes:
    """Classes (H, W) as an 8-bit palette PNG; ``IGNORED`` is white."""
    picture = Image.fromarray(label)
    picture.putpalette(_flat(palette))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def open_picture(content: bytes, place: str) -> Image.Image:
    """Decode a file of unknown origin; ``place`` names it in the error."""
    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(BytesIO(content), formats=_FORMATS)
            picture.load()
        except bombs as error:
            raise InputError(
                f"{place} says that it has more than {Image.MAX_IMAGE_PIXELS} pixels, as files made to exhaust memory "
                "do: replace it by the original, or cut it into tiles."
            ) from error
        except Exception as error:  # damaged files make the decoders raise nearly everything
            reason = str(error) if isinstance(error, OSError | ValueError | SyntaxError) else type(error).__name__
            reason = "of no known kind" if "cannot identify" in reason else reason
            raise InputError(
                f"{place} cannot be read as an image ({reason}): it is damaged or no image; replace it by the original."
            ) from error
    return picture


def _flat(palette: tuple[Color, ...]) -> list[int]:
    """All 256 colors, so that the PNG has 8 bits; those without a class are black, ``IGNORED`` is white."""
    colors = [*palette, *[(0, 0, 0)] * (256 - len(palette))]
    colors[IGNORED] = (255, 255, 255)
    return [channel for color in colors for channel in color]
