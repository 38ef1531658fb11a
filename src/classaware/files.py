"""Files that are there whole or not at all."""

import hashlib
import json
import uuid
from contextlib import suppress
from errno import EISDIR
from os import strerror
from pathlib import Path
from typing import Any

from classaware.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name beside ``path`` and rename; folders are made.

    Raises:
        InputError: the place cannot be written to.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")  # without the name, which may be as long as names can be
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise InputError(f"cannot write {path} ({error.strerror}): choose another place.") from error
        raise


def check_writable(path: Path) -> None:
    """Find out before long work whether its result can be written; leaves nothing but the folders.

    Raises:
        InputError: the place cannot be written to.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")  # without the name, which may be as long as names can be
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, strerror(EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another place.") from error


def given_path(text: str | Path) -> Path:
    """A path that somebody gave.

    Raises:
        InputError: it is empty, which would be the working folder.
    """
    if isinstance(text, str) and not text:
        raise InputError("the path '' is empty: give a name, or . for the working folder.")
    return Path(text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as indented JSON, which knows no nan: ``ValueError`` for one."""
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def sha256(path: Path) -> str:
    """Checksum of a file of any length, 64 hexadecimal digits; ``OSError`` if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
