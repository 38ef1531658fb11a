"""What the sources share in finding files: by name, by lists of names, with one error for what is missing."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from classaware.data.preparation.archives import Entry, Tree
from classaware.data.sources.base import Original, Source
from classaware.errors import InputError

IMAGE = r"(?i:jpe?g|png|bmp|webp)"  # endings of images, in the patterns of the sources


def place(entry: Entry) -> str:
    """Where a file lies, for errors: its path, or that of its archive and the name in it."""
    return str(entry.container) if entry.member is None else f"{entry.container}: {entry.member}"


def by_name(tree: Tree, *patterns: str) -> dict[str, Entry]:
    """Files of the first pattern that has any, by its group 1.

    Raises:
        InputError: two files of one name, as when a data set is given twice.
    """
    found: dict[str, Entry] = {}
    for pattern in patterns:
        for entry, match in tree.find(pattern):
            first = found.setdefault(match.group(1), entry)
            if first is not entry:
                raise InputError(
                    f"{place(first)} and {place(entry)} are two files for one image: leave one of them out of the "
                    "sources."
                )
        if found:
            break
    return found


def one_of(tree: Tree, *patterns: str) -> Entry | None:
    """The file of the first pattern that has one."""
    return next((entry for pattern in patterns if (entry := tree.one(pattern))), None)


def plain_name(name: str) -> str:
    """A name of letters, digits, ``.``, ``_`` and ``-``: every other sign becomes ``_`` and its number in hex."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda match: f"_{ord(match.group()):x}", name)


def missing(source: Source, what: str) -> InputError:
    """The error of an incomplete download."""
    return InputError(f"{source.title}: {what} not found in the sources. What to download: {source.download}")


def names_in(entry: Entry) -> list[str]:
    """Names of a list of images: the first word of every line, without folders and ending.

    Raises:
        InputError: the list is no text, empty, or names an image twice.
    """
    try:
        lines = entry.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{place(entry)} is no UTF-8 text: it must hold one image name a line.") from error
    names = [PurePosixPath(line.split()[0]).name for line in lines if line.strip()]
    names = [re.sub(r"\.(jpe?g|png|bmp|mat)$", "", name, flags=re.IGNORECASE) for name in names]
    if not names:
        raise InputError(f"{place(entry)} names no image: it must hold one image name a line.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{place(entry)} names {twice} more than once: every image belongs to a split once.")
    return names


def pair(
    source: Source, split: str, names: Sequence[str], images: Mapping[str, Entry], labels: Mapping[str, Any]
) -> list[Original]:
    """The images ``names`` of a split with their labels.

    Raises:
        InputError: some have no image or no label; says how many and which is the first.
    """
    for kind, found in (("images", images), ("labels", labels)):
        absent = [name for name in names if name not in found]
        if absent:
            raise missing(source, f"{len(absent)} of the {len(names)} {kind} of split {split}, first {absent[0]},")
    return [Original(split, name, images[name], labels[name]) for name in names]
