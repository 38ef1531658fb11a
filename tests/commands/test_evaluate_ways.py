"""``classaware evaluate`` in all ways of inference, by several processes, and what it writes."""

import csv
import json
import math
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from classaware.data import FolderDataset
from classaware.evaluation.description import describe
from classaware.evaluation.inference import Inference
from classaware.evaluation.record import read_record
from classaware.training.card import load_network

MULTI = ["--window", "[33,33]", "--scales", "[0.5,1.0,1.5]", "--flip", "true", "--average", "probabilities"]


def errors(checkpoint: Path, folder: Path, way: Inference) -> int:
    """Wrong pixels of the split, without anything of the command."""
    network, _ = load_network(checkpoint)
    dataset, wrong = FolderDataset(folder), 0
    for sample in dataset.samples("test"):
        image, label = dataset.read(sample)
        prediction = way.predict(network.fold(), image.as_subclass(torch.Tensor)[None], (48, 64))[0]
        wrong += int(((prediction != label) & (label != 255)).sum())
    return wrong


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ([], Inference()),
        (["--pad_size", "[65,65]"], Inference(pad_size=(65, 65))),
        (["--window", "[33,33]", "--stride", "[7,20]"], Inference(window=(33, 33), stride=(7, 20))),
        (MULTI, Inference(window=(33, 33), scales=(0.5, 1.0, 1.5), flip=True, average="probabilities")),
    ],
)
def test_options_are_inferences_arguments(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path, given: list[str], way: Inference
) -> None:
    checkpoint = car_run / "last.ckpt"
    result = command("evaluate", checkpoint, *given, "--json", tmp_path / "s.json", "--num_workers", 0)
    assert (result.status, result.err) == (0, "")
    record = read_record(tmp_path / "s.json")
    assert {name: record.inference[name] for name in way.arguments} == way.arguments
    assert record.inference["scale"] == ("multi" if len(way.scales) > 1 else "single")
    assert int(record.confusion.sum() - record.confusion.trace()) == errors(checkpoint, folder, way)
    assert describe(record) in result.out


def with_card(checkpoint: Path, path: Path, **entries: Any) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    content["classaware"] |= entries
    torch.save(content, path)
    return path


def test_the_runs_own_way_is_the_default(command: Callable[..., Any], car_run: Path, tmp_path: Path) -> None:
    own = {"window": [33, 33], "stride": [5, 6], "flip": True, "scales": [1.0]}
    checkpoint = with_card(car_run / "last.ckpt", tmp_path / "own.ckpt", inference=own, image_size=[40, 50])
    ways = []
    for given in ([], ["--window", "[48,48]"], ["--window", "null", "--flip", "false", "--image_size", "null"]):
        options = ["--json", tmp_path / "s.json", "--num_workers", 0, *given]
        assert command("evaluate", checkpoint, *options).status == 0
        ways.append(json.loads((tmp_path / "s.json").read_text())["inference"])
    found = [[way[name] for name in ("image_size", "window", "stride", "flip")] for way in ways]
    assert found == [
        [[40, 50], [33, 33], [5, 6], True],
        [[40, 50], [48, 48], [32, 32], True],
        [None, None, None, False],
    ]


def test_a_way_of_another_version_is_named(refused: Callable[..., str], car_run: Path, tmp_path: Path) -> None:
    checkpoint = with_card(car_run / "last.ckpt", tmp_path / "new.ckpt", inference={"rotate": True})
    assert "validated with rotate" in refused("evaluate", checkpoint, "--num_workers", 0)


def test_a_checkpoint_from_before_ways_were_written_is_evaluated(
    command: Callable[..., Any], car_run: Path, tmp_path: Path
) -> None:
    content = torch.load(car_run / "last.ckpt", weights_only=True)
    for name in ("inference", "training"):
        content["classaware"].pop(name, None)
    torch.save(content, tmp_path / "old.ckpt")
    assert command("evaluate", tmp_path / "old.ckpt", "--num_workers", 0).status == 0


def test_the_record_says_where_it_comes_from(
    command: Callable[..., Any], car_run: Path, folder: Path, tmp_path: Path
) -> None:
    checkpoint, path = car_run / "last.ckpt", tmp_path / "deep" / "s.json"
    given = ["--dataset", "FolderDataset", "--dataset.root", folder]
    for more in ([], given):
        assert command("evaluate", checkpoint, "--json", path, "--num_workers", 0, *more).status == 0
        record = read_record(path)
        assert record.data["dataset"]["class_path"].endswith("FolderDataset")
        assert record.data["dataset"]["init_args"]["root"] == str(folder)
    assert record.names == ("0", "1", "2")
    assert record.data["ignored_share"] == 4 / 48
    assert (record.data["published_images"], record.data["manifest"]) == (None, None)
    assert (record.checkpoint["step"], len(record.checkpoint["sha256"])) == (4, 64)
    assert record.training["configuration"]["network"]["head"]["class_path"].endswith("FCNHead")
    assert record.boundary is not None
    assert record.boundary.sum() > 0
    assert record.device
    assert torch.__version__.startswith(record.versions["torch"])


def test_csv_and_leaving_boundaries_out(command: Callable[..., Any], car_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    options = ["--csv", path, "--boundary", "false", "--num_workers", 0]
    result = command("evaluate", car_run / "last.ckpt", *options)
    assert "boundary" not in result.out
    with path.open(newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert {"sky", "road", "car", "mean"} <= set(rows)
    assert rows["mean"]["boundary_iou"] == ""
    known = [float(rows[name]["iou"]) for name in ("sky", "road", "car") if rows[name]["iou"]]
    assert float(rows["mean"]["iou"]) == pytest.approx(math.fsum(known) / len(known))


def test_nothing_is_written_where_nothing_can_be(refused: Callable[..., str], car_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused("evaluate", car_run / "last.ckpt", "--num_workers", 0, "--json", tmp_path / "file" / "s.json")
    assert str(tmp_path / "file" / "s.json") in error


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200", **more}


def test_torchrun_gives_the_record_of_one_process(command: Callable[..., Any], car_run: Path, tmp_path: Path) -> None:
    given = ["evaluate", str(car_run / "last.ckpt"), "--num_workers", "0", *MULTI, "--json"]
    assert command(*given, tmp_path / "1.json").status == 0
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "classaware"]
    result = subprocess.run(
        [*start, *given, str(tmp_path / "2.json")],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("mIoU") == 1
    assert result.stdout.count(str(tmp_path / "2.json")) == 1
    contents = [json.loads((tmp_path / f"{i}.json").read_text()) for i in (1, 2)]
    for content in contents:
        del content["date"]
    assert contents[0] == contents[1]


def test_an_error_of_several_processes_is_one_line(car_run: Path, folder: Path, tmp_path: Path) -> None:
    """The second process reads the image that is damaged; the first says so."""
    shutil.copytree(folder, tmp_path / "data")
    damaged = tmp_path / "data" / "images" / "test" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    options = ["--dataset", "FolderDataset", "--dataset.root", str(tmp_path / "data"), "--num_workers", "0"]
    command = [sys.executable, "-m", "classaware", "evaluate", str(car_run / "last.ckpt"), *options]
    started = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(RANK=rank, **address)
        )
        for rank in ("0", "1")
    ]
    errors = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [2, 2]
    ours = [[line for line in text.splitlines() if "error" in line] for text in errors]
    assert [len(lines) for lines in ours] == [1, 0], errors
    assert ours[0][0].startswith(f"classaware evaluate: error: {damaged} ")
    assert "Traceback" not in "".join(errors)
