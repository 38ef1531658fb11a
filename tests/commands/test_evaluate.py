"""``classaware evaluate`` against a loop over pixels, and the checkpoints that no command takes."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from classaware.training import load_network


def counted(checkpoint: Path, folder: Path) -> tuple[list[list[int]], int]:
    """Confusion [truth][guess] of the network as it was trained, and how many pixels were close calls."""
    network, _ = load_network(checkpoint)
    confusion, close = [[0] * 3 for _ in range(3)], 0
    for path in sorted((folder / "images" / "test").iterdir()):
        image = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None].float() / 255
        truth = np.array(Image.open(folder / "masks" / "test" / path.name))
        with torch.no_grad():
            logits = network(image).logits.double()
        full = F.interpolate(logits, truth.shape, mode="bilinear", align_corners=True)[0]
        first, second = full.topk(2, dim=0).values
        close += int(((first - second) < 1e-5).sum())
        for row, guesses in zip(truth.tolist(), full.argmax(0).tolist(), strict=True):
            for label, guess in zip(row, guesses, strict=True):
                if label != 255:
                    confusion[label][guess] += 1
    return confusion, close


@pytest.mark.parametrize("run", ["car_run", "plain_run"])
def test_numbers_equal_a_loop_over_pixels_of_the_unfolded_network(
    command: Callable[..., Any], run: str, folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    checkpoint = request.getfixturevalue(run) / "last.ckpt"
    result = command("evaluate", checkpoint, "--json", tmp_path / "x" / "scores.json", "--num_workers", 0)
    assert (result.status, result.err) == (0, "")
    numbers = json.loads((tmp_path / "x" / "scores.json").read_text())
    confusion, close = counted(checkpoint, folder)
    assert close < 10
    iou = []
    for label, row in enumerate(numbers["classes"]):
        right, truth = confusion[label][label], sum(confusion[label])
        union = truth + sum(line[label] for line in confusion) - right
        iou.append(right / union)
        assert row["name"] == ["sky", "road", "car"][label]
        assert row["pixels"] == truth
        assert row["iou"] == pytest.approx(right / union, abs=2 * close / union + 1e-12)
        assert row["accuracy"] == pytest.approx(right / truth, abs=2 * close / truth + 1e-12)
    total = sum(map(sum, confusion))
    assert numbers["mean_iou"] == pytest.approx(sum(iou) / 3, abs=close / 100 + 1e-12)
    right = sum(confusion[label][label] for label in range(3))
    assert numbers["pixel_accuracy"] == pytest.approx(right / total, abs=close / total + 1e-12)
    assert (numbers["data"]["split"], numbers["data"]["images"]) == ("test", 3)
    assert f"mIoU {100 * numbers['mean_iou']:.2f}" in result.out


def test_batches_and_other_sizes(command: Callable[..., Any], car_run: Path, tmp_path: Path) -> None:
    numbers = []
    for i, more in enumerate(([], ["--batch_size", 3], ["--image_size", "[24,32]"])):
        path = tmp_path / f"{i}.json"
        options = ["--num_workers", 0, "--split", "val", "--json", path]
        assert command("evaluate", car_run / "best.ckpt", *options, *more).status == 0
        numbers.append(json.loads(path.read_text()))
    assert [n["mean_iou"] for n in numbers[:2]] == pytest.approx([numbers[0]["mean_iou"]] * 2, abs=0.01)
    assert numbers[2]["inference"]["image_size"] == [24, 32]
    pixels = [[row["pixels"] for row in n["classes"]] for n in numbers]
    assert pixels[0] == pixels[1] == pixels[2]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--split", "nowhere"], "train, val"),
        (["--num_workers", "-1"], "num_workers=-1"),
        (["--num_workers", "abc"], "num_workers"),
        (["--batch_size", "0"], "batch_size=0"),
        (["--image_size", "[0,5]"], "image_size=[0, 5]"),
        (["--image_size", "[1,2,3]"], "image_size"),
        (["--pad_size", "[5]"], "pad_size"),
        (["--window", "[9,9]", "--stride", "[9,10]"], "stride=[9, 10]"),
        (["--stride", "[9,9]"], "stride=[9, 9] needs a window"),
        (["--scales", "[]"], "scales=()"),
        (["--scales", "[1,-1]"], "scales=[1.0, -1.0]"),
        (["--average", "labels"], "average"),
        (["--flip", "perhaps"], "flip"),
        (["--boundary", "perhaps"], "boundary"),
        (["--device", "abacus"], "'abacus'"),
        (["--dataset", "Nope"], "Nope"),
        (["--dataset", "FolderDataset"], "root"),
        (["--dataset", "FolderDataset", "--dataset.root", "nowhere"], "data folder nowhere"),
        (["--no_such_option", "1"], "--no_such_option"),
        (["stray"], "stray"),
    ],
)
def test_what_cannot_be_evaluated_is_named(
    refused: Callable[..., str], car_run: Path, more: list[str], named: str
) -> None:
    error = refused("evaluate", car_run / "last.ckpt", "--num_workers", 0, *more)
    assert error.startswith("classaware evaluate: error: ")
    assert named in error


def test_a_data_set_with_other_classes_is_refused(
    refused: Callable[..., str], car_run: Path, folder_of_five: Path
) -> None:
    error = refused("evaluate", car_run / "last.ckpt", "--dataset", "FolderDataset", "--dataset.root", folder_of_five)
    assert "3 classes" in error
    assert "has 5" in error


def test_a_data_set_that_moved_away_is_named(refused: Callable[..., str], car_run: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(car_run / "last.ckpt", weights_only=True)
    checkpoint["classaware"]["dataset"]["init_args"]["root"] = str(tmp_path / "away")
    torch.save(checkpoint, tmp_path / "moved.ckpt")
    assert str(tmp_path / "away") in refused("evaluate", tmp_path / "moved.ckpt")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named_from_whichever_process_read_it(
    refused: Callable[..., str], car_run: Path, folder: Path, tmp_path: Path, workers: int
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    damaged = tmp_path / "data" / "images" / "test" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    options = ["--dataset", "FolderDataset", "--dataset.root", tmp_path / "data", "--num_workers", workers]
    error = refused("evaluate", car_run / "last.ckpt", *options)
    assert error.startswith(f"classaware evaluate: error: {damaged} ")


def spoiled(kind: str, good: Path, folder: Path) -> Path:
    """A file that is no usable checkpoint."""
    path = folder / f"{kind}.ckpt"
    content = torch.load(good, weights_only=True)
    if kind == "truncated":
        path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "foreign":
        torch.save({"state_dict": {}}, path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "card_alone":
        torch.save({"classaware": content["classaware"]}, path)
    elif kind == "card_of_another_version":
        torch.save(content | {"classaware": {"net": 1}}, path)
    elif kind == "strange_network":
        content["classaware"]["network"]["wheels"] = 4
        torch.save(content, path)
    elif kind == "other_weights":
        content["classaware"]["network"]["head"]["init_args"]["channels"] = 4
        torch.save(content, path)
    return path


SPOILED = [
    "missing",
    "truncated",
    "empty",
    "foreign",
    "tensor",
    "card_alone",
    "card_of_another_version",
    "strange_network",
    "other_weights",
]


@pytest.mark.parametrize("kind", SPOILED)
def test_unusable_checkpoints_are_named_by_every_command(
    refused: Callable[..., str], options: list[str], car_run: Path, folder: Path, tmp_path: Path, kind: str
) -> None:
    path = spoiled(kind, car_run / "last.ckpt", tmp_path)
    resume = [*options, "--network.car", "on", "--trainer.max_steps", "8", "--ckpt_path", path]
    assert str(path) in refused(*resume, "--output", tmp_path / "run")
    assert str(path) in refused("evaluate", path)
    assert str(path) in refused("predict", path, folder / "images" / "test", "--output", tmp_path / "p")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "p").exists()


def test_a_checkpoint_without_a_state_of_training_can_be_evaluated_but_not_resumed(
    command: Callable[..., Any], refused: Callable[..., str], options: list[str], car_run: Path, tmp_path: Path
) -> None:
    content = torch.load(car_run / "last.ckpt", weights_only=True)
    torch.save({name: content[name] for name in ("classaware", "state_dict")}, tmp_path / "light.ckpt")
    assert command("evaluate", tmp_path / "light.ckpt", "--num_workers", 0).status == 0
    resume = [*options, "--network.car", "on", "--trainer.max_steps", "8", "--ckpt_path", tmp_path / "light.ckpt"]
    assert "optimizer_states" in refused(*resume, "--output", tmp_path / "run")


def test_places_for_the_results_are_tried_before_the_work(
    command: Callable[..., Any], car_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*arguments: Any) -> None:
        raise AssertionError("the evaluation began")

    monkeypatch.setattr("classaware.commands.evaluate.evaluate", work)
    (tmp_path / "file").write_text("")
    both = tmp_path / "both.json"
    for more in (["--json", tmp_path], ["--csv", tmp_path / "file/x.csv"], ["--json", both, "--csv", both]):
        result = command("evaluate", car_run / "last.ckpt", "--num_workers", 0, *more)
        assert result.status == 2
        assert str(more[1]) in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_record_of_an_unlimited_setting(command: Callable[..., Any], car_run: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(car_run / "last.ckpt", weights_only=True)
    checkpoint["classaware"]["training"]["configuration"]["trainer"]["gradient_clip_val"] = math.inf
    torch.save(checkpoint, tmp_path / "a.ckpt")
    result = command("evaluate", tmp_path / "a.ckpt", "--num_workers", 0, "--json", tmp_path / "a.json")
    assert result.status == 0, result.err
    training = json.loads((tmp_path / "a.json").read_text())["training"]
    assert training["configuration"]["trainer"]["gradient_clip_val"] == "inf"
