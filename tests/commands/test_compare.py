"""``classaware compare`` from files to files."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_records import fake_confusions, fake_record
from PIL import Image

from classaware.commands.compare import find_record, run
from classaware.errors import InputError
from classaware.evaluation.record import read_record, write_record


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Folders car0, car1, plain0, plain1 with one evaluation each, and other files."""
    for name, first, quality in (("car", 100, 0.8), ("plain", 200, 0.7)):
        for seed in range(2):
            folder = tmp_path / f"{name}{seed}"
            parts = {"training": {"seed": seed, "steps": 700}, "checkpoint": {"sha256": f"{first + seed}"}}
            write_record(folder / "test.json", fake_record(0, fake_confusions(first + seed, quality=quality), **parts))
            (folder / "config.json").write_text("{}")
            (folder / "notes.json").write_text("not JSON")
    return tmp_path


def test_from_folders_to_files(runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    sides = [
        str(runs / "car0"),
        str(runs / "car1"),
        "--against",
        str(runs / "plain1"),
        str(runs / "plain0" / "test.json"),
    ]
    run([*sides, "--names", "CAR", "plain", "--output", str(runs / "out" / "new")])
    printed = capsys.readouterr().out
    output = runs / "out" / "new"
    result = json.loads((output / "comparison.json").read_text())
    ours = [read_record(runs / f"car{seed}" / "test.json").mean_iou for seed in range(2)]
    theirs = [read_record(runs / f"plain{seed}" / "test.json").mean_iou for seed in range(2)]
    assert result["format"] == "classaware-comparison"
    assert result["ours"]["mean_ious"] == ours
    assert result["theirs"]["mean_ious"] == theirs  # in the order of the seeds
    assert result["difference"] == pytest.approx(sum(ours) / 2 - sum(theirs) / 2, abs=1e-12)
    assert result["paired_by"] == "seed"
    assert [row["name"] for row in result["classes"]] == ["sky", "road", "car", "person"]
    markdown = (output / "comparison.md").read_text()
    points = f"{100 * result['difference']:+.2f}"
    assert points in markdown
    assert points in printed
    assert markdown.startswith("# CAR against plain\n")
    picture = Image.open(io.BytesIO((output / "comparison.png").read_bytes()))
    assert np.asarray(picture.convert("L")).std() > 5
    assert sorted(path.name for path in output.iterdir()) == ["comparison.json", "comparison.md", "comparison.png"]
    for name in ("json", "md", "png"):
        assert str(output / f"comparison.{name}") in printed
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    run([*sides, "--names", "CAR", "plain", "--output", str(output)])
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_without_output_nothing_is_written(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(runs.rglob("*"))
    run([str(runs / "car0"), "--against", str(runs / "plain0")])
    assert "not defined for one run" in capsys.readouterr().out.replace("\n", " ")
    assert sorted(runs.rglob("*")) == before


def test_the_search_goes_no_deeper_than_it_needs(runs: Path) -> None:
    deep = runs / "car0" / "old" / "again.json"
    write_record(deep, fake_record())
    assert find_record(runs / "car0") == runs / "car0" / "test.json"
    (runs / "car0" / "test.json").unlink()
    assert find_record(runs / "car0") == deep
    assert find_record(deep) == deep


def duplicate(folder: Path) -> None:
    write_record(folder / "val.json", fake_record())


def empty(folder: Path) -> None:
    (folder / "test.json").unlink()


def cut(folder: Path) -> None:
    path = folder / "test.json"
    path.write_bytes(path.read_bytes()[:900])


def old(folder: Path) -> None:
    path = folder / "test.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 0'))


def other_split(folder: Path) -> None:
    record = read_record(folder / "test.json")
    write_record(folder / "test.json", replace(record, data=record.data | {"split": "val"}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (duplicate, r"holds 2 evaluations: name one of .*test\.json, .*val\.json"),
        (empty, "holds no evaluation.*classaware evaluate"),
        (cut, "no JSON.*cut short"),
        (old, "version 0"),
        (other_split, "splits 'test' and 'val'"),
    ],
)
def test_unusable_runs_are_named(runs: Path, damage: Callable[[Path], Any], words: str) -> None:
    damage(runs / "car0")
    with pytest.raises(InputError, match=words):
        run([str(runs / "car0"), "--against", str(runs / "plain0"), "--output", str(runs / "out")])
    assert not (runs / "out").exists()


def test_unusable_options_are_named(runs: Path) -> None:
    car, plain = str(runs / "car0"), str(runs / "plain0")
    with pytest.raises(InputError, match="given twice on one side"):
        run([car, str(runs / "car0" / "test.json"), "--against", plain])
    with pytest.raises(InputError, match="both sides are named 'x'"):
        run([car, "--against", plain, "--names", "x", "x"])
    with pytest.raises(InputError, match="does not exist"):
        run([str(runs / "none.json"), "--against", plain])
