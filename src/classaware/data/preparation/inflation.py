"""Compressed tars as plain ones, whose members can be read in any order."""

import gzip
import hashlib
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import IO

from classaware.errors import InputError

LARGEST_TAR = 256 * 2**30  # bytes of a decompressed tar
INFLATION = 100  # a decompressed tar beyond 4 GiB may be this many times as large as the file
SPARE_DISK = 2**30  # bytes that decompression leaves free
AGAIN = "it is damaged or was not downloaded to its end: download it again."


def inflate(archive: Path, cache: Path) -> Path:
    """A compressed tar as a plain one in ``cache``; one that is there already is taken as it is."""
    about = archive.stat()
    key = hashlib.sha256(f"{archive.resolve()} {about.st_size} {about.st_mtime_ns}".encode(errors="replace"))
    target = cache / f"{archive.name}.{key.hexdigest()[:12]}.tar"
    if target.is_file():
        return target
    part = target.with_name(f".{target.name}.part")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with gzip.open(archive, "rb") as packed, part.open("wb") as file:
            _inflate(archive, packed, file, cache)
        part.replace(target)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"archive {archive} cannot be decompressed ({error}): {AGAIN}") from error
    except OSError as error:
        raise InputError(
            f"archive {archive} cannot be decompressed into {cache} ({error.strerror or error})."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _inflate(archive: Path, packed: gzip.GzipFile, file: IO[bytes], cache: Path) -> None:
    limit = min(LARGEST_TAR, max(4 * 2**30, INFLATION * archive.stat().st_size))
    total = 0
    while chunk := packed.read(8 * 2**20):
        if total == 0:
            _check_head(archive, chunk)
        total += len(chunk)
        if total > limit:
            raise InputError(
                f"archive {archive} inflates to more than {limit} bytes: it is no data set's archive but made to fill "
                "the disk; download the original. (If you trust it, unpack it and give the folder.)"
            )
        if shutil.disk_usage(cache).free < len(chunk) + SPARE_DISK:
            raise InputError(
                f"the disk of {cache} has no room for the decompressed {archive}: make room, or unpack the archive "
                "elsewhere and give the folder."
            )
        file.write(chunk)


def _check_head(archive: Path, chunk: bytes) -> None:
    """Before gigabytes are written that are no tar."""
    try:
        tarfile.TarInfo.frombuf(chunk[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise InputError(f"archive {archive} holds no tar ({error}): {AGAIN}") from error
