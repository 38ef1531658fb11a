"""``classaware weights`` and what takes its files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from classaware.training import load_network
from classaware.training.folder import portable, without_places


@pytest.fixture(scope="module")
def released(car_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from classaware.commands.main import main

    path = tmp_path_factory.mktemp("weights") / "of" / "car.safetensors"
    assert main(["weights", str(car_run / "best.ckpt"), str(path)]) == 0
    return path


def test_it_holds_the_network_alone_and_its_card(released: Path, car_run: Path, folder: Path) -> None:
    checkpoint = torch.load(car_run / "best.ckpt", weights_only=True)
    state = {n.removeprefix("network."): v for n, v in checkpoint["state_dict"].items() if n.startswith("network.")}
    weights = load_file(released)
    assert weights.keys() == state.keys()
    assert all(torch.equal(value, state[name]) and value.dtype == state[name].dtype for name, value in weights.items())
    with safe_open(released, "pt") as file:
        metadata = file.metadata()
    expected = {"card": portable(checkpoint["classaware"]), "step": checkpoint["global_step"]}
    assert json.loads(metadata["classaware"]) == json.loads(json.dumps(expected))
    assert str(folder) in json.dumps(checkpoint["classaware"])
    assert str(folder.parent) not in metadata["classaware"]
    assert released.stat().st_size < (car_run / "best.ckpt").stat().st_size
    assert [path.name for path in released.parent.iterdir()] == [released.name]


def test_the_network_is_the_same(released: Path, car_run: Path) -> None:
    ours, card = load_network(released)
    theirs, their_card = load_network(car_run / "best.ckpt")
    assert json.dumps(card.to_dict()) == json.dumps(portable(their_card.to_dict()))
    assert not ours.training
    images = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(ours(images).logits, theirs(images).logits)


def test_evaluate_and_predict_take_it(
    command: Callable[..., Any], released: Path, car_run: Path, folder: Path, tmp_path: Path
) -> None:
    records = []
    for name, path in (("weights", released), ("checkpoint", car_run / "best.ckpt")):
        more = ["--num_workers", 0, "--device", "cpu", "--json", tmp_path / name]
        result = command("evaluate", path, "--dataset", "FolderDataset", "--dataset.root", folder, *more)
        assert result.status == 0, result.err
        records.append(json.loads((tmp_path / name).read_text()))
        out = tmp_path / "masks" / name
        result = command("predict", path, folder / "images" / "test", "--device", "cpu", "--output", out)
        assert (result.status, result.err) == (0, "")
    ours, theirs = records
    assert ours["checkpoint"]["step"] == theirs["checkpoint"]["step"]
    assert ours["checkpoint"]["path"] == str(released)
    theirs["training"] = without_places(theirs["training"])
    apart = ("checkpoint", "date")
    assert {k: v for k, v in ours.items() if k not in apart} == {k: v for k, v in theirs.items() if k not in apart}
    masks = sorted((tmp_path / "masks" / "weights").rglob("*.png"))
    assert len(masks) == 6
    for mask in masks:
        other = tmp_path / "masks" / "checkpoint" / mask.relative_to(tmp_path / "masks" / "weights")
        assert mask.read_bytes() == other.read_bytes()


def test_data_whose_place_it_does_not_say_are_asked_for(
    refused: Callable[..., str], released: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where something of that name happens to be in the working folder."""
    monkeypatch.chdir(folder.parent)
    assert Path(folder.name).is_dir()
    error = refused("evaluate", released, "--num_workers", 0, "--device", "cpu")
    assert "name it by --dataset" in error
    assert "machine of the training" in error


def test_an_empty_path_is_refused(refused: Callable[..., str], car_run: Path, tmp_path: Path) -> None:
    for given in (("", tmp_path / "a.safetensors"), (car_run / "best.ckpt", "")):
        assert "the path '' is empty" in refused("weights", *given)


def test_it_can_be_written_from_itself(command: Callable[..., Any], released: Path, tmp_path: Path) -> None:
    assert command("weights", released, tmp_path / "again.safetensors").status == 0
    again, first = load_file(tmp_path / "again.safetensors"), load_file(released)
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_a_file_is_replaced_only_when_told_so(
    command: Callable[..., Any], refused: Callable[..., str], released: Path, car_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "here.safetensors"
    path.write_bytes(b"mine")
    assert str(path) in refused("weights", car_run / "best.ckpt", path)
    assert path.read_bytes() == b"mine"
    assert command("weights", car_run / "best.ckpt", path, "--overwrite", "true").status == 0
    assert path.read_bytes() == released.read_bytes()


def test_what_is_no_such_file_is_named(
    refused: Callable[..., str], options: list[str], released: Path, car_run: Path, tmp_path: Path
) -> None:
    assert "must be named *.safetensors" in refused("weights", car_run / "best.ckpt", tmp_path / "a.pth")
    assert "does not exist" in refused("weights", tmp_path / "none.ckpt", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()

    content = released.read_bytes()
    for name, damaged in (
        ("short", content[: len(content) // 2]),
        ("longer", content + b"x"),
        ("header", b"\xff" * 8 + content[8:]),
        ("empty", b""),
    ):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(damaged)
        assert str(path) in refused("evaluate", path)

    shutil.copy(car_run / "best.ckpt", tmp_path / "renamed.safetensors")
    assert "renamed.safetensors cannot be read" in refused("evaluate", tmp_path / "renamed.safetensors")

    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert "classaware weights" in refused("evaluate", tmp_path / "other.safetensors")
    with safe_open(released, "pt") as file:
        save_file({"x": torch.zeros(1)}, tmp_path / "changed.safetensors", file.metadata())
    assert "its own card" in refused("evaluate", tmp_path / "changed.safetensors")

    error = refused(*options, "--ckpt_path", released, "--output", tmp_path / "run")
    assert "weights alone" in error
    assert not (tmp_path / "run").exists()
