"""``classaware insight counterfactual`` from the command line, on a folder of generated scenes."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from staged_scenes import COLORS, StagedScenes

from classaware.training.card import NetworkCard, build_network

NAMES = ("grass", "sand", "water", "cow", "[bold]camel")
MODULE = """
import torch
from torch import nn

COLORS = torch.tensor({colors}, dtype=torch.float32) / 255

class Own(nn.Module):
    # Class by the distance of the pixel's color from those of the classes.
    def __init__(self):
        super().__init__()
        self.body = nn.Identity()

    def forward(self, images):
        pixels = self.body(images)
        return -((pixels[:, None] - COLORS[None, :, :, None, None]) ** 2).sum(dim=2)

class Context(Own):
    # A thing is what belongs on the ground that most of the image is.
    def forward(self, images):
        logits = super().forward(images)
        ground = int(torch.bincount(logits.argmax(dim=1).flatten(), minlength=5)[:3].argmax())
        thing = logits[:, 3:].amax(dim=1)
        logits[:, 3:] = -9
        logits[:, {{0: 3, 1: 4, 2: 2}}[ground]] = torch.maximum(thing, logits[:, {{0: 3, 1: 4, 2: 2}}[ground]])
        return logits
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with the scenes as files and a module of networks, as the current one."""
    scenes = StagedScenes(3)
    root = tmp_path / "scenes"
    for split in scenes.splits:
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for sample in scenes.samples(split):
            label = scenes.read_label(sample)
            Image.fromarray(COLORS[label]).save(root / "images" / split / f"{sample.name}.png")
            Image.fromarray(label.astype("uint8")).save(root / "masks" / split / f"{sample.name}.png")
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")
    name = f"painters_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(colors=COLORS.tolist()))
    monkeypatch.chdir(tmp_path)
    return Path(name)


def options(place: Path, *more: str) -> list[str]:
    data = ["--dataset", "FolderDataset", "--dataset.root", "scenes", "--device", "cpu"]
    classes = ["--classes", "cow", "[bold]camel"]
    networks = ["--networks", f"{place}:Context", "--against", f"{place}:Own@body"]
    return ["insight", "counterfactual", *networks, *data, *classes, "--output", "out", *more]


def test_context_against_own_pixels(place: Path, command: Callable[..., Any]) -> None:
    done = command(*options(place, "--names", "by [red]context", "own"))
    assert done.status == 0, done.err
    assert "by [red]context" in done.out
    assert "[bold]camel" in done.out
    assert "Context sensitivity of by [red]context: +100.00 points" in done.out
    content = json.loads(Path("out/counterfactual.json").read_text())
    assert content["format"] == "classaware-counterfactual"
    assert content["contrasts"][0]["difference"] == 1.0
    assert [group["effect"]["sensitivity"] for group in content["networks"]] == [1.0, 0.0]
    assert [source["name"] for source in content["sources"]] == ["by [red]context", "own"]
    assert content["dataset"]["init_args"]["root"].endswith("scenes")
    rows = list(csv.DictReader(Path("out/counterfactual.csv").read_text().splitlines()))
    assert len(rows) == 2 * 6
    assert Path("out/counterfactual.md").read_text().startswith("# Objects in other contexts")
    for name in ("counterfactual.png", "examples.png"):
        assert Image.open(Path("out") / name).width > 500
    assert done.out.splitlines()[-1] == "out/examples.png"
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(
        [*(f"counterfactual.{kind}" for kind in ("json", "md", "csv", "png", "svg")), "examples.png"]
    )


def test_the_same_again_and_another_seed(place: Path, command: Callable[..., Any]) -> None:
    assert command(*options(place)).status == 0
    first = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert command(*options(place)).status == 0
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == first
    assert command(*options(place, "--seed", "1", "--objects", "4")).status == 0
    rows = list(csv.DictReader(Path("out/counterfactual.csv").read_text().splitlines()))
    assert len(rows) == 2 * 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--classes", "horse"], "'horse' does not exist"),
        (["--split", "val"], "split 'val'"),
        (["--objects", "0"], "objects=0"),
        (["--rare", "2"], "rare=2"),
        (["--train_split", "nothing"], "split 'nothing'"),
        (["--output", "scenes/classes.txt"], "choose another place"),
    ],
)
def test_bad_input_is_one_line(place: Path, command: Callable[..., Any], more: list[str], message: str) -> None:
    done = command(*options(place, *more))
    assert done.status == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("out/counterfactual.json").exists()


def checkpoint_trained_on(root: Path, folder: Path) -> Path:
    """A run with random weights whose card says that it learned from the scenes in ``root``."""
    backbone = {"name": "test_resnet", "pretrained": "no"}
    head = {"class_path": "classaware.models.FCNHead", "init_args": {"channels": 8}}
    dataset = {"class_path": "classaware.data.FolderDataset", "init_args": {"root": str(root.absolute())}}
    network = {"backbone": backbone, "head": head, "num_classes": 5}
    card = NetworkCard(network, list(NAMES), COLORS.tolist(), 255, None, dataset)
    state = {f"network.{name}": value for name, value in build_network(network).state_dict().items()}
    folder.mkdir()
    torch.save({"state_dict": state, "classaware": card.to_dict(), "global_step": 0}, folder / "last.ckpt")
    return folder


def test_networks_that_were_trained_on_other_data_are_named(
    place: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    here = checkpoint_trained_on(Path("scenes"), tmp_path / "here")
    shutil.copytree("scenes", "copy")
    there = checkpoint_trained_on(Path("copy"), tmp_path / "there")
    networks = ["--networks", str(here), "--against", str(there), f"{place}:Own", "--objects", "2", "--device", "cpu"]
    done = command("insight", "counterfactual", *networks, "--classes", "cow", "--output", "out")
    assert done.status == 0, done.err
    warning = "1 of the networks (there) were trained on other data"
    assert f"WARNING: {warning}" in done.out
    assert json.loads(Path("out/counterfactual.json").read_text())["warnings"][0].startswith(warning)
    assert f"**Warning.** {warning}" in Path("out/counterfactual.md").read_text()


def test_no_warning_of_networks_that_do_not_say(place: Path, command: Callable[..., Any]) -> None:
    done = command(*options(place, "--objects", "2"))
    assert "WARNING" not in done.out
    assert json.loads(Path("out/counterfactual.json").read_text())["warnings"] == []
