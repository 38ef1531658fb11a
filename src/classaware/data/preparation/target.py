"""The folder that a data set is prepared in: whose it is, what of it is there, and whether that is all."""

import os
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from classaware.data.manifest import FILES, MANIFEST, UNFINISHED, Manifest, iterate_files, read_json
from classaware.data.preparation.archives import Entry
from classaware.data.preparation.conversion import changed_at
from classaware.data.sources.base import Original
from classaware.errors import InputError
from classaware.files import sha256, write_atomically, write_json

_KEYS = ("format", "name", "form", "class_names", "palette", "ignore_index")
_KINDS = ("images", "masks")


def check_place(sources: Sequence[Path], out: Path) -> None:
    """Raise ``InputError`` unless ``out`` is new, empty or a prepared folder, and apart from the sources."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is no folder: choose another place for the prepared data.")
    place = out.resolve()
    for source in (Path(source).resolve() for source in sources):
        if place.is_relative_to(source) or source.is_relative_to(place):
            raise InputError(f"{out} and the source {source} lie in each other: choose another place for the output.")
    if out.is_dir() and not any((out / name).is_file() for name in (MANIFEST, UNFINISHED)):
        other = next((path for path in sorted(out.iterdir()) if not path.name.startswith(".")), None)
        if other is not None:
            raise InputError(
                f"{out} holds {other.name}, not a data set prepared by classaware: choose an empty folder."
            )


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep ``out`` to this process; the system ends that with the process, however it ends.

    Raises:
        InputError: another process prepares ``out``, or it cannot be written to.
    """
    try:
        import fcntl
    except ImportError:  # a system without such locks
        yield
        return
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot write {out} ({error.strerror}): choose another place.") from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{out} is being prepared by another process: wait until that is done.") from error
        except OSError:  # a file system without such locks
            pass
        yield
    finally:
        os.close(folder)
        if made:
            with suppress(OSError):
                out.rmdir()  # of a run that wrote nothing


def check_names(originals: Sequence[Original]) -> None:
    """Raise ``InputError`` for names that would be no file of their own in their split's folder, on any system."""
    seen: dict[tuple[str, str], Original] = {}
    splits: dict[str, str] = {}
    for original in originals:
        for kind, name in (("split", original.split), ("name", original.name)):
            if not _is_safe(name):
                raise InputError(
                    f"the {kind} {name!r} of {original.image.path} is no name for a file: rename it to letters, "
                    "digits, '_', '-' and '.', at most 200, without a leading '.'."
                )
        if (twin := splits.setdefault(_folded(original.split), original.split)) != original.split:
            raise InputError(f"the splits {twin!r} and {original.split!r} would be one folder: rename one of them.")
        other = seen.setdefault((original.split, _folded(original.name)), original)
        if other is not original:
            raise InputError(
                f"{other.image.path} and {original.image.path} would both be {original.split}/{original.name} (names "
                "that differ by letter case alone are one file on many systems): rename or remove one of them."
            )


def claim(out: Path, draft: Manifest) -> Manifest | None:
    """The manifest that is there; ``InputError`` if ``out`` was prepared, or began to be, from anything else."""
    manifest = Manifest.read(out)
    wanted = _identity(draft)
    known = _identity(manifest) if manifest else read_json(out / UNFINISHED, f"remove the folder {out} and begin anew.")
    wrong = [key for key in _KEYS if known is not None and known.get(key) != wanted[key]]
    if known is not None and wrong:
        was, now = (f"{about.get('name')} ({about.get('form')})" for about in (known, wanted))
        raise InputError(
            f"{out} holds {was}, which differs in {', '.join(wrong)} from what is to be prepared now, {now}: choose "
            "another folder, or remove this one."
        )
    return manifest


def mark_unfinished(out: Path, draft: Manifest) -> None:
    """From here on ``out`` is no other data set's, and not complete."""
    write_json(out / UNFINISHED, _identity(draft))
    (out / MANIFEST).unlink(missing_ok=True)
    write_atomically(out / "classes.txt", "".join(f"{name}\n" for name in draft.class_names).encode())


def survey(out: Path, originals: Sequence[Original]) -> int:
    """Bytes that are there; ``InputError`` for images and splits that are none of the originals'."""
    names: dict[str, set[str]] = {}
    for original in originals:
        names.setdefault(original.split, set()).add(original.name)
    present = 0
    for folder in sorted(path for kind in _KINDS for path in (out / kind).glob("[!.]*")):
        if folder.name not in names or not folder.is_dir():
            raise _stray(folder, out)
        with os.scandir(folder) as items:
            for item in items:
                stem, ending = os.path.splitext(item.name)  # noqa: PTH122 - a path a file would take its time
                if item.name.startswith("."):
                    continue
                if stem not in names[folder.name] or ending not in (".jpg", ".png"):
                    raise _stray(Path(item.path), out)
                present += item.stat().st_size
    return present


def is_complete(out: Path, known: Manifest, draft: Manifest, originals: Sequence[Original]) -> bool:
    """Whether every file is there in its size, and younger than what it was made from."""
    if known.splits != draft.splits:
        return False
    try:
        if sha256(out / FILES) != known.files_sha256:
            return False
        for row, original in zip(iterate_files(out / FILES), originals, strict=True):
            image, mask = out / "images" / row.split / row.image, out / "masks" / row.split / f"{row.name}.png"
            files = image.stat(), mask.stat()
            if (row.split, row.name) != original[:2] or min(file.st_mtime for file in files) < changed_at(original):
                return False
            if [file.st_size for file in files] != [row.image_bytes, row.mask_bytes]:
                return False
    except (OSError, ValueError):  # InputError among them: the list is to be made again
        return False
    return True


def check_space(out: Path, originals: Sequence[Original], present: int) -> None:
    """Raise ``InputError`` if the disk has no room for, roughly, as many bytes as the originals have."""
    labels = {original.label.path: original.label.size for original in originals if isinstance(original.label, Entry)}
    wanted = sum(original.image.size for original in originals) + sum(labels.values()) - present
    existing = next(folder for folder in (out, *out.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if wanted > free:
        raise InputError(
            f"{out} needs about {wanted / 1e9:.1f} GB, its disk has {free / 1e9:.1f} GB left: make room or choose "
            "another disk."
        )


def remove_parts(out: Path) -> None:
    """What a run that was broken off had begun to write."""
    for folder in (out, *(path for kind in _KINDS for path in (out / kind).glob("*"))):
        for part in folder.glob(".*.part") if folder.is_dir() else ():
            part.unlink(missing_ok=True)


def _identity(manifest: Manifest) -> dict[str, Any]:
    """What must be equal for files to belong together, as JSON has it."""
    values = vars(manifest) | {
        "class_names": list(manifest.class_names),
        "palette": [list(color) for color in manifest.palette],
    }
    return {key: values[key] for key in _KEYS}


def _stray(path: Path, out: Path) -> InputError:
    return InputError(
        f"{path} is none of the images that the sources have now: remove it, or choose another folder than {out}."
    )


def _is_safe(name: str) -> bool:
    return (
        name.isprintable()
        and 0 < len(name.encode(errors="replace")) <= 200
        and not re.search(r'^[. ]|[/\\:*?"<>|]|[. ]$', name)
        and not re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name, re.IGNORECASE)
    )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
