"""Which images are meant by files, folders and patterns, and what their results are called."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from classaware.commands.prediction.results import RECORD, mask_path, overlay_path
from classaware.data import IMAGE_SUFFIXES
from classaware.data.dataset import is_hidden
from classaware.errors import InputError

_RESULTS = tuple(place(Path(), "").parent.name for place in (mask_path, overlay_path))


def name_results(given: Sequence[Path], apart: Sequence[Path] = ()) -> dict[str, Path]:
    """Name of the result (without ending, folders kept) to image.

    Args:
        given: image files; folders, which are searched in depth; patterns such as ``images/**/*.jpg``.
        apart: folders in which images are not searched, beside those of other results (``predictions.json``).

    Raises:
        InputError: nothing there, no image in a folder, or two images for one name.
    """
    results: dict[str, Path] = {}
    seen: set[str] = set()
    for one in given:
        for path, base in _images(one, apart):
            place = os.path.abspath(path)  # noqa: PTH100  # links are not followed
            if place in seen:
                continue
            seen.add(place)
            name = path.relative_to(base).with_suffix("").as_posix()
            if name in results:
                raise InputError(f"{results[name]} and {path} would both be written to {name}.png: give one of them.")
            results[name] = path
    return results


def _images(given: Path, apart: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Images with the folder that their names begin behind."""
    if given.is_dir():
        base, found = given, _searched(given.rglob("*"), given, apart)
    elif given.exists():
        yield given, given.parent
        return
    elif glob.has_magic(str(given)):
        base = _fixed(given)
        matching = (Path(path) for path in glob.iglob(str(given), recursive=True))  # noqa: PTH207  # absolute ones too
        found = _searched(matching, base, apart, every=given.suffix not in ("", ".*"))
    else:
        raise InputError(f"image {given} does not exist.")
    if not found:
        kind = "folder" if given.is_dir() else "pattern"
        hint = "; in a pattern [abc] is one of these signs, and [[] is the sign [ itself" if "[" in str(given) else ""
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{kind} {given} holds no image ({suffixes}){hint if kind == 'pattern' else ''}.")
    for path in found:
        yield path, base


def _fixed(pattern: Path) -> Path:
    """The folder in front of the first part of a pattern that is not to be taken literally."""
    parts = pattern.parts[:-1]
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:first])


def _searched(paths: Iterator[Path], base: Path, apart: Sequence[Path], every: bool = False) -> list[Path]:
    """Files in order; with ``every`` also those whose name does not end as an image's does."""
    outside = [Path(os.path.abspath(folder)) for folder in apart]  # noqa: PTH100  # links are not followed
    found = []
    known: dict[Path, bool] = {}
    for path in paths:
        if not every and path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        parts = path.relative_to(base).parts
        if any(is_hidden(Path(part)) for part in parts) or path.is_dir():
            continue
        absolute = Path(os.path.abspath(path))  # noqa: PTH100
        if not any(absolute.is_relative_to(folder) for folder in outside) and not _is_result(base, parts, known):
            found.append(path)
    return sorted(found)


def _is_result(base: Path, parts: Sequence[str], known: dict[Path, bool]) -> bool:
    """Whether it was made by this command before; ``known`` is which folders hold a record."""
    for i, part in enumerate(parts[:-1]):
        if part in _RESULTS:
            folder = base.joinpath(*parts[:i])
            if folder not in known:
                known[folder] = (folder / RECORD).is_file()
            if known[folder]:
                return True
    return False
