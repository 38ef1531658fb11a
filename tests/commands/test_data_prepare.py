"""``classaware data prepare``: what to download, and the conversion, as a user meets them."""

import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classaware.commands.data.prepare import instructions
from classaware.data.manifest import Manifest
from classaware.data.preparation.archives import Tree
from classaware.data.sources import SOURCES
from classaware.data.sources.base import Layout, Original, Source
from classaware.errors import InputError

Command = Callable[..., Any]


class Tiny(Source):
    name = "tiny"
    title = "Tiny pictures"
    class_names = ("sky", "road")
    palette = ((0, 0, 255), (128, 128, 128))
    expected: ClassVar[dict[str, int]] = {"train": 2, "val": 1200}
    download = "tiny.zip (1 KB) from the University of Nowhere, http://nowhere.example/tiny.zip"
    license = "given away"
    reference = "Nobody, 2022"

    def find(self, tree: Tree) -> Layout:
        found = tree.find(r"tiny/(\w+)/([^/]+)\.png")
        if not found:
            raise InputError("tiny/SPLIT/X.png is missing.")
        return Layout("PNG", [Original(match[1], match[2], entry, entry) for entry, match in found])

    def label(self, original: Original) -> NDArray[np.uint8]:
        return (np.array(Image.open(BytesIO(original.label.read())).convert("L")) > 100).astype(np.uint8)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(SOURCES, "tiny", Tiny())
    for split, count in (("train", 2), ("val", 1)):
        (tmp_path / "originals/tiny" / split).mkdir(parents=True)
        for i in range(count):
            image = np.random.default_rng(i).integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "originals/tiny" / split / f"{i}.png")
    return Path(shutil.make_archive(str(tmp_path / "tiny"), "zip", tmp_path / "originals"))


@pytest.mark.parametrize("columns", ["20", "200"])
def test_list_has_a_line_for_each(command: Command, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = command("data", "prepare")
    assert (result.status, result.err) == (0, "")
    lines = {line.split("  ")[0]: line for line in result.out.splitlines()}
    for name, source in SOURCES.items():
        assert source.title in lines[name]
        assert all(f"{split} {count:,}" in lines[name] for split, count in source.expected.items())


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("options", [(), ("--help",), ("--out", "x")])
def test_a_name_alone_says_what_to_download(name: str, options: tuple[str, ...], command: Command) -> None:
    result = command("data", "prepare", name, *options)
    assert (result.status, result.err) == (0, "")
    assert instructions(SOURCES[name]) in result.out
    assert ("usage:" in result.out) == ("--help" in options)


def test_instructions_are_complete(archive: Path, command: Command) -> None:
    words = command("data", "prepare", "tiny").out.split()
    source = SOURCES["tiny"]
    for text in (source.title, source.download, source.license, source.reference, "train 2, val 1,200"):
        assert " ".join(text.split()) in " ".join(words)
    assert "classaware data prepare tiny --source" in " ".join(words)


def test_prepared(archive: Path, command: Command, tmp_path: Path) -> None:
    arguments = "data", "prepare", "tiny", "--source", archive, "--out", tmp_path / "out", "--workers", "1"
    result = command(*arguments)
    assert result.status == 0, result
    rows = [line.split() for line in result.out.splitlines()]
    assert ["train", "2", "2"] in rows
    assert ["val", "1", "1,200"] in rows
    assert "warning: val has 1 images, published are 1200" in result.out
    assert f"Tiny pictures, prepared from PNG: {tmp_path / 'out'}" in result.out
    assert "3/3" in result.err
    manifest = Manifest.read(tmp_path / "out")
    assert manifest is not None
    assert manifest.splits == {"train": 2, "val": 1}
    again = command(*arguments)
    assert again.status == 0
    assert "is complete already; nothing was written" in again.out
    assert "is complete already" not in result.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("tinny",), "there is no data set 'tinny'; did you mean 'tiny'?"),
        (("Coco_Stuff_10k",), "did you mean 'coco-stuff-10k'?"),
        (("xyzzy",), "there is no data set 'xyzzy'; choose one of pascal-context, "),
        (("--out", "x"), "the name of the data set is missing"),
        (("tiny", "--source", "gone.zip"), "--out is missing"),
        (("tiny", "--source", "gone.zip", "--out", "x"), "source gone.zip does not exist"),
        (("tiny", "--source", "{archive}", "--out", "x", "--workers", "-1"), "workers=-1"),
        (("tiny", "--source", "{empty}", "--out", "x"), "'classaware data prepare tiny' says what to download"),
        (("tiny", "--source", "{archive}", "--out", "{empty}/a.txt"), "a.txt is no folder"),
        (("tiny", "--nonsense"), "--nonsense"),
    ],
)
def test_refused(
    arguments: tuple[str, ...],
    problem: str,
    archive: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.txt").write_text("")
    result = command("data", "prepare", *(part.format(archive=archive, empty="empty") for part in arguments))
    assert result.status == 2
    assert problem in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert not (tmp_path / "x").exists()
