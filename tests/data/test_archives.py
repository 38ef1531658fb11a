"""Folders and archives as one tree; archives that are damaged or made to do harm."""

import gzip
import io
import os
import pickle
import re
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.data.preparation import containers, inflation
from classaware.data.preparation.archives import Entry, Tree
from classaware.errors import InputError

FILES = {"VOC/JPEGImages/a.jpg": b"picture a" * 50, "VOC/JPEGImages/b.jpg": b"", "VOC/lists/train.txt": b"a\nb\n"}
HOSTILE = ["/etc/x.png", "../x.png", "a/../../x.png", "a\\x.png", "C:/x.png", "c:x.png", ".."]


def make_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "stored.zip": lambda folder: make_zip(folder / "x.zip", FILES, zipfile.ZIP_STORED),
    "deflated.zip": lambda folder: make_zip(folder / "x.zip", FILES),
    "bzip2.zip": lambda folder: make_zip(folder / "x.ZIP", FILES, zipfile.ZIP_BZIP2),
    "tar": lambda folder: make_tar(folder / "x.tar", FILES),
    "tar.gz": lambda folder: make_tar(folder / "x.tar.gz", FILES, "w:gz"),
    "tgz": lambda folder: make_tar(folder / "x.tgz", FILES, "w:gz"),
    "compressed .tar": lambda folder: make_tar(folder / "x.tar", FILES, "w:gz"),
    "plain .tgz": lambda folder: make_tar(folder / "x.tgz", FILES),
    "folder": lambda folder: make_folder(folder / "x", FILES),
}


def contents(tree: Tree) -> dict[str, bytes]:
    return {path: entry.read() for path, entry in tree.entries.items()}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_of_source(kind: str, tmp_path: Path) -> None:
    tree = Tree.open([MAKERS[kind](tmp_path)], tmp_path / "cache")
    under = "x/" if kind == "folder" else ""
    assert contents(tree) == {under + path: content for path, content in FILES.items()}
    assert list(tree.entries) == sorted(tree.entries)
    assert [entry.size for entry in tree.entries.values()] == [len(content) for content in FILES.values()]
    sent = pickle.loads(pickle.dumps(list(tree.entries.values())))
    assert [entry.read() for entry in sent] == list(FILES.values())


def test_archives_in_folders_are_mounted_where_they_lie(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"sub/c.txt": b"c", ".DS_Store": b"", "sub/.hidden/x.png": b"", "d.gz": b"?"})
    make_zip(root / "sub/one.zip", FILES | {"__MACOSX/VOC/._a.jpg": b"", "VOC/.DS_Store": b"", "VOC/sub/": b""})
    make_tar(root / "two.tar", {"./e/./f.txt": b"f", "g//h.txt": b"h"})
    found = contents(Tree.open([root], tmp_path / "cache"))
    assert found == {f"data/sub/{path}": content for path, content in FILES.items()} | {
        "data/sub/c.txt": b"c",
        "data/d.gz": b"?",
        "data/e/f.txt": b"f",
        "data/g/h.txt": b"h",
    }


def test_several_sources_and_single_files(tmp_path: Path) -> None:
    (tmp_path / "labels.mat").write_bytes(b"mat")
    tree = Tree.open([make_zip(tmp_path / "x.zip", FILES), tmp_path / "labels.mat"], tmp_path / "cache")
    assert contents(tree) == FILES | {"labels.mat": b"mat"}


def test_inflated_tar_is_kept_until_the_archive_changes(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    source = make_tar(tmp_path / "x.tgz", FILES, "w:gz")
    Tree.open([source], cache)
    (kept,) = cache.iterdir()
    before = kept.stat().st_mtime_ns
    Tree.open([source], cache)
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [before]
    make_tar(source, {"new.txt": b"new"}, "w:gz")
    assert contents(Tree.open([source], cache)) == {"new.txt": b"new"}


names = st.text("ab.", min_size=1, max_size=3)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
PATTERNS = [r"a", r"a\.b", r"b/([^/]+)", r"(a|b)/(a)\.?", r"(?:a/)?b", r"[^/]*\.a", r"a.b", r"a/.*b", r"a|b/a", r"\.\."]


@given(st.lists(paths, max_size=12, unique=True), st.sampled_from(PATTERNS))
def test_find_is_anchored_at_components(found: list[str], pattern: str) -> None:
    tree = Tree({path: Entry(path, Path(path), None, 0) for path in found})
    expected = []
    for path in sorted(found):
        parts = path.split("/")
        ends = ["/".join(parts[i:]) for i in range(len(parts))]
        match = next((match for end in ends if (match := re.fullmatch(pattern, end))), None)
        if match is not None:
            expected.append((path, match[0], match.groups()))
    assert [(entry.path, match[0], match.groups()) for entry, match in tree.find(pattern)] == expected
    if len(expected) > 1:
        with pytest.raises(InputError, match=re.escape(expected[0][0])):
            tree.one(pattern)
    else:
        one = tree.one(pattern)
        assert (one and one.path) == (expected[0][0] if expected else None)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_lead_out_are_refused(name: str, make: Callable[..., Path], tmp_path: Path) -> None:
    source = make(tmp_path / ("x.zip" if make is make_zip else "x.tar"), {"fine.png": b"", name: b"evil"})
    with pytest.raises(InputError, match=r"leads out of its own folder.*download") as error:
        Tree.open([source], tmp_path / "cache")
    assert repr(name) in str(error.value)
    assert str(source) in str(error.value)


def test_nul_in_a_name_is_refused(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"a.pngQ.txt": b""})
    source.write_bytes(source.read_bytes().replace(b"Q", b"\0"))
    with pytest.raises(InputError, match=r"a\.png\\x00\.txt.*leads out"):
        Tree.open([source], tmp_path / "cache")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_tars_are_never_followed(kind: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        info = tarfile.TarInfo("a/link.png")
        info.type, info.linkname = kind, str(secret)
        archive.addfile(info)
        for name, other in (("fifo", tarfile.FIFOTYPE), ("null", tarfile.CHRTYPE), ("folder", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type = other
            archive.addfile(info)
    tree = Tree.open([tmp_path / "x.tar"], tmp_path / "cache")
    assert list(tree.entries) == ["a/link.png"]
    with pytest.raises(InputError, match=r"'a/link\.png' in archive .*x\.tar is a link.*unpack"):
        tree.entries["a/link.png"].read()


def test_links_in_zips_are_never_followed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        Tree.open([tmp_path / "x.zip"], tmp_path / "cache").entries["link.png"].read()


def test_encrypted_zip(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"a.png": b"a"})
    content = bytearray(source.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"'a\.png' in archive .*x\.zip is encrypted.*password"):
        Tree.open([source], tmp_path / "cache").entries["a.png"].read()


def test_unknown_compression(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"a.png": b"a"}, zipfile.ZIP_LZMA)
    with pytest.raises(InputError, match=r"compressed by method 14: unpack"):
        Tree.open([source], tmp_path / "cache").entries["a.png"].read()


@pytest.mark.parametrize(("said", "problem"), [(10, "holds more"), (4000, "holds 1000")])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_zip_that_lies_about_a_size(said: int, problem: str, method: int, tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"a.png": bytes(1000)}, method)
    content = bytearray(source.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 24, said)
    source.write_bytes(content)
    entry = Tree.open([source], tmp_path / "cache").entries["a.png"]
    assert entry.size == said
    with pytest.raises(InputError, match=rf"'a\.png' in archive .*x\.zip.*says {said} bytes and {problem}.*download"):
        entry.read()


def test_zip_with_another_checksum(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"a.png": b"the content"}, zipfile.ZIP_STORED)
    source.write_bytes(source.read_bytes().replace(b"the content", b"the_content"))
    with pytest.raises(InputError, match=r"'a\.png'.*checksum differs"):
        Tree.open([source], tmp_path / "cache").entries["a.png"].read()


def test_zip_of_overlapping_files(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"a.png": b"a" * 100, "b.png": b"b" * 100}, zipfile.ZIP_STORED)
    content = bytearray(source.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 42, 20)
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"'b\.png' in archive .*overlaps"):
        Tree.open([source], tmp_path / "cache")


@pytest.mark.parametrize("kind", MAKERS)
def test_files_beyond_the_limit_are_not_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "LARGEST_FILE", 449)
    tree = Tree.open([MAKERS[kind](tmp_path)], tmp_path / "cache")
    entry = tree.one(r"a\.jpg")
    assert entry is not None
    with pytest.raises(InputError, match=r"larger than 449 bytes.*replace"):
        entry.read()
    small = tree.one(r"train\.txt")
    assert small is not None
    assert small.read() == b"a\nb\n"


def test_two_members_of_one_path(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "same")
        archive.writestr("./a.txt", "same")
    assert contents(Tree.open([tmp_path / "x.zip"], tmp_path)) == {"a.txt": b"same"}
    make_tar(tmp_path / "x.tar", {"a.txt": b"one", "./a.txt": b"two"})
    with pytest.raises(InputError, match=r"x\.tar holds two different files 'a\.txt'"):
        Tree.open([tmp_path / "x.tar"], tmp_path)


@pytest.mark.parametrize("other", [b"other content", b"ONE"])
def test_two_sources_of_one_path(other: bytes, tmp_path: Path) -> None:
    """What nobody asks for, such as a README in each of two archives, may differ."""
    first = make_zip(tmp_path / "x.zip", {"README": b"one", "a.png": b"a"})
    second = make_tar(tmp_path / "x.tar", {"README": other, "b.png": b"b"})
    tree = Tree.open([first, second], tmp_path / "cache")
    assert (tree.entries["a.png"].read(), tree.entries["b.png"].read()) == (b"a", b"b")
    with pytest.raises(InputError, match=r"README is in .*x\.zip and, with another content, in .*x\.tar"):
        tree.entries["README"].read()


def test_an_unpacked_copy_beside_its_archive(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", FILES)
    make_zip(root / "x.zip", FILES)
    tree = Tree.open([root, root], tmp_path / "cache")
    assert contents(tree) == {f"data/{path}": content for path, content in FILES.items()}
    assert all(entry.member is None for entry in tree.entries.values())
    (root / "VOC/JPEGImages/a.jpg").write_bytes(b"half")
    with pytest.raises(InputError, match="with another content"):
        Tree.open([root], tmp_path / "cache").entries["data/VOC/JPEGImages/a.jpg"].read()


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "folder"])
def test_archives_cut_off_anywhere(kind: str, tmp_path: Path) -> None:
    source = MAKERS[kind](tmp_path)
    whole = source.read_bytes()
    for length in [0, 1, 100, 511, 600, len(whole) // 2, len(whole) - 1]:
        if kind in ("tar", "plain .tgz") and length > 512 * 7:
            length = 512 * 5  # behind the files there are 8 KiB of zeros, of which the first kibibyte counts
        source.write_bytes(whole[: min(length, len(whole) - 1)])
        with pytest.raises(InputError, match=f"{re.escape(str(source))}.*download"):
            contents(Tree.open([source], tmp_path / "cache"))
    assert not list(tmp_path.glob("cache/.*"))


def test_tar_damaged_in_the_middle(tmp_path: Path) -> None:
    """The library would take the damaged head for the end."""
    source = make_tar(tmp_path / "x.tar", {f"{i}.txt": b"x" for i in range(5)})
    content = bytearray(source.read_bytes())
    content[2 * 1024 + 10] ^= 0xFF
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.tar cannot be read \(damaged at byte 2048\)"):
        Tree.open([source], tmp_path / "cache")


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz", "x.rar", "x.tar.xz"])
def test_web_pages_saved_as_archives(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"<html>Not found" * 100)
    with pytest.raises(InputError, match=re.escape(name)):
        Tree.open([tmp_path / name], tmp_path / "cache")


def test_sources_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.zip does not exist"):
        Tree.open([tmp_path / "nothing.zip"], tmp_path / "cache")
    entry = Tree.open([make_folder(tmp_path / "d", {"a.txt": b""})], tmp_path / "cache").entries["d/a.txt"]
    (tmp_path / "d/a.txt").unlink()
    with pytest.raises(InputError, match=r"a\.txt cannot be read"):
        entry.read()


def test_tar_that_inflates_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "x.tgz"
    make_tar(tmp_path / "plain.tar", {"zeros.png": bytes(30 * 2**20)})
    source.write_bytes(gzip.compress((tmp_path / "plain.tar").read_bytes(), 1))
    monkeypatch.setattr(inflation, "LARGEST_TAR", 20 * 2**20)
    with pytest.raises(InputError, match=r"x\.tgz inflates to more than \d+ bytes.*download"):
        Tree.open([source], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_gzip_without_a_tar_is_not_inflated(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(InputError, match=r"x\.tgz holds no tar"):
        Tree.open([tmp_path / "x.tgz"], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_room_to_inflate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_tar(tmp_path / "x.tgz", FILES, "w:gz")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40, 2**30))
    with pytest.raises(InputError, match="no room"):
        Tree.open([source], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MOST_MEMBERS", 2)
    for kind in ("deflated.zip", "tar", "folder"):
        with pytest.raises(InputError, match="holds more than 2 files"):
            Tree.open([MAKERS[kind](tmp_path)], tmp_path / "cache")


def test_linked_folders_are_walked_once(tmp_path: Path) -> None:
    elsewhere = make_folder(tmp_path / "elsewhere", {"b.png": b"b"})
    root = make_folder(tmp_path / "data", {"real/a.png": b"a"})
    (root / "again").symlink_to(root / "real")
    (root / "real/loop").symlink_to(root)
    (elsewhere / "back").symlink_to(root)
    (root / "linked").symlink_to(elsewhere)
    (root / "file.png").symlink_to(elsewhere / "b.png")
    (root / "lost.png").symlink_to(root / "gone.png")
    os.mkfifo(root / "fifo.png")
    tree = Tree.open([root], tmp_path / "cache")
    assert list(tree.entries) == ["data/file.png", "data/linked/b.png", "data/lost.png", "data/real/a.png"]
    assert tree.entries["data/file.png"].read() == b"b"
    with pytest.raises(InputError, match=r"lost\.png cannot be read"):
        tree.entries["data/lost.png"].read()


Result = TypeVar("Result")


def attempt(action: Callable[[], Result], place: str) -> Result | None:
    """None where there was an ``InputError`` that names ``place``; nothing else may be raised."""
    try:
        return action()
    except InputError as error:
        if place not in str(error):
            raise AssertionError(f"{place} is not named") from error
        return None


@pytest.mark.parametrize("kind", ["deflated.zip", "tar", "tgz"])
def test_any_damage_is_an_input_error(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = MAKERS[kind](tmp_path_factory.mktemp("fuzz"))
    whole = source.read_bytes()[:8192]

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=6))
    def check(changes: list[tuple[int, int]]) -> None:
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        source.write_bytes(content)
        tree = attempt(lambda: Tree.open([source], source.parent / "cache"), str(source))
        for entry in tree.entries.values() if tree else ():
            read = attempt(entry.read, str(entry.container))
            assert read is None or len(read) == entry.size

    check()
