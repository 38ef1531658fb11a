"""A tiny data set, a trained network, and the command line in this process."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image

from classaware.commands import fit
from classaware.commands.main import main

NAMES = ("sky", "road", "car", "person", "pole")


class Result(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Result]


def make_folder(root: Path, num_classes: int = 3) -> Path:
    """6 images to train on, 2 to choose on, 3 to test, 48x64, colored by class, with 255 in the first rows."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            label = np.kron(rng.integers(0, num_classes, (3, 4)), np.ones((16, 16))).astype(np.uint8)
            image = (label[..., None] * 50 + rng.integers(0, 50, (48, 64, 3))).astype(np.uint8)
            label[:4] = 255
            Image.fromarray(image).save(root / "images" / split / f"{i}.png")
            Image.fromarray(label).save(root / "masks" / split / f"{i}.png")
    (root / "classes.txt").write_text("\n".join(NAMES[:num_classes]) + "\n")
    return root


def fit_options(root: Path) -> list[str]:
    options = {
        "data.dataset": "FolderDataset",
        "data.dataset.root": str(root),
        "data.batch_size": "2",
        "data.num_workers": "0",
        "network.backbone.name": "test_resnet",
        "network.head": "FCNHead",
        "network.head.channels": "8",
        "trainer.max_steps": "4",
        "trainer.val_check_interval": "2",
        "trainer.log_every_n_steps": "1",
        "trainer.accelerator": "cpu",
    }
    return ["fit", *(part for name, value in options.items() for part in (f"--{name}", value))]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "folder")


@pytest.fixture(scope="session")
def folder_of_five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "five", num_classes=5)


@pytest.fixture(scope="session")
def options(folder: Path) -> list[str]:
    """``fit`` on the folder: 4 steps, validation after 2 and 4."""
    return fit_options(folder)


class KeepAll(fit.SaveLast):
    """Keeps a copy of ``last.ckpt`` for every step at which it was written."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if not trainer.sanity_checking:
            shutil.copy(self.path, self.path.with_name(f"step{trainer.global_step}.ckpt"))


@pytest.fixture
def keep_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs keep ``stepN.ckpt`` of every validation."""
    monkeypatch.setattr(fit, "SaveLast", KeepAll)


@pytest.fixture(scope="session")
def car_run(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a run with CAR; only to be read."""
    output = tmp_path_factory.mktemp("runs") / "car"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "SaveLast", KeepAll)
        assert main([*options, "--network.car", "on", "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="session")
def plain_run(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of the same run without CAR; only to be read."""
    output = tmp_path_factory.mktemp("runs") / "plain"
    assert main([*options, "--output", str(output)]) == 0
    return output


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``classaware ...`` in this process; the result has its status and what it printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: Any) -> Result:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        return Result(status, *capfd.readouterr())

    return call


@pytest.fixture
def refused(command: Command) -> Callable[..., str]:
    """Run a command that must fail with one line on the error stream; returns that line."""

    def call(*arguments: Any) -> str:
        result = command(*arguments)
        assert result.status == 2, result
        assert len(result.err.splitlines()) == 1, result.err
        assert "error: " in result.err
        assert "Traceback" not in result.out + result.err
        return result.err

    return call
