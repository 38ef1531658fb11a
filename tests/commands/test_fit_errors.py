"""Everything that ``fit`` cannot use gives one line that names it, and leaves no output behind."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from classaware.commands import fit

CASES = [
    (["--trainer.max_steps", "abc"], "trainer.max_steps"),
    (["--trainer.max_steps", "0"], "trainer.max_steps"),
    (["--trainer.max_steps", "-1"], "trainer.max_steps"),
    (["--trainer.val_check_interval", "0"], "trainer.val_check_interval"),
    (["--trainer.log_every_n_steps", "0"], "trainer.log_every_n_steps"),
    (["--trainer.accumulate_grad_batches", "0"], "trainer.accumulate_grad_batches"),
    (["--trainer.precision", "12"], "trainer.precision"),
    (["--trainer.precision", "16-true"], "bf16-mixed"),
    (["--trainer.deterministic", "true"], "--deterministic"),
    (["--trainer.accelerator", "abacus"], "abacus"),
    (["--trainer.logger", "false"], "--trainer.logger"),
    (["--network.car", "maybe"], "network.car"),
    (["--network.head", "NoHead"], "NoHead"),
    (["--network.head.channels", "0"], "channels=0"),
    (["--network.backbone.name", "resnet999"], "resnet999"),
    (["--network.backbone.weights", "none.pth"], "none.pth"),
    (["--network.backbone.pretrained", "offline"], "test_resnet"),
    (["--regularizer.preset", "nope"], "regularizer.preset"),
    (["--regularizer.pool", "0"], "pool=0"),
    (["--training.optimizer", "adm"], "training.optimizer"),
    (["--training.lr", "-1"], "lr=-1.0"),
    (["--training.momentum", "2"], "momentum=2.0"),
    (["--training.power", "-1"], "power=-1.0"),
    (["--training.warmup_steps", "-5"], "warmup_steps=-5"),
    (["--data.dataset.root", "nowhere"], "nowhere"),
    (["--data.dataset", "Nope"], "Nope"),
    (["--data.num_workers", "-1"], "num_workers=-1"),
    (["--data.batch_size", "0"], "batch_size=0"),
    (["--data.crop_size", "[0,0]"], "crop_size=[0, 0]"),
    (["--data.image_size", "48"], "data.image_size"),
    (["--data.scales", "[0.0]"], "scales=[0.0]"),
    (["--data.train_split", "nix"], "'nix'"),
    (["--data.val_split", "nix"], "'nix'"),
    (["--ckpt_path", "none.ckpt"], "none.ckpt"),
    (["--config", "nofile.yaml"], "nofile.yaml"),
    (["--config"], "--config"),
    (["--seed", "-1"], "seed=-1"),
    (["--seed", "abc"], "seed"),
    (["--no_such_option", "1"], "--no_such_option"),
    (["--training.nope", "1"], "--training.nope"),
    (["stray"], "stray"),
]


@pytest.mark.parametrize(("more", "named"), CASES, ids=[" ".join(more) for more, _ in CASES])
def test_unusable_option(
    refused: Callable[..., str],
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused(*options, "--output", "run", *more)
    assert error.startswith("classaware fit: error: ")
    assert named in error
    assert not (tmp_path / "run").exists()


def test_unknown_configuration_lists_the_recipes(refused: Callable[..., str]) -> None:
    assert "biased-scenes, camvid, car" in refused("fit", "--config", "biassed-scenes")


def test_nothing_given_names_what_is_required(refused: Callable[..., str]) -> None:
    error = refused("fit")
    assert "data.dataset" in error
    assert "network.head" in error


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"network:\n  nope: 3\n", "nope"),
        (b"training:\n  lr: abc\n", "training.lr"),
        (b"training: [1\n", "x.yaml"),
        (b"", "x.yaml"),
        (b"hello\n", "x.yaml"),
        (b"\xff\xfe\x00\x01", "x.yaml"),
    ],
)
def test_unusable_configuration_file(
    refused: Callable[..., str], options: list[str], tmp_path: Path, content: bytes, named: str
) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    assert named in refused(*options, "--output", tmp_path / "run", "--config", tmp_path / "x.yaml")
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_made_is_named(
    refused: Callable[..., str], options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused(*options, "--output", tmp_path / "file" / "run")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_mask_is_named_from_whichever_process_read_it(
    refused: Callable[..., str], options: list[str], folder: Path, tmp_path: Path, workers: int
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    for damaged in (tmp_path / "data" / "masks" / "train").iterdir():
        damaged.write_bytes(damaged.read_bytes()[:60])
    changes = ["--data.dataset.root", tmp_path / "data", "--data.num_workers", workers, "--output", tmp_path / "run"]
    error = refused(*options, *changes)
    assert error.startswith(f"classaware fit: error: {tmp_path / 'data' / 'masks' / 'train'}")


def test_a_loss_that_is_no_number_stops_the_run(
    refused: Callable[..., str], options: list[str], tmp_path: Path
) -> None:
    error = refused(*options, "--training.lr", "1e30", "--output", tmp_path / "run")
    assert "the loss is" in error
    assert "training.lr" in error


@pytest.fixture
def interrupt_handler() -> Iterator[None]:
    """The trainer leaves SIGINT ignored after an interruption."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("interrupt_handler")
def test_an_interruption_ends_with_130(
    command: Callable[..., Any], options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(fit.SaveLast):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            super().on_validation_end(trainer, pl_module)
            if not trainer.sanity_checking:
                raise KeyboardInterrupt

    monkeypatch.setattr(fit, "SaveLast", Interrupted)
    result = command(*options, "--output", tmp_path / "run")
    assert (result.status, result.err) == (130, "classaware fit: error: interrupted\n")
    assert (tmp_path / "run" / "last.ckpt").is_file()
    assert not list((tmp_path / "run").rglob("*.part"))
