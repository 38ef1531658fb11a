"""A run that is killed anywhere and started again by the same command ends where the untouched run ends."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from classaware.commands import fit
from classaware.commands.main import main

# What has a state or draws random numbers, all at once.
EVERYTHING = {
    "network.car": "on",
    "network.dropout": "0.5",
    "regularizer.centers": "ema",
    "rival": "PixelContrast",
    "rival.memory_size": "3",
    "trainer.max_steps": "6",
    "save_every": "1",
}
VARIANTS = {
    "plain": {"trainer.accumulate_grad_batches": "1"},
    "accumulating-bf16-adamw": {
        "trainer.accumulate_grad_batches": "2",
        "trainer.precision": "bf16-mixed",
        "training.optimizer": "adamw",
        "trainer.val_check_interval": "3",
        "save_every": "2",
    },
}


class KilledBeforeEverySave(fit.SaveLast):
    """Keeps the folder as a kill leaves it while each checkpoint is being written."""

    def _write(self, trainer: pl.Trainer) -> None:
        output = self.path.parent
        copies = output.with_name("killed")
        copy = copies / f"{len(list(copies.glob('*'))):02}"
        shutil.copytree(output, copy)
        (copy / ".next.ckpt.part").write_bytes(b"PK half a checkpoint")
        super()._write(trainer)


def arguments(options: list[str], variant: str) -> list[str]:
    more = EVERYTHING | VARIANTS[variant]
    return [*options, *(f"--{name}={value}" for name, value in more.items())]


@pytest.fixture(scope="module")
def wholes(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Output of the untouched run of a variant, trained when first asked for; beside it what kills leave."""
    outputs: dict[str, Path] = {}

    def whole(variant: str) -> Path:
        if variant not in outputs:
            outputs[variant] = tmp_path_factory.mktemp("resume") / "whole"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(fit, "SaveLast", KilledBeforeEverySave)
                assert main([*arguments(options, variant), "--output", str(outputs[variant])]) == 0
        return outputs[variant]

    return whole


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def assert_same_end(whole: Path, resumed: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = load(whole / name), load(resumed / name)
        for part in ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "log_rows", "callbacks"):
            assert equal(ours[part], theirs[part]), (name, part)
    assert (resumed / "logs" / "metrics.csv").read_bytes() == (whole / "logs" / "metrics.csv").read_bytes()
    assert not [path for path in resumed.rglob("*") if path.name.endswith(".part") or path.name == "next.ckpt"]


SAVES = {"plain": 9, "accumulating-bf16-adamw": 6}
CASES = [(variant, 0, kill) for variant, saves in SAVES.items() for kill in range(saves)]
CASES += [("plain", 2, 5), ("accumulating-bf16-adamw", 2, 1)]


@pytest.mark.parametrize(("variant", "workers", "kill"), CASES)
def test_a_kill_while_a_checkpoint_is_written_changes_nothing(
    variant: str,
    workers: int,
    kill: int,
    wholes: Callable[[str], Path],
    command: Callable[..., Any],
    options: list[str],
    tmp_path: Path,
) -> None:
    whole = wholes(variant)
    shutil.copytree(whole.with_name("killed") / f"{kill:02}", tmp_path / "run")
    again = [*arguments(options, variant), "--resume", "true", "--data.num_workers", workers]
    result = command(*again, "--output", tmp_path / "run")
    assert (result.status, result.err) == (0, "")
    assert_same_end(whole, tmp_path / "run")
    if "training" in result.out:  # else only the last validation was left
        assert (" 6/6 " if variant == "plain" else " 12/12 ") in result.out


def test_kills_cover_every_step_and_validations_that_were_due(wholes: Callable[[str], Path]) -> None:
    for variant, saves in SAVES.items():
        assert len(list(wholes(variant).with_name("killed").iterdir())) == saves
    killed = wholes("plain").with_name("killed")
    found = []
    for path in sorted(killed.glob("*/last.ckpt")):
        checkpoint = load(path)
        due = checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]["owes_validation"]
        found.append((checkpoint["global_step"], due))
    assert found == [(1, False), (2, True), (2, False), (3, False), (4, True), (4, False), (5, False), (6, True)]


def test_a_finished_run_is_not_run_again(
    wholes: Callable[[str], Path], command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    shutil.copytree(wholes("plain"), tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    for _ in range(2):
        result = command(*arguments(options, "plain"), "--resume", "true", "--output", tmp_path / "run")
        assert (result.status, result.err) == (0, "")
        assert result.out.strip().endswith("last.ckpt")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_the_same_command_begins_and_goes_on(
    wholes: Callable[[str], Path], command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    again = [*arguments(options, "plain"), "--resume", "true", "--output", tmp_path / "run"]
    assert command(*again).status == 0
    assert_same_end(wholes("plain"), tmp_path / "run")


def test_a_moved_run_goes_on_from_its_configuration(
    wholes: Callable[[str], Path], command: Callable[..., Any], tmp_path: Path
) -> None:
    """What was the best so far is known though its path has changed, and intervals are not multiplied again."""
    whole = wholes("accumulating-bf16-adamw")
    shutil.copytree(whole.with_name("killed") / "03", tmp_path / "moved")
    again = ["fit", "--config", whole / "config.yaml", "--resume", "true", "--output", tmp_path / "moved"]
    assert command(*again).status == 0
    assert_same_end(whole, tmp_path / "moved")
    ours, theirs = ((run / "config.yaml").read_text() for run in (whole, tmp_path / "moved"))
    assert ours.replace(str(whole), "") == theirs.replace(str(tmp_path / "moved"), "")


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "other": lambda content: b"no checkpoint at all",
    "flipped": lambda content: flip(content),
}


def flip(content: bytes) -> bytes:
    """One bit of one weight: torch reads it without complaint."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :]


@pytest.mark.parametrize("kind", [*DAMAGE, "missing", "lacking"])
def test_a_damaged_checkpoint_gives_way_to_the_previous_one(
    kind: str,
    wholes: Callable[[str], Path],
    command: Callable[..., Any],
    options: list[str],
    tmp_path: Path,
) -> None:
    whole, run = wholes("plain"), tmp_path / "run"
    shutil.copytree(whole.with_name("killed") / "06", run)
    last, previous = run / "last.ckpt", run / "previous.ckpt"
    if kind == "missing":  # a kill between two renames
        last.unlink()
    elif kind == "lacking":
        torch.save({name: value for name, value in load(last).items() if name != "optimizer_states"}, last)
    else:
        last.write_bytes(DAMAGE[kind](last.read_bytes()))
        if kind == "flipped":
            assert load(last)["global_step"] == 4
    result = command(*arguments(options, "plain"), "--resume", "true", "--output", run)
    assert result.status == 0
    if kind != "missing":
        assert str(last) in result.err
        assert f"Going on from {previous}" in result.err
    assert len(result.err.splitlines()) == (kind != "missing")
    assert_same_end(whole, run)


def test_without_a_whole_checkpoint_nothing_is_touched(
    wholes: Callable[[str], Path], refused: Callable[..., str], options: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(wholes("plain").with_name("killed") / "06", run)
    for name in ("last.ckpt", "previous.ckpt"):
        (run / name).write_bytes(flip((run / name).read_bytes()))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    error = refused(*arguments(options, "plain"), "--resume", "true", "--output", run)
    assert "last.ckpt" in error
    assert "previous.ckpt" in error
    named = refused(*arguments(options, "plain"), "--ckpt_path", run / "last.ckpt", "--output", run)
    assert str(run / "previous.ckpt") in named
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_good_checkpoint_outlives_the_next_save_beside_a_damaged_one(
    wholes: Callable[[str], Path],
    options: list[str],
    tmp_path: Path,
    command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The damaged ``last.ckpt`` must not become ``previous.ckpt`` while the new one has not its name yet."""
    run = tmp_path / "run"
    shutil.copytree(wholes("plain").with_name("killed") / "06", run)
    (run / "last.ckpt").write_bytes(b"")
    good = (run / "previous.ckpt").read_bytes()
    kept: list[bytes] = []

    class Watching(fit.SaveLast):
        def _write(self, trainer: pl.Trainer) -> None:
            super()._write(trainer)
            kept.append((run / "previous.ckpt").read_bytes())

    monkeypatch.setattr(fit, "SaveLast", Watching)
    assert command(*arguments(options, "plain"), "--resume", "true", "--output", run).status == 0
    assert kept[0] == good
    assert kept[-1] != good


def test_an_error_while_saving_leaves_the_checkpoints_that_were_there(
    wholes: Callable[[str], Path],
    command: Callable[..., Any],
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(wholes("plain").with_name("killed") / "04", run)
    before = {name: (run / name).read_bytes() for name in ("last.ckpt", "previous.ckpt", "best.ckpt")}

    def full(checkpoint: Any, file: Any) -> None:
        file.write(b"the beginning of a checkpoint")
        raise OSError(28, "No space left on device", str(run / "next.ckpt"))

    again = [*arguments(options, "plain"), "--resume", "true", "--output", run]
    with monkeypatch.context() as patch:
        patch.setattr("classaware.training.saving.torch.save", full)
        result = command(*again)
    assert result.status == 2
    assert "No space left on device" in result.err
    assert {name: (run / name).read_bytes() for name in before} == before
    assert not list(run.glob(".*.part"))
    assert command(*again).status == 0
    assert_same_end(wholes("plain"), run)


def test_another_runs_checkpoint_does_not_go_on_in_this_runs_folder(
    wholes: Callable[[str], Path], refused: Callable[..., str], options: list[str], car_run: Path
) -> None:
    before = (car_run / "logs" / "metrics.csv").read_bytes()
    checkpoint = wholes("plain").with_name("killed") / "06" / "last.ckpt"
    error = refused(*arguments(options, "plain"), "--ckpt_path", checkpoint, "--output", car_run)
    assert "holds another run" in error
    assert (car_run / "logs" / "metrics.csv").read_bytes() == before


def test_another_options_run_is_not_gone_on_with(
    plain_run: Path, refused: Callable[..., str], options: list[str], tmp_path: Path
) -> None:
    shutil.copytree(plain_run, tmp_path / "run")
    again = [*options, "--resume", "true", "--output", tmp_path / "run", "--training.lr", 0.02, "--seed", 1]
    error = refused(*again)
    assert "(seed: 0 -> 1, training.lr: 0.01 -> 0.02)" in error
    assert str(tmp_path / "run" / "config.yaml") in error
    many = {"data.batch_size": 3, "data.flip": "false", "training.momentum": 0.5, "data.train_split": "test"}
    error = refused(*again, *(f"--{name}={value}" for name, value in many.items()))
    assert error.count(" -> ") == 5
    assert " and 1 more)" in error
    once = [*options, "--resume", "true", "--output", tmp_path / "run"]
    assert "(training.rare_pairs: 0.0 -> 0.5)" in refused(*once, "--training.rare_pairs", 0.5)
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == (plain_run / "last.ckpt").read_bytes()


def test_a_longer_run_follows_its_own_schedule_at_once(
    plain_run: Path, command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(plain_run, run)
    assert command(*options, "--trainer.max_steps", 8, "--resume", "true", "--output", run).status == 0
    with (run / "logs" / "metrics.csv").open(newline="") as file:
        rates = [float(row["train/lr"]) for row in csv.DictReader(file) if row["train/lr"]]
    expected = [0.01 * (1 - step / length) ** 0.9 for step, length in zip(range(8), [4] * 4 + [8] * 4, strict=True)]
    assert rates == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kept", [0, 2])
def test_rows_that_the_log_lost_are_spoken_of(
    kept: int, wholes: Callable[[str], Path], command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(wholes("plain").with_name("killed") / "06", run)
    log, rows = run / "logs" / "metrics.csv", load(run / "last.ckpt")["log_rows"]
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[: kept + 1]))
    if not kept:
        log.unlink()
    result = command(*arguments(options, "plain"), "--resume", "true", "--output", run)
    assert result.status == 0
    (line,) = result.err.splitlines()
    assert f"{log} holds {kept} of the {rows} rows" in line


def test_what_another_process_wrote_meanwhile_is_not_overwritten(
    plain_run: Path, refused: Callable[..., str], options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(fit, "check_splits", lambda *_: shutil.copytree(plain_run, run))
    assert f"another process trains in {run}" in refused(*options, "--resume", "true", "--output", run)
    assert (run / "last.ckpt").read_bytes() == (plain_run / "last.ckpt").read_bytes()


def test_save_every_is_checked(refused: Callable[..., str], options: list[str], tmp_path: Path) -> None:
    assert "save_every=0" in refused(*options, "--save_every", 0, "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()
