"""Manifest and list of files: written, read, damaged."""

import csv
import json
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest

from classaware.data.manifest import COLUMNS, FileRow, Manifest, read_files
from classaware.errors import InputError
from classaware.files import sha256

MANIFEST = Manifest(
    format=1,
    name="tiny",
    title="Tiny, 2 classes",
    form="PNG",
    class_names=("sky", "größe"),
    palette=((1, 2, 3), (255, 0, 0)),
    ignore_index=255,
    splits={"train": 2, "val": 1},
    expected={"train": 2, "val": 1},
    license="any",
    reference="none",
    classaware="0.1.0",
    files_sha256="0" * 64,
)
ROWS = [
    FileRow("train", "a, b", "a, b.jpg", 4, 5, 100, "ab" * 32, 90, "cd" * 32),
    FileRow("val", 'ü"', 'ü".png', 1, 1, 1, "ef" * 32, 2, "01" * 32),
]


def write_rows(root: Path, rows: list[FileRow]) -> None:
    with (root / "files.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *map(astuple, rows)])


def test_written_and_read(tmp_path: Path) -> None:
    assert Manifest.read(tmp_path) is None
    MANIFEST.write(tmp_path / "new")
    assert Manifest.read(tmp_path / "new") == MANIFEST
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"format": 2}', b"{}"])
def test_no_manifest_at_all(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json .*(again|no manifest)"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 1),
        ("name", None),
        ("files_sha256", None),
        ("class_names", []),
        ("class_names", "sky"),
        ("class_names", [1, 2]),
        ("palette", [[1, 2, 3]]),
        ("palette", [[1, 2, 3], [1, 2]]),
        ("palette", [[1, 2, 3], [1, 2, 256]]),
        ("ignore_index", -1),
        ("ignore_index", True),
        ("splits", {"train": "2"}),
        ("expected", None),
    ],
)
def test_damaged_values_are_named(key: str, value: Any, tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=rf"manifest\.json is damaged: {key} "):
        Manifest.read(tmp_path)


def test_missing_key_and_further_key(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"later": 1}))
    assert Manifest.read(tmp_path) == MANIFEST
    del content["title"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="title"):
        Manifest.read(tmp_path)


def test_differences() -> None:
    assert MANIFEST.differences() == []
    assert replace(MANIFEST, expected={}).differences() == []
    assert replace(MANIFEST, splits={"train": 2, "test": 3}).differences() == [
        "val has 0 images, published are 1",
        "test has 3 images, published are none",
    ]


def test_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"files\.csv is missing"):
        read_files(tmp_path)
    write_rows(tmp_path, ROWS)
    assert read_files(tmp_path) == ROWS
    replace(MANIFEST, files_sha256=sha256(tmp_path / "files.csv")).write(tmp_path)
    assert read_files(tmp_path) == ROWS
    write_rows(tmp_path, ROWS[:1])
    with pytest.raises(InputError, match=r"files\.csv was changed"):
        read_files(tmp_path)


HEAD = ",".join(COLUMNS).encode()


@pytest.mark.parametrize(
    "content", [b"", b"split,name\n", b"\xff", HEAD + b"\na,b,c\n", HEAD + b"\na,b,c.png,one,1,1,x,1,x\n"]
)
def test_damaged_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "files.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"files\.csv cannot be read .*again"):
        read_files(tmp_path)
