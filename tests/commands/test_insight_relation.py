"""``classaware insight relation`` on trained networks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from classaware.insight.relation import grid_cell
from classaware.training import load_network

AT = (40, 30)  # x, y


@pytest.fixture
def image(folder: Path) -> Path:
    return folder / "images" / "test" / "1.png"


def map_by_loop(checkpoint: Path, image: Path) -> list[list[float]]:
    network, _ = load_network(checkpoint)
    pixels = torch.from_numpy(np.array(Image.open(image))).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        features = network(pixels).features[0].double()
    _, height, width = features.shape
    row, column = grid_cell((AT[1], AT[0]), (48, 64), (height, width))
    q = features[:, row, column]
    return [[float((q * features[:, y, x]).sum()) / 8**0.5 for x in range(width)] for y in range(height)]


def test_files_hold_the_maps(
    command: Callable[..., Any], plain_run: Path, car_run: Path, image: Path, folder: Path, tmp_path: Path
) -> None:
    arguments = ["--at", f"{AT[0]},{AT[1]}", "--networks", plain_run, car_run, "--output", tmp_path]
    result = command("insight", "relation", image, *arguments)
    assert result.status == 0, result.err
    names = ["relation.json", "relation.npz", "relation.png", "relation.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    content = json.loads((tmp_path / "relation.json").read_text())
    assert (content["format"], content["version"], content["form"]) == ("classaware-relation", 1, "dot")
    assert content["at"] == {"x": 40, "y": 30}
    truth = np.array(Image.open(folder / "masks" / "test" / "1.png"))
    assert content["true"] == ("sky", "road", "car")[truth[30, 40]]
    assert f"The pixel is {content['true']}." in result.out
    with np.load(tmp_path / "relation.npz", allow_pickle=False) as maps:
        assert maps["names"].tolist() == ["plain", "car"]
        for i, run in enumerate((plain_run, car_run)):
            np.testing.assert_allclose(maps[f"map_{i}"], map_by_loop(run / "last.ckpt", image), rtol=1e-4, atol=1e-6)
            entry = content["networks"][i]
            assert entry["range"] == [maps[f"map_{i}"].min(), maps[f"map_{i}"].max()]
            assert entry["grid"] == list(maps[f"map_{i}"].shape)
            assert sum(top["probability"] for top in entry["top"]) == pytest.approx(1)


def test_relation_to_the_own_class_and_to_others(
    command: Callable[..., Any], plain_run: Path, image: Path, tmp_path: Path
) -> None:
    label = np.zeros((48, 64), dtype=np.uint8)
    label[:, 32:] = 1
    Image.fromarray(label).save(tmp_path / "label.png")
    arguments = ["--at=40,30", "--networks", plain_run, "--label", tmp_path / "label.png", "--output", tmp_path]
    result = command("insight", "relation", image, *arguments)
    (entry,) = json.loads((tmp_path / "relation.json").read_text())["networks"]
    with np.load(tmp_path / "relation.npz") as maps:
        values = maps["map_0"]
    height, width = values.shape
    own = [(y, x) for y in range(height) for x in range(width) if 2 * x >= width]
    cell = (entry["cell"]["row"], entry["cell"]["column"])
    assert cell in own
    own.remove(cell)
    others = [(y, x) for y in range(height) for x in range(width) if 2 * x < width]
    assert entry["mean_inside"] == pytest.approx(sum(values[p] for p in own) / len(own))
    assert entry["mean_outside"] == pytest.approx(sum(values[p] for p in others) / len(others))
    order = sum((values[a] > values[b]) + (values[a] == values[b]) / 2 for a in own for b in others)
    assert entry["order"] == pytest.approx(order / len(own) / len(others))
    assert f"{100 * entry['order']:.1f} %" in result.out


def test_only_images_of_the_data_set_have_its_masks(
    command: Callable[..., Any], plain_run: Path, image: Path, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "1.png"
    shutil.copy(image, copy)
    more = ["--at=40,30", "--networks", plain_run, "--output", tmp_path / "out"]
    assert "There is no ground truth." in command("insight", "relation", copy, *more).out
    assert json.loads((tmp_path / "out" / "relation.json").read_text())["true"] is None
    mask = folder / "masks" / "test" / "1.png"
    assert "The pixel is " in command("insight", "relation", copy, "--label", mask, *more).out
    assert "The pixel is " in command("insight", "relation", image, *more).out
    unlabeled = command("insight", "relation", image, "--at=5,0", *more[1:])
    assert "The pixel has no class in the ground truth." in unlabeled.out


def test_names_of_files_are_only_shown(
    command: Callable[..., Any], plain_run: Path, image: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "[bold]'\"<b>$x_.png"
    shutil.copy(image, odd)
    arguments = ["--at=1,1", "--networks", plain_run, "--names", "$a_/../[red]<i>", "--output", tmp_path / "out"]
    result = command("insight", "relation", odd, *arguments)
    assert result.status == 0, result.err
    assert "$a_/../[red]<i>" in result.out
    assert json.loads((tmp_path / "out" / "relation.json").read_text())["image"] == str(odd)
    assert b"<i>" not in (tmp_path / "out" / "relation.svg").read_bytes()


def test_what_cannot_be_used_is_named(
    refused: Callable[..., str], plain_run: Path, image: Path, folder: Path, tmp_path: Path
) -> None:
    more = ["--networks", plain_run, "--output", tmp_path / "out"]
    for at in ("3", "a,b", "-1,2", "1,2,3", "1.5,2"):
        assert "column and row" in refused("insight", "relation", image, f"--at={at}", *more)
    outside = refused("insight", "relation", image, "--at=64,2", *more)
    assert "x=64, y=2 is outside of the image, which is 64 wide and 48 high" in outside
    assert "does not exist" in refused("insight", "relation", tmp_path / "no.png", "--at=1,1", *more)
    Image.new("L", (10, 10)).save(tmp_path / "small.png")
    fits = refused("insight", "relation", image, "--at=1,1", "--label", tmp_path / "small.png", *more)
    assert "masks must have their image's size" in fits
