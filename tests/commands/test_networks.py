"""Networks as the command line names them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser

from classaware.commands.networks import Opened, add_subject_arguments, open_subjects
from classaware.data import FolderDataset
from classaware.errors import InputError

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


def opened(*arguments: str, against: bool = False) -> Opened:
    parser = ArgumentParser(exit_on_error=False)
    add_subject_arguments(parser, against)
    return open_subjects(parser, parser.parse_args(list(arguments)))


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


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("{module}:made", "has the form MODULE:ATTRIBUTE@LAYER"),
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


def test_anybodys_network_is_evaluated(
    command: Callable[..., Any], refused: Callable[..., str], folder: Path, module: str, tmp_path: Path
) -> None:
    data = ["--dataset", "FolderDataset", "--dataset.root", folder, "--num_workers", "0"]
    result = command("evaluate", f"{module}:made@body", *data, "--json", tmp_path / "test.json")
    assert result.status == 0, result.err
    record = json.loads((tmp_path / "test.json").read_text())
    assert record["checkpoint"] == {"path": f"{module}:made@body", "sha256": None, "step": None}
    assert record["training"] == {}
    assert len(record["per_image"]) == 3
    same = command("compare", tmp_path / "test.json", "--against", tmp_path / "test.json")
    assert same.status == 0, same.err
    assert "4 classes" not in refused("evaluate", f"{module}:made@bodi", *data)
    assert "with 3 classes they must be" in refused("evaluate", f"{module}:of_four@body", *data)
