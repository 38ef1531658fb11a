"""``classaware fit`` in two processes against one with the joint batch."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

STEPS = 10
SIZES = {"size": 32, "train": 20, "val": 5, "test": 1}  # validation in shares of 3 and 2


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """CAR on biased scenes in float64: rounding in another order would soon be another curve.

    Twenty batches in ten steps, clipped, with shares of every kind: sums, norms, running centers, rare pairs, and
    validation.
    """
    values = {f"data.dataset.{name}": value for name, value in SIZES.items()} | {
        "data.dataset.root": tmp_path / "scenes",
        "data.image_size": "[32,32]",
        "data.eval_batch_size": 1,
        "network.head.channels": 16,
        "regularizer.centers": "ema",
        "training.warmup_steps": 0,
        "trainer.accelerator": "cpu",
        "trainer.precision": "64-true",
        "trainer.max_steps": STEPS,
        "trainer.val_check_interval": STEPS // 2,
        "trainer.log_every_n_steps": 1,
        "trainer.accumulate_grad_batches": 2,
        "trainer.gradient_clip_val": 1,
    }
    recipes = ["--config=biased-scenes", "--config=car", "--config=rare-pairs"]
    return [*recipes, *(f"--{name}={value}" for name, value in values.items())]


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = ("-m", "classaware", "fit", *arguments)
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=240, env=environment, check=False
    )


def curves(output: Path) -> dict[str, list[float]]:
    with (output / "logs" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def weights(output: Path) -> dict[str, Any]:
    return torch.load(output / "last.ckpt", weights_only=True)["state_dict"]


def test_two_processes_train_what_one_trains_on_the_joint_batch(
    command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    joint, shared = tmp_path / "joint", tmp_path / "shared"
    assert command("fit", *options, "--data.batch_size=4", f"--output={joint}").status == 0
    result = torchrun(*options, "--data.batch_size=2", f"--output={shared}")
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count(str(shared / "last.ckpt")) == 1
    expected = curves(joint)
    assert {"loss", "train/ce", "train/intra_c2p", "train/inter_c2c", "train/inter_c2p"} <= set(expected)
    assert [len(expected[name]) for name in ("loss", "val/miou")] == [STEPS, 2]
    assert len(set(expected["loss"])) == STEPS
    assert curves(shared) == {name: pytest.approx(values, rel=1e-5) for name, values in expected.items()}
    found = weights(shared)
    for name, value in weights(joint).items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")
