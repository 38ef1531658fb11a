"""``classaware fit --deterministic true``: equal bits, whatever reads the images."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from classaware.commands.main import main


def weights(output: Path) -> dict[str, Any]:
    return torch.load(output / "last.ckpt", weights_only=True)["state_dict"]


def equal(ours: Path, theirs: Path) -> bool:
    first, second = weights(ours), weights(theirs)
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def losses(output: Path) -> list[str]:
    (log,) = output.glob("logs*/metrics.csv")
    with log.open(newline="") as file:
        return [row["loss"] for row in csv.DictReader(file) if row.get("loss")]


@pytest.fixture(scope="module")
def runs(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of one seed; the last one in a Python of its own, which hashes otherwise."""
    folder = tmp_path_factory.mktemp("deterministic")
    common = [*options, "--network.car", "on", "--data.photometric", "true", "--deterministic", "true"]
    outputs = {name: folder / name for name in ("first", "again", "workers")}
    for name in ("first", "again"):
        assert main([*common, "--output", str(outputs[name])]) == 0
    subprocess.run(
        [sys.executable, "-m", "classaware", *common, "--data.num_workers", "2", "--output", str(outputs["workers"])],
        check=True,
        capture_output=True,
        # Threads divide sums: the demo's test, for one, leaves this process with another number of them.
        env=os.environ | {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    return outputs


def test_two_runs_are_bitwise_equal(runs: dict[str, Path]) -> None:
    assert equal(runs["first"], runs["again"])
    assert losses(runs["first"]) == losses(runs["again"])
    assert len(losses(runs["first"])) == 4


def test_the_number_of_workers_changes_no_bit(runs: dict[str, Path]) -> None:
    assert equal(runs["first"], runs["workers"])
    assert losses(runs["first"]) == losses(runs["workers"])


def test_what_bits_depend_on_is_recorded(runs: dict[str, Path], plain_run: Path) -> None:
    card = torch.load(runs["first"] / "last.ckpt", weights_only=True)["classaware"]
    arithmetic = card["training"]["arithmetic"]
    assert arithmetic["deterministic"] is True
    assert arithmetic["threads"] >= 1
    assert arithmetic["precision"] == "32-true"
    saved = yaml.safe_load((runs["first"] / "config.yaml").read_text())
    assert saved["deterministic"] is True
    assert saved["trainer"]["precision"] == "32-true"
    assert "deterministic" not in saved["trainer"]
    card = torch.load(plain_run / "last.ckpt", weights_only=True)["classaware"]
    assert card["training"]["arithmetic"]["deterministic"] is False


def test_deterministic_mode_ends_with_the_command(
    command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    assert command(*options, "--deterministic", "true", "--output", tmp_path / "run").status == 0
    assert not torch.are_deterministic_algorithms_enabled()


def test_measuring_and_determinism_exclude_each_other(
    refused: Callable[..., str], options: list[str], tmp_path: Path
) -> None:
    error = refused(*options, "--deterministic", "true", "--trainer.benchmark", "true", "--output", tmp_path / "run")
    assert "trainer.benchmark" in error
    assert not (tmp_path / "run").exists()


def test_half_precision_and_clipping_go_together(
    command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    """Lightning refuses to clip in front of a fused optimizer under mixed precision."""
    more = ["--trainer.precision", "bf16-mixed", "--trainer.gradient_clip_val", "1.0", "--network.car", "on"]
    result = command(*options, *more, "--output", tmp_path / "run")
    assert result.status == 0, result.err
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["optimizer_states"][0]["param_groups"][0]["fused"] is False
    assert state["classaware"]["training"]["arithmetic"]["precision"] == "bf16-mixed"


def test_help_names_the_default_precision(command: Callable[..., Any]) -> None:
    result = command("fit", "--help")
    assert "bf16-mixed on a CUDA device" in " ".join(result.out.split())
    assert "training.compile" in result.out
