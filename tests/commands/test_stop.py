"""A run that is asked to stop saves, says how to go on, ends with a status of its own, and loses nothing."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from classaware.commands import fit
from classaware.training.preemption import StopSignals

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 138}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever happens, the signals of the test's own process are as they were."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Signaled(fit.SaveLast):
    """Gets a signal somewhere."""

    number: int
    where: tuple[str, int]

    def _reach(self, *where: Any) -> None:
        if where == self.where:
            os.kill(os.getpid(), self.number)

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_sanity_check_start(trainer, pl_module)
        self._reach("sanity check", 0)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._reach("batch", trainer.fit_loop.epoch_loop.total_batch_idx)

    def on_validation_batch_end(self, trainer: pl.Trainer, *more: Any) -> None:
        if not trainer.sanity_checking:
            self._reach("validation", trainer.global_step)


def stopped_run(command: Callable[..., Any], number: int, where: tuple[str, int], *arguments: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "SaveLast", type("Signaled", (Signaled,), {"number": number, "where": where}))
        return command(*arguments)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return torch.load(output / "last.ckpt", weights_only=True)["state_dict"]


def assert_same_end(ours: Path, theirs: Path) -> None:
    a, b = weights(ours), weights(theirs)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (ours / "logs" / "metrics.csv").read_bytes() == (theirs / "logs" / "metrics.csv").read_bytes()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("number", "where", "step"),
    [
        (signal.SIGTERM, ("batch", 0), 1),
        (signal.SIGINT, ("batch", 2), 3),
        (signal.SIGUSR1, ("validation", 2), 2),
        (signal.SIGTERM, ("validation", 4), 4),
    ],
)
def test_a_signal_ends_the_run_behind_its_step(
    number: int,
    where: tuple[str, int],
    step: int,
    workers: int,
    command: Callable[..., Any],
    options: list[str],
    plain_run: Path,
    tmp_path: Path,
) -> None:
    output = tmp_path / "run"
    more = [*options, "--data.num_workers", workers, "--output", output]
    result = stopped_run(command, number, where, *more)
    assert result.status == SIGNALS[signal.Signals(number)]
    (line,) = result.err.splitlines()
    assert f"stopped by {signal.Signals(number).name} at step {step} of 4" in line
    assert f"--config {output / 'config.yaml'} --output {output} --resume true" in line
    assert torch.load(output / "last.ckpt", weights_only=True)["global_step"] == step
    assert command(*line.rpartition("classaware ")[2].split()).status == 0
    assert_same_end(plain_run, output)


def test_the_line_can_be_pasted_and_serves_a_moved_run(
    command: Callable[..., Any], options: list[str], plain_run: Path, tmp_path: Path
) -> None:
    output, moved = tmp_path / "my runs" / "it's one", tmp_path / "moved"
    result = stopped_run(command, signal.SIGTERM, ("batch", 1), *options, "--output", output)
    again = shlex.split(result.err.partition("to go on: classaware ")[2])
    assert again == ["fit", "--config", str(output / "config.yaml"), "--output", str(output), "--resume", "true"]
    shutil.move(output, moved)
    assert command(*(part.replace(str(output), str(moved)) for part in again)).status == 0
    assert_same_end(plain_run, moved)
    assert not output.exists()


def test_under_torchrun_the_line_names_the_same_command(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.distributed.is_torchelastic_launched", lambda: True)
    config = fit.build_parser().parse_args([*options[1:], "--output", str(tmp_path)])
    line = fit._after_stop(fit.Stopped(signal.SIGTERM, 2, True), config)
    assert line.endswith("to go on: the same command with --resume true")


def test_a_stopped_demo_does_not_speak_of_fit(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = stopped_run(command, signal.SIGINT, ("batch", 1), "demo", "--quick", "--output", tmp_path / "demo")
    assert result.status == 130
    assert "classaware fit" not in result.err


def test_micro_batches_are_finished_first(command: Callable[..., Any], options: list[str], tmp_path: Path) -> None:
    more = [*options, "--trainer.accumulate_grad_batches", 3, "--trainer.max_steps", 3]
    assert command(*more, "--output", tmp_path / "whole").status == 0
    result = stopped_run(command, signal.SIGTERM, ("batch", 3), *more, "--output", tmp_path / "run")
    assert result.status == 143
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 2
    assert command(*more, "--resume", "true", "--output", tmp_path / "run").status == 0
    assert_same_end(tmp_path / "whole", tmp_path / "run")


def test_before_the_first_step_there_is_nothing_to_save(
    command: Callable[..., Any], options: list[str], plain_run: Path, tmp_path: Path
) -> None:
    more = [*options, "--output", tmp_path / "run"]
    result = stopped_run(command, signal.SIGTERM, ("sanity check", 0), *more)
    assert result.status == 143
    assert "nothing was saved yet" in result.err
    assert not (tmp_path / "run" / "last.ckpt").exists()
    assert command(*more, "--resume", "true").status == 0
    assert_same_end(plain_run, tmp_path / "run")


def test_in_the_last_step_the_run_just_ends(command: Callable[..., Any], options: list[str], tmp_path: Path) -> None:
    more = [*options, "--trainer.max_steps", 3, "--output", tmp_path / "run"]  # no validation behind step 3
    result = stopped_run(command, signal.SIGTERM, ("batch", 2), *more)
    assert (result.status, result.err) == (0, "")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_signals_do_afterwards_what_they_did(command: Callable[..., Any], options: list[str], tmp_path: Path) -> None:
    mine = lambda number, frame: None  # noqa: E731
    signal.signal(signal.SIGTERM, mine)
    assert command(*options, "--output", tmp_path / "whole").status == 0
    assert signal.getsignal(signal.SIGTERM) is mine
    assert stopped_run(command, signal.SIGTERM, ("batch", 1), *options, "--output", tmp_path / "run").status == 143
    assert signal.getsignal(signal.SIGTERM) is mine
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_same_signal_from_two_senders_is_one_and_a_later_one_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, sent = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    stop = StopSignals()
    stop._notice(signal.SIGTERM, None)
    now[0] += 0.5
    stop._notice(signal.SIGTERM, None)
    assert (stop.before_step(), sent) == (signal.SIGTERM, [])
    now[0] += 1
    stop._notice(signal.SIGINT, None)
    assert sent == [(os.getpid(), signal.SIGINT)]
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


def test_a_signal_to_every_process_of_a_job_with_workers(options: list[str], tmp_path: Path) -> None:
    """As Ctrl-C and schedulers send it: the workers go on until the step is done."""
    output = tmp_path / "run"
    more = [*options, "--data.num_workers", "2", "--trainer.max_steps", "100000", "--output", str(output)]
    program = [sys.executable, "-c", "import sys; from classaware.commands.main import main; sys.exit(main())"]
    with subprocess.Popen([*program, *more], start_new_session=True, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (output / "logs" / "metrics.csv").exists():
            time.sleep(0.05)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 143, error
    assert len(error.splitlines()) == 1
    assert torch.load(output / "last.ckpt", weights_only=True)["global_step"] > 0


@pytest.mark.parametrize("sanity", [0, 2])
def test_a_signal_before_the_first_batch_is_no_good_end(
    sanity: int, command: Callable[..., Any], options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's own handler would end the run behind one step with status 0."""
    loader = fit.SegmentationData.train_dataloader

    def signaled(self: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return loader(self)

    monkeypatch.setattr(fit.SegmentationData, "train_dataloader", signaled)
    more = [*options, "--trainer.num_sanity_val_steps", sanity, "--output", tmp_path / "run"]
    result = command(*more)
    assert result.status == 143
    assert "stopped by SIGTERM at step 0 of 4" in result.err
