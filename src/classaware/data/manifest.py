"""What lies in a prepared data set: ``files.csv`` and, written last because it means complete, ``manifest.json``."""

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from classaware.data.dataset import Color
from classaware.errors import InputError
from classaware.files import sha256, write_json

FORMAT = 1
MANIFEST = "manifest.json"
UNFINISHED = ".preparing.json"  # in place of the manifest until all files are there
FILES = "files.csv"
_AGAIN = "restore it, or remove it and run 'classaware data prepare' again."


@dataclass(frozen=True)
class Manifest:
    """A prepared data set.

    Attributes:
        format: of this file, 1.
        name: of the source, such as ``pascal-context``.
        title: for people.
        form: in which of the published forms the originals were.
        class_names: name of class i.
        palette: (red, green, blue) of class i.
        ignore_index: value of pixels without a class.
        splits: number of pairs of every split.
        expected: published number of pairs of every split; empty where nothing is published.
        license: terms of the originals.
        reference: publication to cite.
        classaware: version that prepared it.
        files_sha256: checksum of ``files.csv``, and thus of all files: equal for equal data.
    """

    format: int
    name: str
    title: str
    form: str
    class_names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_index: int
    splits: dict[str, int]
    expected: dict[str, int]
    license: str
    reference: str
    classaware: str
    files_sha256: str

    @classmethod
    def read(cls, root: Path) -> "Manifest | None":
        """The manifest of a folder, None if it has none.

        Raises:
            InputError: it is damaged, or of another version.
        """
        path = Path(root) / MANIFEST
        content = read_json(path, _AGAIN)
        if content is None:
            return None
        if content.get("format") != FORMAT:
            raise InputError(
                f"{path} has the format {content.get('format')!r}, not {FORMAT}: it was made by another version of "
                "classaware (use that one, or prepare the data again), or it is no manifest."
            )
        _check(path, content)
        content |= {
            "class_names": tuple(content["class_names"]),
            "palette": tuple((red, green, blue) for red, green, blue in content["palette"]),
        }
        return cls(**{field.name: content[field.name] for field in fields(cls)})

    def write(self, root: Path) -> None:
        """Whole or not at all."""
        write_json(Path(root) / MANIFEST, asdict(self))

    def differences(self) -> list[str]:
        """In words, where the counts are not the published ones."""
        splits = self.expected | self.splits if self.expected else {}
        return [
            f"{split} has {self.splits.get(split, 0)} images, published are {self.expected.get(split, 'none')}"
            for split in splits
            if self.splits.get(split, 0) != self.expected.get(split, 0)
        ]


@dataclass(frozen=True, slots=True)
class FileRow:
    """A line of ``files.csv``: one pair, ``images/SPLIT/IMAGE`` and ``masks/SPLIT/NAME.png``."""

    split: str
    name: str
    image: str
    height: int
    width: int
    image_bytes: int
    image_sha256: str
    mask_bytes: int
    mask_sha256: str


COLUMNS = tuple(field.name for field in fields(FileRow))


def read_files(root: Path) -> list[FileRow]:
    """All pairs of a prepared data set, sorted by split and name.

    Raises:
        InputError: ``files.csv`` is missing or damaged, or is not the one of the manifest.
    """
    path = Path(root) / FILES
    manifest = Manifest.read(root)
    rows = list(iterate_files(path))
    if manifest is not None and sha256(path) != manifest.files_sha256:
        raise InputError(f"{path} was changed after {MANIFEST} beside it was written: {_AGAIN}")
    return rows


def iterate_files(path: Path) -> Iterator[FileRow]:
    """The lines of a ``files.csv`` one by one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            if tuple(next(lines, ())) != COLUMNS:
                raise ValueError(f"its first line is not {','.join(COLUMNS)}")
            for split, name, image, height, width, image_bytes, image_sha256, mask_bytes, mask_sha256 in lines:
                sizes = int(height), int(width), int(image_bytes)
                yield FileRow(split, name, image, *sizes, image_sha256, int(mask_bytes), mask_sha256)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: {_AGAIN}") from error
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}): {_AGAIN}") from error


def read_json(path: Path, cure: str) -> dict[str, Any] | None:
    """A JSON object, None if there is no such file; ``InputError`` with ``cure`` for everything else."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}): {cure}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object: {cure}")
    return content


def _check(path: Path, content: dict[str, Any]) -> None:
    texts = ("name", "title", "form", "license", "reference", "classaware", "files_sha256")
    wrong = [key for key in texts if not isinstance(content.get(key), str)]
    names, palette = content.get("class_names"), content.get("palette")
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        wrong.append("class_names")
    elif not (isinstance(palette, list) and len(palette) == len(names) and all(map(_is_color, palette))):
        wrong.append("palette")
    if not _is_count(content.get("ignore_index")):
        wrong.append("ignore_index")
    for key in ("splits", "expected"):
        if not (isinstance(content.get(key), dict) and all(map(_is_count, content[key].values()))):
            wrong.append(key)
    if wrong:
        raise InputError(f"{path} is damaged: {', '.join(wrong)} missing or of the wrong kind; {_AGAIN}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_color(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_count(v) and v < 256 for v in value)
