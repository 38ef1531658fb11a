"""``classaware explore`` on trained networks."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_explorer import Content


@pytest.fixture(scope="module")
def both(plain_run: Path, car_run: Path) -> list[str]:
    return ["explore", "--networks", str(plain_run), str(car_run)]


def test_one_page(command: Callable[..., Any], both: list[str], tmp_path: Path) -> None:
    output = tmp_path / "new" / "page.html"
    result = command(*both, "--output", output)
    assert result.status == 0, result.err
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]
    content = Content(output.read_bytes()).data
    assert [network["name"] for network in content["networks"]] == ["plain", "car"]
    assert [image["name"] for image in content["images"]] == ["0", "1", "2"]
    assert [entry["name"] for entry in content["classes"]] == ["sky", "road", "car"]
    lines = result.out.splitlines()
    assert lines[0].startswith(f"3 images, {len(output.read_bytes()) / 1e6:.2f} MB.")
    assert lines[-1] == str(output)
    for network in content["networks"]:
        row = next(line.split() for line in lines if line.split()[:1] == [network["name"]])
        printed = [network["correlation"][f][k] for f in ("dot", "cosine") for k in ("mean", "minimum")]
        assert [float(cell) for cell in row[3:]] == pytest.approx(printed, abs=1.01e-5)


def test_dependency_is_that_of_the_whole_split(command: Callable[..., Any], both: list[str], tmp_path: Path) -> None:
    result = command(*both, "--count", 1, "--output", tmp_path / "page.html")
    assert result.status == 0, result.err
    content = Content((tmp_path / "page.html").read_bytes()).data
    assert command("insight", "dependency", *both[1:], "--output", tmp_path / "d").status == 0
    whole = json.loads((tmp_path / "d" / "dependency.json").read_text())["forms"]["unit"]["networks"]
    assert len(content["images"]) == 1
    assert "unit scale" in content["note"]
    for shown, exact in zip(content["dependency"], whole, strict=True):
        assert shown["name"] == exact["name"]
        for row, expected in zip(shown["rows"], exact["map"], strict=True):
            assert row == pytest.approx(expected, rel=1e-5)


def test_images_by_name_and_no_dependency(command: Callable[..., Any], both: list[str], tmp_path: Path) -> None:
    result = command(*both, "--images", "2", "0", "--dependency", "false", "--output", tmp_path / "page.html")
    assert result.status == 0, result.err
    content = Content((tmp_path / "page.html").read_bytes()).data
    assert [image["name"] for image in content["images"]] == ["2", "0"]
    assert content["dependency"] == []


def test_refused(refused: Callable[..., str], both: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert "exclude each other" in refused(*both, "--count", 2, "--images", "0", "--output", page)
    assert "name end in .html" in refused(*both, "--output", tmp_path / "page.txt")
    assert "--megabytes -1.0" in refused(*both, "--megabytes", -1, "--output", page)
    assert "no image '9'" in refused(*both, "--images", "9", "--output", page)
    assert "count=0" in refused(*both, "--count", 0, "--output", page)
    assert "split 'tset'" in refused(*both, "--split", "tset", "--output", page)
    message = refused(*both, "--megabytes", 0.001, "--dependency", "false", "--output", page)
    assert re.search(r"may have 0\.001 MB, but .* 3 images and 2 networks take 0\.\d+ MB", message)
    assert not page.exists()
