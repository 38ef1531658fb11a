"""``classaware insight dependency`` on trained networks."""

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from classaware.regularization import resize_labels
from classaware.training import load_network


def centers_by_loop(checkpoint: Path, folder: Path) -> list[list[float]]:
    """Mean feature of every class over the test images, pixel by pixel."""
    network, _ = load_network(checkpoint)
    sums = [[0.0] * 8 for _ in range(3)]
    counts = [0] * 3
    for path in sorted((folder / "images" / "test").iterdir()):
        image = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            features = network(image).features[0].double()
        truth = torch.from_numpy(np.array(Image.open(folder / "masks" / "test" / path.name)))
        small = resize_labels(truth[None], (features.shape[1], features.shape[2]))[0].tolist()
        for y, row in enumerate(small):
            for x, label in enumerate(row):
                if label != 255:
                    counts[label] += 1
                    for c, value in enumerate(features[:, y, x].tolist()):
                        sums[label][c] += value
    return [[value / counts[k] for value in sums[k]] for k in range(3)]


@pytest.fixture(scope="module")
def both(plain_run: Path, car_run: Path) -> list[str]:
    return ["--networks", str(plain_run), str(car_run / "last.ckpt")]


def test_files_hold_the_numbers(
    command: Callable[..., Any], both: list[str], plain_run: Path, folder: Path, tmp_path: Path
) -> None:
    result = command("insight", "dependency", *both, "--output", tmp_path)
    assert result.status == 0, result.err
    names = ["dependency.csv", "dependency.json", "dependency.png", "dependency.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert all(str(tmp_path / name) in result.out for name in names)
    content = json.loads((tmp_path / "dependency.json").read_text())
    assert (content["format"], content["version"]) == ("classaware-dependency", 1)
    assert (content["split"], content["images"]) == ("test", 3)
    assert content["class_names"] == ["sky", "road", "car"]
    assert [(s["name"], s["step"]) for s in content["sources"]] == [("plain", 4), ("car", 4)]
    assert content["dataset"]["class_path"].endswith("FolderDataset")
    centers = centers_by_loop(plain_run / "last.ckpt", folder)
    weights = [[math.exp(sum(map(float.__mul__, a, b)) / math.sqrt(8)) for b in centers] for a in centers]
    expected = [[value / sum(row) for value in row] for row in weights]
    np.testing.assert_allclose(content["forms"]["paper"]["networks"][0]["map"], expected, rtol=1e-5)
    means = [1 - expected[k][k] for k in range(3)]
    assert content["forms"]["paper"]["networks"][0]["mean"]["value"] == pytest.approx(sum(means) / 3, rel=1e-5)
    assert re.search(rf"^ paper   plain +{100 * sum(means) / 3:.2f}  ", result.out, re.MULTILINE)
    assert content["sides"] is None
    with (tmp_path / "dependency.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 9
    for row in rows:
        for form in ("paper", "unit", "cosine"):
            square = content["forms"][form]["networks"][row["network"] == "car"]["map"]
            at = [content["class_names"].index(row[key]) for key in ("class", "on")]
            assert float(row[form]) == square[at[0]][at[1]]
    assert ElementTree.parse(tmp_path / "dependency.svg").getroot().tag.endswith("svg")
    Image.open(tmp_path / "dependency.png").verify()


def test_the_table_says_what_must_not_be_compared(command: Callable[..., Any], both: list[str], tmp_path: Path) -> None:
    out = command("insight", "dependency", *both, "--names", "a", "[red]b", "--output", tmp_path).out
    assert "3 images, 3 classes." in out
    assert "to first: minus a, of the same images." in " ".join(out.split())
    assert "[red]b" in out
    assert "paper: compare only between networks whose features have the same scale." in out
    out = " ".join(out.split())
    scales = [n["scale"] for n in json.loads((tmp_path / "dependency.json").read_text())["networks"]]
    assert ("do not compare these networks by 'paper'" in out) == (max(scales) > 1.05 * min(scales))


def test_one_form_is_drawn_and_told(command: Callable[..., Any], plain_run: Path, tmp_path: Path) -> None:
    pictures = []
    for form in ("paper", "cosine"):
        arguments = ["--networks", plain_run, "--form", form, "--output", tmp_path / form]
        result = command("insight", "dependency", *arguments)
        assert f"Strongest in plain ({form}):" in result.out
        assert "to first" not in result.out
        pictures.append((tmp_path / form / "dependency.png").read_bytes())
    assert pictures[0] != pictures[1]
    numbers = [(tmp_path / form / "dependency.json").read_bytes() for form in ("paper", "cosine")]
    assert numbers[0] == numbers[1]


def test_two_sides(
    command: Callable[..., Any], refused: Callable[..., str], plain_run: Path, car_run: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "plain2"
    shutil.copytree(plain_run, twin)
    arguments = ["--networks", car_run, "--against", plain_run, twin]
    result = command("insight", "dependency", *arguments, "--output", tmp_path / "one")
    assert result.status == 0, result.err
    content = json.loads((tmp_path / "one" / "dependency.json").read_text())
    networks, sides = content["forms"]["unit"]["networks"], content["sides"]
    assert [network["name"] for network in networks] == ["car", "plain", "plain2"]
    assert sides["ours"] == {"name": "car", "networks": ["car"], "seeds": [0]}
    assert (sides["theirs"]["name"], sides["theirs"]["networks"]) == ("plain", ["plain", "plain2"])
    unit = sides["forms"]["unit"]
    means = [network["mean"]["value"] for network in networks]
    assert unit["difference"]["value"] == pytest.approx(means[0] - means[1])
    assert unit["theirs"]["sd"] == 0
    assert unit["theirs"]["map"] == networks[1]["map"]
    assert re.search(
        rf"^ unit +difference +{re.escape(f'{100 * (means[0] - means[1]):+.2f}')}  ", result.out, re.MULTILINE
    )
    assert "By most more in car than in plain (unit):" in result.out
    # The figure is that of the two mean maps; here their maps are those of the networks.
    plain = ["--networks", car_run, plain_run, "--output", tmp_path / "two"]
    assert command("insight", "dependency", *plain).status == 0
    pictures = [(tmp_path / name / "dependency.svg").read_bytes() for name in ("one", "two")]
    assert pictures[0] == pictures[1]
    named = command("insight", "dependency", *arguments, "--side_names", "[b]A", "B", "--output", tmp_path / "one")
    assert "By most less in [b]A than in B (unit):" in named.out
    assert (tmp_path / "one" / "dependency.svg").read_bytes() != pictures[1]
    with (tmp_path / "one" / "dependency.csv").open(newline="") as file:
        assert {row["network"] for row in csv.DictReader(file)} == {"car", "plain", "plain2"}
    same = ["--side_names", "A", "A", "--output", tmp_path / "no"]
    assert "both sides are named 'A'" in refused("insight", "dependency", *arguments, *same)
    lonely = ["--networks", car_run, "--side_names", "A", "B", "--output", tmp_path / "no"]
    assert "--against" in refused("insight", "dependency", *lonely)


def test_eighty_columns_are_enough(
    command: Callable[..., Any], car_run: Path, plain_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = ["a network with a name that is as long as this one", "another network with quite a long name"]
    for arguments in (["--networks", car_run, plain_run], ["--networks", car_run, "--against", plain_run]):
        result = command("insight", "dependency", *arguments, "--names", *long, "--output", tmp_path)
        lines = [line for line in result.out.splitlines() if str(tmp_path) not in line]
        assert max(map(len, lines)) <= 80


def test_classes_that_never_occur_are_left_out(
    command: Callable[..., Any], options: list[str], folder: Path, tmp_path: Path
) -> None:
    """A class of the list that no mask holds."""
    more = tmp_path / "more"
    more.mkdir()
    for name in ("images", "masks"):
        (more / name).symlink_to(folder / name)
    (more / "classes.txt").write_text("sky\nroad\ncar\n<img src=x>\n")
    run = [part.replace(str(folder), str(more)) for part in options]
    assert command(*run, "--output", tmp_path / "run").status == 0
    result = command("insight", "dependency", "--networks", tmp_path / "run", "--output", tmp_path / "out")
    assert "3 images, 3 classes; 1 of 4 classes are absent and left out." in result.out
    assert "<img" not in (tmp_path / "out" / "dependency.csv").read_text()
    content = json.loads((tmp_path / "out" / "dependency.json").read_text())
    assert content["present"] == [True, True, True, False]


def test_what_cannot_be_used_is_named(
    refused: Callable[..., str], both: list[str], plain_run: Path, tmp_path: Path
) -> None:
    assert "split 'seen' does not exist" in refused(
        "insight", "dependency", *both, "--split=seen", "--output", tmp_path
    )
    assert "papr" in refused("insight", "dependency", *both, "--form=papr", "--output", tmp_path)
    (tmp_path / "file").touch()
    assert "cannot write" in refused("insight", "dependency", *both, "--output", tmp_path / "file")
    assert "given twice" in refused(
        "insight", "dependency", "--networks", plain_run, plain_run, "--output", tmp_path / "twice"
    )
    assert "did you mean 'dependency'?" in refused("insight", "dependancy")


def test_the_group_lists_its_actions(command: Callable[..., Any]) -> None:
    result = command("insight", "--help")
    assert result.status == 0
    for action in ("dependency", "relation", "combinations", "counterfactual"):
        assert f"  {action} " in result.out
