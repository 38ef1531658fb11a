"""The folder of results: what of it was made with which settings, and what is still to be done.

``predictions.json`` says once with which network and settings the results are made, and of which images. It is written
before the first result; what is done says the folder itself, for a mask gets its name last, when all else of its image
is there.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from classaware.errors import InputError
from classaware.files import write_atomically

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RECORD = "predictions.json"
FORMAT = "classaware-predictions"
VERSION = 1


class Results(NamedTuple):
    """Where the results of a call go, and which are missing.

    Attributes:
        folder: with ``masks/`` and ``overlays/``.
        missing: names of the images that are to be predicted, in order.
    """

    folder: Path
    missing: list[str]

    def mask(self, name: str) -> Path:
        """Index mask of an image."""
        return mask_path(self.folder, name)

    def overlay(self, name: str) -> Path:
        """The image with its classes in color."""
        return overlay_path(self.folder, name)


def mask_path(folder: Path, name: str) -> Path:
    """Where the index mask of an image is."""
    return folder / "masks" / f"{name}.png"


def overlay_path(folder: Path, name: str) -> Path:
    """Where the overlay of an image is."""
    return folder / "overlays" / f"{name}.png"


def open_results(folder: Path, settings: Mapping[str, Any], images: Mapping[str, Path], overwrite: bool) -> Results:
    """Begin, or go on with what an earlier call with the same settings left.

    An image that was changed since is done anew.

    Args:
        folder: of the results.
        settings: all that decides what a result is, plain values; "network" has a "sha256".
        images: name of the result to image.
        overwrite: do all images anew, and drop what was made with other settings.

    Raises:
        InputError: the folder cannot be written to; it holds results of other settings, of another image of the same
            name, or files of the same name that are no results.
    """
    with _alone(folder):
        return _open(folder, settings, images, overwrite)


def _open(folder: Path, settings: Mapping[str, Any], images: Mapping[str, Path], overwrite: bool) -> Results:
    earlier = _read(folder / RECORD, overwrite)
    recorded: dict[str, Any] = earlier["images"] if earlier else {}
    different = _differences(earlier, settings) if earlier else []
    if different and not overwrite:
        raise InputError(
            f"{folder} holds results of other settings ({', '.join(different)}): choose another --output, or give "
            "--overwrite true, which drops them."
        )
    now = {name: _stamp(path) for name, path in images.items()}
    overlays = bool(settings.get("overlays"))
    done = set() if overwrite else {name for name in images if _is_done(folder, name, recorded, now, overlays)}
    # A mask says that its image is done: no record may ever stand beside a mask that it does not speak of.
    for name in [*recorded, *images] if different else images:
        if name not in done:
            _remove(mask_path(folder, name))
            if different:
                _remove(overlay_path(folder, name))
    kept = now if different else recorded | now
    if earlier is None or different or kept != recorded:
        _write(folder / RECORD, settings, kept)
    return Results(folder, [name for name in images if name not in done])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Others that begin at the same time wait, and then see the record: else theirs would replace it."""
    with ExitStack() as held:
        if fcntl is not None:
            with suppress(OSError):  # where folders cannot be made or locked the results say so themselves
                folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(folder, os.O_RDONLY)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _is_done(folder: Path, name: str, recorded: Mapping[str, Any], now: Mapping[str, Any], overlays: bool) -> bool:
    mask = mask_path(folder, name)
    before, after = recorded.get(name), now[name]
    if before is None:
        taken = next((path for path in (mask, overlay_path(folder, name)) if path.exists()), None)
        if taken is not None:
            raise InputError(
                f"{taken} is there already, and no result of 'classaware predict' that {RECORD} speaks of: choose "
                "another --output, or give --overwrite true, which replaces it."
            )
        return False
    if before["path"] != after["path"] and not _same(before, after) and mask.exists():
        raise InputError(
            f"{mask} was made of another image ({before['path']}) than {after['path']}: choose another --output, or "
            "give --overwrite true."
        )
    wanted = [mask, overlay_path(folder, name)] if overlays else [mask]
    return _same(before, after) and all(map(_is_written, wanted))


def _is_written(path: Path) -> bool:
    """An empty file is what a machine that lost its power leaves of one."""
    return path.is_file() and path.stat().st_size > 0


def _same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """By size and time, as copying programs tell: reading all images would take as long as predicting them."""
    return all(before[part] == after[part] for part in ("bytes", "modified_ns"))


def _stamp(path: Path) -> dict[str, Any]:
    try:
        status = path.stat()
    except OSError:  # it says so itself when it is read
        return {"path": str(path.absolute()), "bytes": None, "modified_ns": None}
    return {"path": str(path.absolute()), "bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _remove(path: Path) -> None:
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
    except OSError as error:
        raise InputError(f"cannot replace {path} ({error.strerror}): choose another --output.") from error


def _differences(earlier: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Names of the settings that are others than before, with both values where they are short."""
    if earlier["network"]["sha256"] != settings["network"]["sha256"]:
        return ["another network"]
    before, now = (
        dict(_flat({part: value for part, value in each.items() if part in settings and part != "network"}))
        for each in (earlier, settings)
    )
    names = [name for name in before | now if before.get(name) != now.get(name)]
    return [f"{name} {json.dumps(before.get(name))}, now {json.dumps(now.get(name))}"[:80] for name in names]


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, value


def _read(path: Path, overwrite: bool) -> dict[str, Any] | None:
    """The record; None where there is none, or a damaged one that is to be replaced."""
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"format {content['format']!r:.40}, version {content['version']!r:.40}")
        _ = content["network"]["sha256"]
        for name, entry in content["images"].items():
            _ = entry["path"], entry["bytes"], entry["modified_ns"]
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:  # its files are removed
                raise ValueError(f"a result outside of the folder, {name!r:.100}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if overwrite:
            return None
        raise InputError(
            f"{path} cannot be read as the record of earlier predictions ({error}): choose another --output, or "
            "give --overwrite true, which replaces it."
        ) from error
    return content


def _write(path: Path, settings: Mapping[str, Any], images: Mapping[str, Any]) -> None:
    """As JSON, an image a line."""
    head = json.dumps({"format": FORMAT, "version": VERSION, **settings}, indent=2, allow_nan=False)
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in images.items())
    write_atomically(path, f'{head[:-2]},\n  "images": {{\n{lines}\n  }}\n}}\n'.encode())
