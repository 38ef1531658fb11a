"""The benchmarks run from the command line on tiny sizes, and what they measure with is right."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import pytest
import torch

from classaware.errors import InputError

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
CPU = torch.device("cpu")
MIB = 2**20


def rows_of(name: str, output: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run a benchmark as a user does; every row names the machine and has the times that its number comes from."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--device=cpu", "--threads=1", f"--json={output}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(output.read_text())
    for row in rows:
        assert row["device"] == "cpu"
        assert row["threads"] == 1
        assert row["torch"] == torch.__version__
        assert len(row["times"]) == row["rounds"]
        assert row["seconds"] == median(row["times"]) > 0
    return rows


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return __import__(name)


def test_regularizer(tmp_path: Path) -> None:
    arguments = ["--pixels", "2x9", "--channels", "16", "--classes", "70", "--layouts", "NHWC", "--rounds=3"]
    rows = rows_of("regularizer", tmp_path / "rows.json", *arguments)
    contenders = ["fused", "reference", "compiled", "contrast", "fused, K=59", "four copies"]
    assert [row["contender"] for row in rows] == contenders
    for row in rows:
        assert (row["pixels"], row["layout"], row["features_bytes"]) == (162, "NHWC", 162 * 16 * 4)
        fused = rows[0]
        of_rounds = [mine / its for mine, its in zip(row["times"], fused["times"], strict=True)]
        assert row["over_fused"] == median(of_rounds)
        if row["contender"] == "fused":
            assert row["gradient_difference"] < 1e-5
        if row["contender"] == "reference":
            assert row["extra_memory"] > 1


def test_step(tmp_path: Path) -> None:
    rows = rows_of("step", tmp_path / "rows.json", "--backbone=resnet18", "--size=33", "--rounds=1")
    named = {(row["kind"], row["contender"]): row for row in rows}
    trained = ("baseline", "with A", "CAR with A", "CAR's part by itself")
    assert [name for kind, name in named if kind == "training"] == list(trained)
    assert named["training", "baseline"]["peak_bytes"] > named["training", "with A"]["peak_bytes"]
    gmacs = {name: row["gmacs"] for (kind, name), row in named.items() if kind == "inference"}
    assert gmacs["CAR with A, folded"] == gmacs["with A, folded"] == gmacs["with A"]
    # CAR's linear convolution on 5 x 5 positions.
    assert gmacs["CAR with A"] - gmacs["with A"] == pytest.approx(25 * 512 * 512 / 1e9)


def test_throughput(tmp_path: Path) -> None:
    arguments = ["--networks=fcn", "--precisions=fp32", "--size=32", "--rounds=1"]
    ours, theirs = rows_of("throughput", tmp_path / "rows.json", *arguments)
    assert (ours["library"], theirs["library"]) == ("classaware", "torchvision")
    assert ours["parameters"] == theirs["parameters"]
    assert theirs["ours_over_its"] == theirs["times"][0] / ours["times"][0]
    assert ours["images_per_second"] == 2 / ours["seconds"]


def test_throughput_compares_equal_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    throughput = module("throughput", monkeypatch)
    kernels = {}
    for library in ("classaware", "torchvision"):
        with torch.device("meta"):
            network = throughput.NETWORKS["deeplabv3"][library]()
        kernels[library] = sorted(tuple(p.shape) for p in network.parameters())
    assert kernels["classaware"] == kernels["torchvision"]


def test_throughput_names_what_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    throughput = module("throughput", monkeypatch)
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    factories = throughput.NETWORKS["upernet-256"] | {"classaware": torch.nn.Identity}
    assert list(throughput.make_networks(factories)) == ["classaware"]
    assert "skipped: smp" in capsys.readouterr().out


def test_scaling(tmp_path: Path) -> None:
    rows = rows_of("scaling", tmp_path / "rows.json", "--side=5", "--channels=8", "--processes=2", "--rounds=2")
    assert [row["classes"] for row in rows if row["what"] == "growth over K"] == [21, 59, 171, 847]
    assert [row["pixels"] for row in rows if row["what"] == "growth over P"] == [25, 50, 100, 200, 400]
    (two,) = (row for row in rows if row["what"] == "processes")
    assert two["processes"] == 2
    # Sums and counts of every class, and a few scalars.
    assert 59 * (8 + 1) * 4 <= two["bytes"] <= 59 * (8 + 1) * 4 + 256


def test_slope_of_a_power(monkeypatch: pytest.MonkeyPatch) -> None:
    scaling = module("scaling", monkeypatch)
    assert scaling.slope([1, 2, 8], [3 * n**0.5 for n in (1, 2, 8)]) == pytest.approx(0.5)


def test_collectives_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    scaling = module("scaling", monkeypatch)
    reached = []
    monkeypatch.setattr(scaling.dist, "all_reduce", lambda tensor, group=None: reached.append(tensor))
    with scaling.counted() as calls:
        scaling.dist.all_reduce(torch.zeros(5), group=None)
        scaling.dist.all_reduce(tensor=torch.zeros(3, dtype=torch.float64))
    scaling.dist.all_reduce(torch.zeros(7))
    assert calls == [20, 24]
    assert [len(tensor) for tensor in reached] == [5, 3, 7]


def test_peak_of_known_allocations(monkeypatch: pytest.MonkeyPatch) -> None:
    measuring = module("measuring", monkeypatch)
    x = torch.zeros(MIB // 4)

    def two_at_a_time() -> None:
        a = x + 1
        b = a + 1
        del a
        _ = b + 1

    def in_an_operator() -> None:  # sorts values and indices; the latter are twice as large
        x.sort()

    assert measuring.peak_bytes(two_at_a_time, CPU) == pytest.approx(2 * MIB, abs=1024)
    assert measuring.peak_bytes(lambda: x.add_(1), CPU) < 1024
    assert measuring.peak_bytes(in_an_operator, CPU) >= 3 * MIB
    assert measuring.peak_bytes(lambda: [x + i for i in range(5)], CPU) == pytest.approx(5 * MIB, abs=1024)


def test_memory_beyond_features_and_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    regularizer = module("regularizer", monkeypatch)
    x = torch.ones(2, 4, 64, 64, requires_grad=True)

    class Squares(torch.nn.Module):  # keeps a product of the features' size for backward
        def forward(self, x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return ((x * 2) ** 2).sum()

    step = regularizer.Step(Squares(), [x], torch.zeros(0))
    extra = regularizer.extra_memory(step, CPU) / x.nbytes
    assert 1.99 < extra < 4.01
    assert x.grad is None
    torch.testing.assert_close(step.gradient(), 8 * x.detach())


def test_contenders_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    measuring = module("measuring", monkeypatch)
    order: list[str] = []
    times = measuring.interleaved({name: lambda name=name: order.append(name) for name in "ABC"}, CPU, 2)
    assert "".join(order) == "ABCABC"
    assert {name: len(values) for name, values in times.items()} == {"A": 2, "B": 2, "C": 2}
    assert measuring.ratio([1, 6, 3], [1, 2, 1]) == 3
    assert measuring.spread([1, 2, 3, 4, 5]) == pytest.approx(2 / 3)


def test_labels_of_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    measuring = module("measuring", monkeypatch)
    torch.manual_seed(0)
    scenes, dense = (draw(3, 65, 847, -1) for draw in (measuring.scene_labels, measuring.dense_labels))
    assert all(10 <= len(image.unique()) <= 16 for image in scenes)
    assert all(len(image.unique()) > 800 for image in dense)
    for labels in (scenes, dense):
        assert labels.shape == (3, 65, 65)
        assert labels.min() == -1
        assert labels.max() < 847
        assert 0.02 < (labels == -1).float().mean() < 0.04


def test_goals(monkeypatch: pytest.MonkeyPatch) -> None:
    measuring = module("measuring", monkeypatch)
    assert measuring.verdict(4.0, 4, True) == "4.00 (>= 4: yes)"
    assert measuring.verdict(1.04, 1.03, False, 3) == "1.040 (<= 1.03: NO)"


def test_table_shows_every_column(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    measuring = module("measuring", monkeypatch)
    columns = {f"column {i}": measuring.number(f"key{i}", ".1f") for i in range(20)}
    measuring.show("title", columns, [{f"key{i}": 100.0 + i for i in range(19)}])
    printed = capsys.readouterr().out
    assert all(f"column {i} " in printed and f"{100 + i}.0" in printed for i in range(19))
    assert "column 19" not in printed


def test_a_place_for_the_rows_is_looked_for_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measuring = module("measuring", monkeypatch)
    with pytest.raises(InputError, match="cannot write"):
        measuring.parse(argparse.ArgumentParser(), [f"--json={tmp_path}"])
