"""``classaware data``: what is printed, what is written, and the exit status."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.table import Table

from classaware.commands.data import ACTIONS
from classaware.commands.data.pairs import parts
from classaware.data.pairs import PairCounts

Command = Callable[..., Any]


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data set, with names that differ between the splits."""
    root = Path(shutil.copytree(folder, tmp_path / "data"))
    for path in [path for path in root.glob("*/*/*") if path.is_file()]:
        path.rename(path.with_name(f"{path.parent.name}{path.name}"))
    return root


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_usage_lists_all_actions(command: Command, arguments: list[str]) -> None:
    result = command("data", *arguments)
    assert (result.status, result.err) == (0, "")
    assert all(f"  {name} " in result.out for name in ACTIONS)


@pytest.mark.parametrize("name", ACTIONS)
def test_help_of_every_action(command: Command, name: str) -> None:
    result = command("data", name, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"usage: classaware data {name}")


def test_unknown_actions(refused: Callable[..., str]) -> None:
    assert "did you mean 'check'?" in refused("data", "chek")
    assert "choose one of prepare, check, show, pairs" in refused("data", "xyzzy")


def test_clean_data(command: Command, data: Path) -> None:
    result = command("data", "check", data, "--workers", 0)
    assert (result.status, result.err) == (0, "")
    assert f"No problem found in 11 images of {data}." in result.out
    assert [line.split() for line in result.out.splitlines()[1:4]] == [
        ["train", "6", "48x64", "48x64", "91.7", "%"],
        ["test", "3", "48x64", "48x64", "91.7", "%"],
        ["val", "2", "48x64", "48x64", "91.7", "%"],
    ]


def test_errors_are_listed_and_change_the_status(command: Command, data: Path, tmp_path: Path) -> None:
    for i in range(4):
        (data / f"masks/train/train{i}.png").unlink()
    (data / "images/val/val0.png").write_bytes(b"")
    result = command("data", "check", data, "--workers", 0, "--json", tmp_path / "report.json")
    assert (result.status, result.err) == (1, "")
    lines = result.out.splitlines()
    (missing,) = (line for line in lines if line.startswith(" error") and "missing mask" in line)
    assert "4  masks/train/train0.png, masks/train/train1.png, masks/train/train2.png and 1 more" in missing
    assert any(line.startswith("empty file: ") and str(data / "images/val/val0.png") in line for line in lines)
    assert f"5 errors and 0 warnings in 7 images of {data}." in lines
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["format"], report["errors"], report["warnings"]) == ("classaware-check", 5, 0)
    assert [split["images"] for split in report["splits"]] == [2, 3, 2]
    assert {finding["kind"] for finding in report["findings"]} == {"missing mask", "empty file"}
    assert report["findings"][0]["split"] == "train"


def test_warnings_do_not_change_the_status(command: Command, data: Path) -> None:
    (data / "images/train/train0.png").write_bytes((data / "images/train/train1.png").read_bytes())
    result = command("data", "check", data, "--workers", 0)
    assert result.status == 0
    assert "0 errors and 1 warning in" in result.out


def test_the_ignore_value(command: Command, data: Path) -> None:
    assert command("data", "check", data, "--ignore_index", 9, "--workers", 0).status == 1
    assert "unknown ignore value" in command("data", "check", data, "--ignore_index", 9, "--workers", 0).out


def test_names_are_not_markup(command: Command, data: Path) -> None:
    (data / "classes.txt").write_text("[red]sky\n[/]\n\x1b[31mroad\n[link=x]more\n")
    (data / "images/train/[bold]x.png").write_bytes(b"")
    (data / "masks/train/[bold]x.png").write_bytes((data / "masks/train/train0.png").read_bytes())
    result = command("data", "check", data, "--workers", 0)
    assert "[red]sky" in result.out
    assert "images/train/[bold]x.png" in result.out
    assert "\x1b" not in result.out
    assert "[link=x]more" in result.out


@pytest.mark.parametrize("action", ["check", "show", "pairs"])
def test_no_data_set(refused: Callable[..., str], tmp_path: Path, action: str) -> None:
    output = ["--output", tmp_path / "x.png"] if action == "show" else []
    assert f"data folder {tmp_path / 'away'} does not exist" in refused("data", action, tmp_path / "away", *output)
    assert "none of the layouts" in refused("data", action, tmp_path, *output)


def test_show(command: Command, data: Path, tmp_path: Path) -> None:
    sheets = []
    for i, options in enumerate(([], [], ["--seed", 1], ["--split", "val"], ["--count", 1])):
        path = tmp_path / f"{i}.png"
        result = command("data", "show", data, "--output", path, "--count", 3, *options)
        assert (result.status, result.out, result.err) == (0, f"{path}\n", "")
        sheets.append(path.read_bytes())
    assert sheets[0] == sheets[1]
    assert len(set(sheets)) == 4


def test_show_a_class(command: Command, refused: Callable[..., str], data: Path, tmp_path: Path) -> None:
    for path in (data / "masks/train").iterdir():
        Image.fromarray(np.zeros((48, 64), dtype=np.uint8)).save(path)
    Image.fromarray(np.eye(48, 64, dtype=np.uint8)).save(data / "masks/train/train4.png")
    output = "--output", tmp_path / "x.png"
    assert command("data", "show", data, *output, "--class", "road").status == 0
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.height < 300  # one row
    assert "no image of train holds the class 'car'" in refused("data", "show", data, *output, "--class", "car")
    assert "did you mean 'road'?" in refused("data", "show", data, *output, "--class", "raod")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "x.jpg"], "end in .png"),
        (["--output", "x.png", "--count", "0"], "at least 1"),
        (["--output", "x.png", "--split", "all"], "'all'"),
    ],
)
def test_show_refuses(refused: Callable[..., str], data: Path, options: list[str], message: str) -> None:
    assert message in refused("data", "show", data, *options)


def test_show_stops_at_a_damaged_file(refused: Callable[..., str], data: Path, tmp_path: Path) -> None:
    (data / "images/train/train3.png").write_bytes(b"")
    assert str(data / "images/train/train3.png") in refused("data", "show", data, "--output", tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_pairs(command: Command, data: Path, tmp_path: Path) -> None:
    (data / "classes.txt").write_text('sky, blue\n"road"\ncar\n')
    Image.fromarray(np.zeros((48, 64), dtype=np.uint8)).save(data / "masks/train/train0.png")
    files = {kind: tmp_path / f"pairs.{kind}" for kind in ("csv", "json", "png", "svg")}
    options = ["--csv", files["csv"], "--json", files["json"], "--plot", files["png"], "--workers", 0]
    result = command("data", "pairs", data, *options)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(
        "6 images of train; of 3 pairs of classes that occur, 3 occur together and 0 never do."
    )
    assert result.out.endswith(f"{files['csv']}\n{files['json']}\n{files['png']}\n")
    with files["csv"].open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["class", "sky, blue", '"road"', "car"]
    assert [row[0] for row in rows[1:]] == rows[0][1:]
    content = json.loads(files["json"].read_text())
    assert [[int(value) for value in row[1:]] for row in rows[1:]] == content["counts"]
    assert content["counts"][0][0] == 6
    assert content["counts"][1][1] == 5
    assert content["split"] == "train"
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert command("data", "pairs", data, "--plot", files["svg"], "--workers", 0).status == 0
    assert b"<svg" in files["svg"].read_bytes()


def test_pairs_that_never_meet(command: Command, data: Path) -> None:
    for i, path in enumerate(sorted((data / "masks/train").iterdir())):
        Image.fromarray(np.full((48, 64), 1 if i == 0 else i % 2 * 2, dtype=np.uint8)).save(path)
    out = command("data", "pairs", data, "--workers", 0).out
    assert "3 pairs of classes that occur, 0 occur together and 3 never do" in out
    lines = out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Never together")) + 3
    assert lines[first].split()[:4] == ["sky", "car", "0", "1.0"]  # 2 and 3 of 6 images: the most that could meet


@pytest.mark.parametrize(
    ("options", "message"), [(["--plot", "x.gif"], ".png or .svg"), (["--min_pixels", "0"], "min_pixels=0")]
)
def test_pairs_refuses(refused: Callable[..., str], data: Path, options: list[str], message: str) -> None:
    assert message in refused("data", "pairs", data, *options)


def test_the_tables_of_pairs_are_sorted() -> None:
    counts = np.array([[10, 6, 5], [6, 8, 1], [5, 1, 5]])
    text, _, frequent, _, strong = parts(PairCounts(("a", "b", "c"), 20, counts), "train")
    assert isinstance(frequent, Table)
    assert isinstance(strong, Table)
    assert [str(cell) for cell in frequent.columns[2].cells] == ["6", "5", "1"]
    assert [str(cell) for cell in strong.columns[4].cells] == ["2.00", "1.50"]  # b with c: one image is no evidence
    assert text == "20 images of train; of 3 pairs of classes that occur, 3 occur together and 0 never do."
