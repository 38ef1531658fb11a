"""What earlier versions wrote: configurations and checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from classaware.training.checkpoints import SaveBest


def test_a_configuration_with_the_trainers_switch(
    command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(yaml.safe_dump({"trainer": {"deterministic": None}}))
    done = command(*options, "--config", old, "--output", tmp_path / "run", "--trainer.max_steps", "1")
    assert done.status == 0, done.err


def test_a_run_with_lightnings_best_checkpoint(command: Callable[..., Any], options: list[str], tmp_path: Path) -> None:
    """Its score is known: a worse network does not replace the best one."""
    run = tmp_path / "run"
    assert command(*options, "--output", run).status == 0
    last = torch.load(run / "last.ckpt", weights_only=True)
    del last["callbacks"]["SaveBest"]
    last["callbacks"]["ModelCheckpoint{'monitor': 'val/miou'}"] = {"best_model_score": torch.tensor(0.99)}
    torch.save(last, run / "last.ckpt")
    best = (run / "best.ckpt").read_bytes()
    done = command(*options, "--output", run, "--resume", "true", "--trainer.max_steps", "6")
    assert (done.status, (run / "best.ckpt").read_bytes()) == (0, best), done.err
    assert "callbacks" not in done.err


def test_a_run_from_before_an_option_of_the_network(
    command: Callable[..., Any], options: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert command(*options, "--output", run).status == 0
    last = torch.load(run / "last.ckpt", weights_only=True)
    del last["classaware"]["network"]["identity"]
    torch.save(last, run / "last.ckpt")
    more = [*options, "--output", run, "--resume", "true", "--trainer.max_steps", "6"]
    for option, value in (("head.channels", 24), ("identity", "true")):
        refused = command(*more, f"--network.{option}", value)
        assert (refused.status, f"another network (network.{option[:4]}" in refused.err) == (2, True), refused.err
    done = command(*more)
    assert done.status == 0, done.err


def test_a_score_counts_where_its_checkpoint_is(tmp_path: Path) -> None:
    saved = {"callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.5)}}}
    for there in (False, True):
        if there:
            (tmp_path / "best.ckpt").touch()
        callback = SaveBest(tmp_path)
        callback.on_load_checkpoint(None, None, saved)  # type: ignore[arg-type]
        assert callback.score == (0.5 if there else None)
