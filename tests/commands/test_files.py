"""Files are there whole or not at all."""

import json
from pathlib import Path

import pytest

from classaware.errors import InputError
from classaware.files import write_atomically, write_json


def test_folders_are_made_and_content_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.bin"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert list(target.parent.iterdir()) == [target]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "b.bin"
    write_atomically(target, b"old")

    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "file" / "x", tmp_path / "file" / "y" / "x", tmp_path / "folder"):
        with pytest.raises(InputError, match=f"cannot write {target} "):
            write_atomically(target, b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_json_reads_back(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None], "b": {"c": "ü"}}
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == content
    assert text.endswith("}\n")
