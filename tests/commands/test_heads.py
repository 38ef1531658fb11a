"""Every head, and every loss beside CAR, from the command line to predictions."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from classaware.models import HEADS

CAR = ("intra_c2p", "inter_c2c", "inter_c2p")
OWN_TERMS = {"cpnet": {"affinity": 0.5}, "ocr": {"aux_ce": 0.25}, "acfnet": {"aux_ce": 0.25}}


def logged(output: Path) -> list[dict[str, float]]:
    """Loss and terms of every step."""
    with (output / "logs" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def options_of(options: list[str], head: str) -> list[str]:
    """``options`` with another head."""
    changed = list(options)
    changed[changed.index("FCNHead")] = HEADS[head].__name__  # type: ignore[attr-defined]
    return changed + (["--network.head.grid", "4"] if head == "cpnet" else [])


@pytest.mark.parametrize("head", HEADS)
def test_a_head_trains_evaluates_and_predicts(
    head: str, command: Callable[..., Any], options: list[str], folder: Path, tmp_path: Path
) -> None:
    weights = ["--training.aux_weight", 0.25, "--training.affinity_weight", 0.5]
    run = tmp_path / "run"
    result = command(*options_of(options, head), "--network.car", "on", *weights, "--output", run)
    assert (result.status, result.err) == (0, "")
    own = OWN_TERMS.get(head, {})
    for row in logged(run):
        terms = {name.removeprefix("train/") for name in row if name.startswith("train/")} - {"lr"}
        assert terms == {"ce", *CAR, *own}
        expected = sum(row[f"train/{name}"] * own.get(name, 1.0) for name in terms)
        assert row["loss"] == pytest.approx(expected, rel=1e-5)
    assert command("evaluate", run / "last.ckpt", "--split", "test", "--json", tmp_path / "test.json").status == 0
    assert 0 <= json.loads((tmp_path / "test.json").read_text())["mean_iou"] <= 1
    image = folder / "images" / "test" / "0.png"
    assert command("predict", run / "last.ckpt", image, "--output", tmp_path / "predicted").status == 0
    assert list((tmp_path / "predicted").rglob("0*.png"))


@pytest.mark.parametrize(("head", "maps"), [("fcn", 1), ("danet", 2), ("ocr", 2)])
def test_deep_supervision_adds_its_cross_entropies(
    head: str, maps: int, command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    """Right after the start all predictions are about as good as chance, so the sum tells how many there are."""
    extra = ["--network.aux_channels", 8, "--training.lr", "1e-9", "--output", tmp_path / "run"]
    assert command(*options_of(options, head), *extra).status == 0
    first = logged(tmp_path / "run")[0]
    assert 0.4 * maps < first["train/aux_ce"] / first["train/ce"] < 2.5 * maps
    assert first["loss"] == pytest.approx(first["train/ce"] + 0.4 * first["train/aux_ce"], rel=1e-5)


@pytest.mark.usefixtures("keep_all")
@pytest.mark.parametrize("rival", ["CenterLoss", "PixelContrast"])
def test_a_rival_trains_in_cars_place_and_resumes_bitwise(
    rival: str, command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    more = ["--rival.memory_size", 3] if rival == "PixelContrast" else []
    arguments = [*options, "--rival", rival, *more, "--rival.weight", 0.5]
    whole, half = tmp_path / "whole", tmp_path / "half"
    assert command(*arguments, "--output", whole).status == 0
    for row in logged(whole):
        assert row["train/rival"] > 0
        assert row["loss"] == pytest.approx(row["train/ce"] + row["train/rival"], rel=1e-5)
    state = torch.load(whole / "last.ckpt", weights_only=True)["state_dict"]
    learned = [name for name in state if name.startswith("objective.rivals.0.")]
    assert learned
    assert command(*arguments, "--ckpt_path", whole / "step2.ckpt", "--output", half).status == 0
    again = torch.load(half / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_resuming_with_another_rival_is_refused(
    refused: Callable[..., str], command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    assert command(*options, "--rival", "CenterLoss", "--output", tmp_path / "run").status == 0
    checkpoint = tmp_path / "run" / "best.ckpt"
    assert "rival" in refused(*options, "--ckpt_path", checkpoint, "--output", tmp_path / "more")


@pytest.mark.parametrize(
    ("option", "wrong", "known"),
    [
        ("rival", "TripletLoss", "CenterLoss, PixelContrast"),
        ("rival", "Rival", "CenterLoss, PixelContrast"),
        ("network.head", "Head", "DANetHead, DeepLabV3Head, FCNHead"),
        ("network.head", "deeplabv3", "DANetHead, DeepLabV3Head, FCNHead"),
        ("data.dataset", "Folder", "CamVid, FolderDataset"),
    ],
)
def test_a_class_that_does_not_exist_is_answered_with_those_that_do(
    option: str, wrong: str, known: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    line = refused("fit", "--config", "biased-scenes", f"--{option}", wrong, "--output", tmp_path / "run")
    assert option in line
    assert known in line


@pytest.mark.usefixtures("keep_all")
def test_a_run_with_running_centers_resumes_bitwise(
    command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    arguments = [*options, "--network.car", "on", "--regularizer.centers", "ema"]
    assert command(*arguments, "--output", tmp_path / "whole").status == 0
    checkpoint = tmp_path / "whole" / "step2.ckpt"
    assert command(*arguments, "--ckpt_path", checkpoint, "--output", tmp_path / "half").status == 0
    whole, half = (
        torch.load(tmp_path / run / "last.ckpt", weights_only=True)["state_dict"] for run in ("whole", "half")
    )
    assert any("running" in name for name in whole)
    assert all(torch.equal(whole[name], half[name]) for name in whole)
