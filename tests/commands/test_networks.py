"""Networks as the command line names them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser

from classaware.commands.networks import open_networks
from classaware.commands.subjects import Opened, add_subject_arguments, open_subjects
from classaware.data import FolderDataset
from classaware.errors import InputError
from classaware.files import sha256
from classaware.training.card import load_network
from classaware.training.folder import NetworkFolder, write_folder

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 8, 3, 4, 1)
        self.classify = nn.Conv2d(8, classes, 1)

    def forward(self, images):
        return {"out": self.classify(self.body(images).relu())}

made = Net()
of_four = Net(4)

class Failing(Net):
    def forward(self, images):
        return self.classify(images)

def broken():
    raise ValueError("no weights here")

def number():
    return 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a Python module in the current folder."""
    name = f"others_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


def opened(*arguments: str, against: bool = False, features: bool = True) -> Opened:
    parser = ArgumentParser(exit_on_error=False)
    add_subject_arguments(parser, against)
    return open_subjects(parser, parser.parse_args(list(arguments)), features)


def test_checkpoints_and_python_paths_side_by_side(car_run: Path, plain_run: Path, folder: Path, module: str) -> None:
    given = [str(car_run), str(plain_run / "best.ckpt"), f"{module}:made@body", f"{module}:Net@classify:input"]
    found = opened("--networks", *given)
    assert [each.name for each in found.subjects] == ["car", "plain", *given[2:]]
    assert isinstance(found.dataset, FolderDataset)
    assert found.dataset.root == folder
    assert found.sources[0]["path"] == str(car_run)
    assert len(found.sources[0]["sha256"]) == 64
    assert (found.sources[0]["step"], found.sources[0]["seed"]) == (4, 0)
    assert found.sources[2] == {"name": given[2], "path": given[2], "sha256": None, "step": None, "seed": None}
    image = torch.randint(0, 256, (3, 32, 40), dtype=torch.uint8)
    for each in found.subjects:
        assert not each.network.training
        assert each.look(image).logits_KHW.shape[0] == 3
        assert each.predict(image).shape == (32, 40)
    assert found.subjects[2].look(image).features_CHW.shape == (8, 8, 10)


def test_two_sides_and_names(car_run: Path, plain_run: Path) -> None:
    options = ["--networks", str(car_run), "--against", str(plain_run)]
    found = opened(*options, "--names", "with CAR", "baseline", against=True)
    assert [each.name for each in found.subjects + found.against] == ["with CAR", "baseline"]
    assert [source["name"] for source in found.sources] == ["with CAR", "baseline"]
    both = opened("--networks", str(car_run / "last.ckpt"), str(car_run / "best.ckpt"))
    assert [each.name for each in both.subjects] == [str(car_run / "last.ckpt"), str(car_run / "best.ckpt")]


def test_networks_without_a_layer_where_features_are_not_needed(car_run: Path, module: str) -> None:
    found = opened("--networks", str(car_run), f"{module}:made", features=False)
    image = torch.randint(0, 256, (3, 32, 40), dtype=torch.uint8)
    assert found.subjects[1].predict(image).shape == (32, 40)
    with pytest.raises(InputError, match=r"network '\w+:made' gives no features"):
        found.subjects[1].look(image)


def test_what_networks_were_trained_on(car_run: Path, folder: Path, module: str) -> None:
    found = opened("--networks", str(car_run), f"{module}:made@body", "--names", "ours", "theirs")
    assert found.trained_on == {"ours": found.arguments, "theirs": None}
    assert found.arguments["init_args"]["root"] == str(folder)


def test_a_file_is_read_once_for_its_provenance(car_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def count(path: Path) -> int:
        read.append(path)
        return 7

    monkeypatch.setattr("classaware.commands.networks.trained_steps", count)
    (named,), _, _ = open_networks([str(car_run)], None, None)
    assert named.provenance is named.provenance
    assert named.provenance["step"] == 7
    assert read == [car_run / "last.ckpt"]


def test_a_folder_for_a_hub_is_its_checkpoint(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path
) -> None:
    network, card = load_network(car_run / "last.ckpt")
    saved = tmp_path / "hub" / "saved"
    write_folder(saved, NetworkFolder(network.state_dict(), card.to_dict(), 4, None))
    data = ["--dataset", "FolderDataset", "--dataset.root", str(folder)]
    found = opened("--networks", str(saved), *data)
    assert [each.name for each in found.subjects] == ["saved"]
    assert found.sources[0]["step"] == 4
    assert found.sources[0]["sha256"] == sha256(saved / "model.safetensors")
    image = torch.randint(0, 256, (3, 48, 64), dtype=torch.uint8)
    theirs = opened("--networks", str(car_run)).subjects[0].look(image)
    assert all(map(torch.equal, found.subjects[0].look(image), theirs))


def test_an_exported_file_is_evaluated_and_has_no_features(
    command: Callable[..., Any], refused: Callable[..., str], car_run: Path, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "net.pt2"
    done = command("export", car_run / "last.ckpt", file, "--size", "[48,64]")  # that of the folder's images
    assert done.status == 0, done.err
    data = ["--dataset", "FolderDataset", "--dataset.root", folder]
    records = [tmp_path / "exported.json", tmp_path / "checkpoint.json"]
    for network, record in zip((file, car_run), records, strict=True):
        done = command("evaluate", network, *data, "--num_workers", "0", "--json", record)
        assert done.status == 0, done.err
    one, other = (json.loads(record.read_text()) for record in records)
    assert one["mean_iou"] == pytest.approx(other["mean_iou"], abs=1e-3)
    assert one["checkpoint"] == {"path": str(file), "sha256": sha256(file), "step": 4}
    words = f"{file} is an exported network, which has no features, and here they are needed: give the checkpoint"
    for action in (["dependency"], ["relation", folder / "images" / "test" / "0.png", "--at", "1,1"]):
        assert words in refused("insight", *action, "--networks", file, *data, "--output", tmp_path / "out")
    assert words in refused("explore", "--networks", car_run, file, "--output", tmp_path / "page.html")
    assert words in refused("report", car_run, file, "--output", tmp_path / "report")
    assert not (tmp_path / "report" / "report.html").exists()
    assert f"data set of {file} cannot be opened" in refused("evaluate", file)  # it names no place of ours


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("{module}:made", "has the form MODULE:ATTRIBUTE@LAYER"),
        ("{module}:made@", "has the form MODULE:ATTRIBUTE, or MODULE:ATTRIBUTE@LAYER"),
        (":made@body", "has the form MODULE:ATTRIBUTE, or MODULE:ATTRIBUTE@LAYER"),
        ("{module}:made@body+x", "behind the plus"),
        ("{module}:nothing@body", "AttributeError.*nothing"),
        ("no_such_module:made@body", "No module named 'no_such_module'"),
        ("{module}:broken@body", "ValueError: no weights here"),
        ("{module}:number@body", "number gives int, not a torch.nn.Module"),
        ("{module}:made@bodi", "no layer 'bodi'.*body"),
        ("nowhere/last.ckpt", "nowhere/last.ckpt does not exist"),
        ("word", "word does not exist"),
    ],
)
def test_networks_that_cannot_be_had(car_run: Path, module: str, network: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        opened("--networks", str(car_run), network.format(module=module))


def test_names_and_data_that_do_not_fit(car_run: Path, folder_of_five: Path, module: str) -> None:
    with pytest.raises(InputError, match="2 names for 1 networks"):
        opened("--networks", str(car_run), "--names", "a", "b")
    with pytest.raises(InputError, match="all different"):
        opened("--networks", str(car_run), f"{module}:made@body", "--names", "a", "a")
    with pytest.raises(InputError, match="is given twice"):
        opened("--networks", str(car_run), str(car_run))
    with pytest.raises(InputError, match="give --dataset"):
        opened("--networks", f"{module}:made@body")
    with pytest.raises(InputError, match="predicts 3 classes, the data set has 5"):
        opened("--networks", str(car_run), "--dataset", "FolderDataset", "--dataset.root", str(folder_of_five))


def test_networks_of_other_classes_are_not_mixed(car_run: Path, folder: Path, tmp_path: Path) -> None:
    content = torch.load(car_run / "last.ckpt", weights_only=True)
    content["classaware"]["class_names"] = ["sky", "sea", "car"]
    other = tmp_path / "other" / "last.ckpt"
    other.parent.mkdir()
    torch.save(content, other)
    with pytest.raises(InputError, match="number 1 is 'sea' and 'road'"):
        opened("--networks", str(car_run), str(other))
    data = ["--dataset", "FolderDataset", "--dataset.root", str(folder)]
    assert len(opened("--networks", str(car_run), str(other), *data).subjects) == 2


@pytest.mark.parametrize("layer", ["", "@body"])
def test_anybodys_network_is_evaluated(
    command: Callable[..., Any], refused: Callable[..., str], folder: Path, module: str, tmp_path: Path, layer: str
) -> None:
    data = ["--dataset", "FolderDataset", "--dataset.root", folder, "--num_workers", "0"]
    result = command("evaluate", f"{module}:made{layer}", *data, "--json", tmp_path / "test.json")
    assert result.status == 0, result.err
    record = json.loads((tmp_path / "test.json").read_text())
    assert record["checkpoint"] == {"path": f"{module}:made{layer}", "sha256": None, "step": None}
    assert record["training"] == {}
    assert len(record["per_image"]) == 3
    same = command("compare", tmp_path / "test.json", "--against", tmp_path / "test.json")
    assert same.status == 0, same.err
    assert "4 classes" not in refused("evaluate", f"{module}:made@bodi", *data)
    assert "with 3 classes they must be" in refused("evaluate", f"{module}:of_four{layer}", *data)
    error = refused("evaluate", f"{module}:Failing{layer}", *data)
    assert re.search(
        rf"network '{module}:Failing{layer}' fails on images of shape \(1, 3, 48, 64\): RuntimeError: ", error
    )
    assert "expected input" in error  # torch's own words
