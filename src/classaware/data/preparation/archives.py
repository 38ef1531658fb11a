"""Public data sets as they were downloaded: folders and archives as one tree of files."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from classaware.data.preparation import containers
from classaware.data.preparation.containers import Packed, is_archive, list_archive, read_member
from classaware.errors import InputError

_OTHER_ARCHIVES = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst")
# The last component of a pattern, where it stands for one name: letters, or signs behind a backslash.
_LITERAL = re.compile(r"(?:[\w\- ]|\\[^\w])+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a :class:`Tree`; can be pickled, and read in any process.

    Attributes:
        path: inside the tree, such as ``VOCdevkit/VOC2012/JPEGImages/2007_000027.jpg``.
        container: the file on disk: itself, or the archive that holds it.
        member: its name in the archive; None for a plain file.
        size: bytes, uncompressed.
        offset: where it lies in the archive.
        packed: how a zip holds it.
        fault: why it cannot be read, found when the tree was opened.
    """

    path: str
    container: Path
    member: str | None
    size: int
    offset: int = 0
    packed: Packed | None = None
    fault: str = ""

    def read(self) -> bytes:
        """The content.

        Raises:
            InputError: it is missing, damaged, a link, encrypted, larger than 512 MiB or than the archive says, or
                there twice with different contents.
        """
        if self.fault:
            raise InputError(self.fault)
        if self.size > containers.LARGEST_FILE:
            raise self._too_large()
        if self.member is not None:
            return read_member(self.container, self.member, self.size, self.offset, self.packed)
        try:
            with self.container.open("rb") as file:
                content = file.read(containers.LARGEST_FILE + 1)
        except OSError as error:
            raise InputError(f"{self.container} cannot be read ({error.strerror}): restore or replace it.") from error
        if len(content) > containers.LARGEST_FILE:
            raise self._too_large()
        return content

    def _too_large(self) -> InputError:
        place = str(self.container) if self.member is None else f"{self.member!r} in archive {self.container}"
        return InputError(
            f"{place} is larger than {containers.LARGEST_FILE} bytes, which no image or label is: replace it by the "
            "original."
        )


class Tree:
    """All files of several sources by their paths.

    Attributes:
        entries: by path, sorted.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = dict(sorted(entries.items()))

    @classmethod
    def open(cls, sources: Sequence[Path], cache: Path) -> "Tree":
        """Index folders, archives and single files.

        The files of a folder lie under the folder's own name; archives in it (.zip, .tar, .tar.gz, .tgz; not those
        inside archives) are mounted where they lie, as if unpacked there. Linked files are read and linked folders
        walked, each folder once. Links inside archives are listed but never followed: reading one is an error. Dot
        files and ``__MACOSX`` are passed over. Where a plain file and an archive have one path, as after unpacking,
        the plain file is taken.

        Args:
            sources: folders, archives, or files such as a single ``.mat`` or ``.json``.
            cache: folder for compressed tars as plain ones, named after the archive and its date.

        Raises:
            InputError: a source that is missing or damaged, an archive with a name that leads out of it, or with two
                different files of one path.
        """
        entries: dict[str, Entry] = {}
        for source in sources:
            for entry in _entries(Path(source), cache):
                known = entries.get(entry.path)
                entries[entry.path] = entry if known is None else _merge(known, entry)
        return cls(entries)

    def find(self, pattern: str) -> list[tuple[Entry, re.Match[str]]]:
        """Entries whose last components match ``pattern`` as a whole, in the order of their paths.

        ``find(r"JPEGImages/([^/]+)\\.jpg")`` finds ``a/b/JPEGImages/x.jpg``. Costs one pass over all paths, or next to
        nothing where the last component of the pattern is a plain (escaped) name.
        """
        expression = re.compile(rf"(?<![^/])(?:{pattern})\Z")
        last = pattern.rpartition("/")[2]
        candidates: Iterable[Entry] = self.entries.values()
        if "|" not in pattern and _LITERAL.fullmatch(last):
            candidates = self._by_name.get(re.sub(r"\\(.)", r"\1", last), ())
        found = ((entry, expression.search(entry.path)) for entry in candidates)
        return [(entry, match) for entry, match in found if match is not None]

    def one(self, pattern: str) -> Entry | None:
        """The only entry that :meth:`find` finds, or None.

        Raises:
            InputError: there are several.
        """
        found = [entry for entry, _ in self.find(pattern)]
        if len(found) > 1:
            raise InputError(
                f"there are {len(found)} files of one kind, {found[0].path} and {found[1].path} among them: give only "
                "the sources that belong together."
            )
        return found[0] if found else None

    @cached_property
    def _by_name(self) -> dict[str, list[Entry]]:
        names: dict[str, list[Entry]] = {}
        for path, entry in self.entries.items():
            names.setdefault(path.rpartition("/")[2], []).append(entry)
        return names


def _entries(source: Path, cache: Path) -> Iterator[Entry]:
    if source.is_dir():
        for folder, name, path, size in _walk(source):
            if is_archive(path):
                yield from _mount(path, folder, cache)
            else:
                yield Entry(_join(folder, name), path, None, size)
    elif not source.is_file():
        raise InputError(f"source {source} does not exist or is no file: give the data set's archives or folders.")
    elif is_archive(source):
        yield from _mount(source, "", cache)
    elif source.name.lower().endswith(_OTHER_ARCHIVES):
        raise InputError(f"source {source} is a kind of archive that is not read: unpack it and give the folder.")
    else:
        yield Entry(source.name, source, None, source.stat().st_size)


def _mount(archive: Path, folder: str, cache: Path) -> Iterator[Entry]:
    container, members = list_archive(archive, cache)
    for member in members:
        path = _join(folder, member.path)
        yield Entry(path, container, member.name, member.size, member.offset, member.packed, member.fault)


def _walk(top: Path) -> Iterator[tuple[str, str, Path, int]]:
    """Folder in the tree, name, file and size of everything in a folder; linked folders last, each folder once."""
    seen: set[tuple[int, int]] = set()
    folders = [(top.resolve().name, top)]
    linked: list[tuple[str, Path]] = []
    count = 0
    while folders or linked:
        inside, folder = (folders or linked).pop()
        try:
            about = folder.stat()
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            with os.scandir(folder) as listing:
                items = sorted(listing, key=lambda item: item.name)
        except OSError as error:
            raise InputError(f"folder {folder} cannot be read ({error.strerror}): give one that can.") from error
        for item in items:
            if item.name.startswith(".") or item.name == "__MACOSX":
                continue
            if item.is_dir():
                (linked if item.is_symlink() else folders).append((_join(inside, item.name), Path(item.path)))
            elif item.is_file():
                yield inside, item.name, Path(item.path), item.stat().st_size
            elif item.is_symlink() and not Path(item.path).exists():
                yield inside, item.name, Path(item.path), 0  # it leads nowhere: reading it says so
        count += len(items)
        if count > containers.MOST_MEMBERS:
            raise InputError(f"{top} holds more than {containers.MOST_MEMBERS} files: give the data set's own folder.")


def _merge(first: Entry, second: Entry) -> Entry:
    """Which of two entries of one path counts."""
    if first == second:
        return first
    if first.container == second.container:
        if first.size == second.size and first.read() == second.read():
            return first
        raise InputError(
            f"archive {first.container} holds two different files {first.path!r}: download the original, or unpack it, "
            "choose, and give the folder."
        )
    if second.fault:
        return first
    if first.fault:
        return second if second.member is None else first
    if first.size == second.size:
        if first.member is None or second.member is None:
            return first if first.member is None else second
        if first.read() == second.read():
            return first
    return replace(
        first,
        fault=f"{first.path} is in {first.container} and, with another content, in {second.container}: give only one "
        "of them as a source.",
    )


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
