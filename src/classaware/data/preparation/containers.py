"""Zip and tar files that may be damaged or hostile: where their members lie, and the bytes of one member.

Nothing is ever unpacked to a path that an archive names, and no link is followed. Members are read by their place in
the file, so that a process that reads them has no index to build.
"""

import bz2
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from classaware.data.preparation.inflation import AGAIN, inflate
from classaware.errors import InputError

ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
LARGEST_FILE = 512 * 2**20  # bytes of one file
MOST_MEMBERS = 4_000_000

# What the standard library raises, besides its own errors, on archives that were made to break it.
_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, LookupError,
    ArithmeticError, RuntimeError, MemoryError,
)  # fmt: skip


class Packed(NamedTuple):
    """How a zip holds a member: bytes taken, method of compression, checksum of the content."""

    size: int
    method: int
    crc: int


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        path: of plain components, separated by ``/``.
        name: as the archive has it.
        size: bytes, uncompressed.
        offset: of the content in a tar, of the local head in a zip.
        packed: None in a tar.
        fault: why it cannot be read; empty for all others.
    """

    path: str
    name: str
    size: int
    offset: int
    packed: Packed | None
    fault: str


def is_archive(path: Path) -> bool:
    """By its ending."""
    return path.name.lower().endswith(ARCHIVE_ENDINGS)


def list_archive(archive: Path, cache: Path) -> tuple[Path, list[Member]]:
    """The file to read members from, which for compressed tars is a plain one in ``cache``, and the members.

    Directories, devices, ``__MACOSX`` and dot files are passed over. Links, sparse files and encrypted members are
    listed with their ``fault``.

    Raises:
        InputError: a damaged archive, a name that leads out of the archive's own folder, or members that overlap.
    """
    try:
        if archive.name.lower().endswith(".zip"):
            return archive, list(_limited(archive, _zip_members(archive)))
        with archive.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
        plain = inflate(archive, cache) if compressed else archive
        return plain, list(_limited(archive, _tar_members(archive, plain)))
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(f"archive {archive} cannot be read ({error or type(error).__name__}): {AGAIN}") from error


def read_member(container: Path, name: str, size: int, offset: int, packed: Packed | None) -> bytes:
    """The content of a member; at most one byte more than its ``size`` is ever made of it.

    Raises:
        InputError: the container is gone, cut off or damaged, or holds more or less than it says.
    """
    try:
        with container.open("rb") as file:
            if packed is not None:
                return _unpack(file, size, offset, packed)
            file.seek(offset)
            content = file.read(size)
            if len(content) < size:
                raise EOFError("the archive ends before the file does")
            return content
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise InputError(f"{name!r} in archive {container} cannot be read ({reason}): {AGAIN}") from error


def _unpack(file: IO[bytes], size: int, offset: int, packed: Packed) -> bytes:
    file.seek(offset)
    signature, name_length, extra_length = struct.unpack("<4s22xHH", file.read(30))
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile("no file begins where the archive's index says")
    if packed.size > LARGEST_FILE + 2**20:
        raise zipfile.BadZipFile(f"it takes {packed.size} bytes")
    file.seek(name_length + extra_length, 1)
    content = file.read(packed.size)
    if len(content) < packed.size:
        raise EOFError("the archive ends before the file does")
    if packed.method == zipfile.ZIP_DEFLATED:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
    elif packed.method == zipfile.ZIP_BZIP2:
        content = bz2.BZ2Decompressor().decompress(content, size + 1)
    if len(content) != size:
        raise zipfile.BadZipFile(f"it says {size} bytes and holds {'more' if len(content) > size else len(content)}")
    if zlib.crc32(content) != packed.crc:
        raise zipfile.BadZipFile("its checksum differs")
    return content


def _limited(archive: Path, members: Iterator[Member]) -> Iterator[Member]:
    for number, member in enumerate(members):
        if number >= MOST_MEMBERS:
            raise InputError(f"archive {archive} holds more than {MOST_MEMBERS} files: it is no data set's archive.")
        yield member


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        infos = sorted(opened.infolist(), key=lambda info: info.header_offset)
    end = 0
    for info in infos:
        name = info.orig_filename
        if info.header_offset < end:
            raise InputError(
                f"{name!r} in archive {archive} overlaps the file before it, as in archives made to fill the disk: "
                "download the original."
            )
        end = info.header_offset + 30 + info.compress_size
        path = _plain_path(archive, name)
        if path is None or name.endswith("/"):
            continue
        fault = ""
        if stat.S_ISLNK(info.external_attr >> 16):
            fault = "is a link, and links are never followed: unpack the archive and give the folder."
        elif info.flag_bits & 0x1:
            fault = "is encrypted: unpack the archive with its password and give the folder."
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            fault = f"is compressed by method {info.compress_type}: unpack the archive and give the folder."
        packed = Packed(info.compress_size, info.compress_type, info.CRC)
        yield Member(path, name, info.file_size, info.header_offset, packed, _about(archive, name, fault))


def _tar_members(archive: Path, plain: Path) -> Iterator[Member]:
    with tarfile.open(plain, "r:") as opened:
        position = -1
        while (info := opened.next()) is not None:
            opened.members = []  # type: ignore[attr-defined]  # it would keep them all
            if info.size < 0 or info.offset <= position:
                raise tarfile.ReadError(f"{info.name!r} has an impossible size")
            position = info.offset
            path = _plain_path(archive, info.name)
            if path is None or info.isdir() or not (info.isreg() or info.issym() or info.islnk()):
                continue
            fault = ""
            if not info.isreg():
                fault = "is a link, and links are never followed: unpack the archive and give the folder."
            elif info.issparse():
                fault = "is a sparse file: unpack the archive and give the folder."
            yield Member(path, info.name, info.size, info.offset_data, None, _about(archive, info.name, fault))
        end = opened.offset
    with plain.open("rb") as file:
        file.seek(end)
        # The library takes a damaged head for the end, and would pass over all that follows.
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"damaged at byte {end}")


def _about(archive: Path, name: str, fault: str) -> str:
    return fault and f"{name!r} in archive {archive} {fault}"


def _plain_path(archive: Path, name: str) -> str | None:
    """``name`` without ``.`` components, or None for what is no part of a data set."""
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or re.match("[A-Za-z]:", name):
        raise InputError(
            f"{name!r} in archive {archive} leads out of its own folder: this is no archive that a data set's authors "
            "publish; download the original, or unpack it with a tool that you trust and give the folder."
        )
    parts = [part for part in parts if part not in ("", ".")]
    if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return None
    return "/".join(parts)
