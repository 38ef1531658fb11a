"""``classaware recipes``: the list, JSON, and one recipe in full."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from classaware.commands.configuration import expand_recipes
from classaware.commands.fit import build_parser
from classaware.recipes import BLOCKS, ROWS

# One for each network, and what stands only in some rows.
SHOWN = [
    "table1/r3",
    "table1/s8",
    "table2/fcn-resnet50-car-coco-stuff-10k",
    "table2/deeplabv3-resnet50-pascal-context",
    "table2/ccnet-resnet101-car-pascal-context",
    "table2/danet-resnet101-car-pascal-context",
    "table2/cpnet-resnet101-coco-stuff-10k",
    "table2/ocr-hrnet-w48-car-pascal-context",
    "table2/caa-efficientnet-b5-car-pascal-context",
]


def test_json(command: Callable[..., Any]) -> None:
    result = command("recipes", "--json")
    assert (result.status, result.err) == (0, "")
    rows = json.loads(result.out)
    assert len(rows) == 72
    keys = ["name", "table", "row", "network", "backbone", "car", "dataset", "published_miou"]
    assert all(list(row) == keys for row in rows)
    assert len({row["name"] for row in rows}) == 72
    by_name = {row["name"]: row for row in rows}
    assert by_name["table2/danet-resnet101-car-coco-stuff-10k"] == {
        "name": "table2/danet-resnet101-car-coco-stuff-10k",
        "table": 2,
        "row": "18",
        "network": "DANet",
        "backbone": "ResNet-101",
        "car": True,
        "dataset": "coco-stuff-10k",
        "published_miou": 37.47,
    }


@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_list_has_every_row_and_block_in_one_line_each(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = command("recipes")
    assert (result.status, result.err) == (0, "")
    lines = {line.split()[0]: line for line in result.out.splitlines() if line.strip()}
    for row in ROWS.values():
        found = lines[row.name]
        assert found.endswith(f" {row.published_miou:.2f}")
        assert f" {row.network} " in found
        assert f" {row.backbone} " in found
        assert (" CAR " in found) == row.car
    for block in BLOCKS.values():
        assert lines[block.name].endswith(f"  {block.summary}")


@pytest.mark.parametrize("name", SHOWN)
def test_what_show_prints_is_a_configuration_file_of_the_same_run(
    command: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    result = command("recipes", "show", name)
    assert (result.status, result.err) == (0, "")
    path = tmp_path / "shown.yaml"
    path.write_text(result.out)
    parser = build_parser()
    shown, named = (parser.parse_args(expand_recipes(["--config", given])) for given in (str(path), name))
    assert {key: value for key, value in shown.as_dict().items() if key != "config"} == {
        key: value for key, value in named.as_dict().items() if key != "config"
    }
    assert f"# Train it: classaware fit --config {name} --output runs/{name}\n" in result.out


def test_show_is_print_config_under_comments(command: Callable[..., Any]) -> None:
    shown = command("recipes", "show", "TABLE1/r8").out
    comments = [line for line in shown.splitlines() if line.startswith("#")]
    assert comments == [
        "# Table 1, R8: Self-Attention + CAR, ResNet-50, pascal-context. Published mIoU: 50.50 %",
        "# Train it: classaware fit --config table1/r8 --output runs/table1/r8",
        "# Made of networks/self-attention, backbones/resnet50, datasets/pascal-context, paper, and",
        *(f"#   {option}" for option in ROWS["table1/r8"].options),
    ]
    printed = command("fit", "--config", "TABLE1/r8", "--print_config")
    assert printed.status == 0
    assert shown.splitlines()[len(comments) :] == printed.out.splitlines()


@pytest.mark.parametrize("name", BLOCKS)
def test_a_part_is_shown_as_what_it_sets(command: Callable[..., Any], name: str) -> None:
    result = command("recipes", "show", name)
    assert (result.status, result.err) == (0, "")
    first, _, rest = result.out.partition("\n")
    assert f"--config {name}" in first
    assert rest == BLOCKS[name].path.read_text()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["show", "table1/r88"], "did you mean 'table1/r8'?"),
        (["show", "cpnet"], "did you mean 'networks/cpnet'?"),
        (["show", "qqqqq"], "'qqqqq'"),
        (["show"], "needs a name"),
        (["shw", "car"], "'shw'"),
        (["show", "car", "paper"], "paper"),
        (["show", "car", "--json"], "--json"),
        (["--yaml"], "--yaml"),
    ],
)
def test_what_is_not_understood(refused: Callable[..., str], arguments: list[str], named: str) -> None:
    error = refused("recipes", *arguments)
    assert error.startswith("classaware recipes: error: ")
    assert named in error


def test_fit_suggests_too(refused: Callable[..., str], tmp_path: Path) -> None:
    error = refused("fit", "--config", "table1/r88", "--output", tmp_path)
    assert "did you mean 'table1/r8'?" in error


def test_a_row_fails_in_one_line_where_its_data_is_missing(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ["--network.backbone.pretrained", "no"]
    assert "data/pascal-context" in refused("fit", "--config", "table1/r8", *more, "--output", tmp_path / "run")


def test_a_reader_that_stops_reading_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "classaware", "recipes"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_list_on_a_terminal_of_ascii_only() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-m", "classaware", "recipes"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "table2/ocr-hrnet-w48-car-pascal-context" in done.stdout


def test_a_file_is_shown_in_full(command: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 7\ndata: {dataset: BiasedScenes}\nnetwork: {head: FCNHead}\n")
    shown = command("recipes", "show", path)
    assert (shown.status, shown.err) == (0, "")
    assert shown.out == command("fit", "--config", path, "--print_config").out
