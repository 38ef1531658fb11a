"""Every example runs on tiny inputs, trains CAR's linear layer, and leaves the network as the library made it."""

from __future__ import annotations

import math
import os
import re
import runpy
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classaware

FOLDER = Path(__file__).resolve().parents[2] / "examples"
STEPS = 2
STEP = re.compile(r"step (\d+): [\w' ]+ ([\d.]+), CAR ([\d.]+)")
FOLDED = re.compile(r"folded: largest difference of logits (\S+), names of weights kept")

# File and options: layer, libraries that it needs.
EXAMPLES: dict[str, tuple[str, str]] = {
    "smp_deeplab": ("segmentation_head.0", "segmentation_models_pytorch"),
    "segformer_loop": ("decode_head.classifier", "transformers"),
    "upernet_trainer": ("decode_head.classifier", "transformers accelerate"),
    "torchvision_networks": ("classifier.4", "torchvision"),
    "torchvision_networks --network lraspp": ("classifier.high_classifier", "torchvision"),
    "lightning_module": ("classifier.high_classifier", "pytorch_lightning"),
    "eomt_masks": ("upscale_block.block.0.conv1", "transformers"),
    "vit_tokens": ("head", "timm"),
    "trained_network": ("score", "torch"),
    "compiled_checkpointed --backend aot_eager": ("decoder.2", "torch"),
}


@dataclass
class Witness:
    """What an example did with CAR, seen from outside of it."""

    model: nn.Module
    car: classaware.Attachment
    came: dict[str, torch.Size]
    linear: torch.Tensor
    totals: list[float] = field(default_factory=list)
    trained: bool = False


def described(model: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in model.state_dict().items()}


@pytest.fixture
def witnesses(monkeypatch: pytest.MonkeyPatch) -> list[Witness]:
    """One for every call of ``classaware.attach``."""
    seen: list[Witness] = []
    attach, losses, fold = classaware.attach, classaware.Attachment.losses, classaware.Attachment.fold

    def linear(car: classaware.Attachment) -> torch.Tensor:
        return car.model.get_submodule(f"{car.layer}.classaware.linear").weight.detach().clone()

    def of(car: classaware.Attachment) -> Witness:
        return next(w for w in seen if w.model is car.model or car.model in list(w.model.modules()))

    def spy_attach(model: nn.Module, *arguments: Any, **options: Any) -> classaware.Attachment:
        came = described(model)
        car = attach(model, *arguments, **options)
        seen.append(Witness(model, car, came, linear(car)))
        return car

    def spy_losses(car: classaware.Attachment, labels: torch.Tensor) -> classaware.ClassAwareTerms:
        terms = losses(car, labels)
        assert terms.total.requires_grad
        of(car).totals.append(terms.total.item())
        return terms

    def spy_fold(car: classaware.Attachment) -> nn.Module:
        of(car).trained = not torch.equal(linear(car), of(car).linear)
        return fold(car)

    monkeypatch.setattr(classaware, "attach", spy_attach)
    monkeypatch.setattr(classaware.Attachment, "losses", spy_losses)
    monkeypatch.setattr(classaware.Attachment, "fold", spy_fold)
    return seen


def needs(libraries: str) -> None:
    for name in libraries.split():
        if os.environ.get("CI") == "true":
            import_module(name)
        pytest.importorskip(name, reason=f"{name} is not installed (pip install 'classaware[test]')")


def lines_of_steps(text: str) -> list[tuple[int, float, float]]:
    return [(int(step), float(task), float(car)) for step, task, car in STEP.findall(text)]


def check_output(text: str, layer: str) -> None:
    """The layer, finite losses, and a network that computes as before."""
    assert f"CAR is attached to {layer}" in text
    assert "CHANGED" not in text
    (difference,) = FOLDED.findall(text)
    assert float(difference) < 1e-4
    assert all(math.isfinite(task) and task > 0 and car >= 0 for _, task, car in lines_of_steps(text))


@pytest.mark.parametrize("command", EXAMPLES)
def test_example(command, witnesses, capsys, monkeypatch):
    layer, libraries = EXAMPLES[command]
    needs(libraries)
    name, *options = command.split()
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [name, f"--steps={STEPS}", "--size=64", *options])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    text = capsys.readouterr().out
    check_output(text, layer)
    (witness,) = witnesses
    assert len(witness.totals) == STEPS
    assert all(math.isfinite(total) and total > 0 for total in witness.totals)
    assert witness.trained
    assert described(witness.model) == witness.came
    assert classaware.attached(witness.model) == []
    assert not any(module._forward_pre_hooks for module in witness.model.modules())
    printed = [car for _, _, car in lines_of_steps(text)][-STEPS:]
    if name != "upernet_trainer":  # which prints by the Trainer
        assert printed == pytest.approx(witness.totals, abs=1e-3)
    else:
        assert text.count("'loss'") == STEPS
        assert "'eval_loss'" in text
    if name == "trained_network":
        assert "attached: largest difference of logits 0.0e+00" in text


def test_distributed_example():
    """Both processes see the same CAR, that of the joint batch, and end with the same weights."""
    needs("torchvision")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(FOLDER / "distributed_amp.py"), f"--steps={STEPS}", "--size=32"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    check_output(done.stdout, "classifier.high_classifier")
    for rank in range(2):
        assert f"process {rank}: weights equal" in done.stdout
    by_rank = [dict(re.findall(rf"process {rank}, step (\d+): .*CAR ([\d.]+)", done.stdout)) for rank in range(2)]
    assert by_rank[0] == by_rank[1]
    assert len(by_rank[0]) == STEPS
    tasks = [re.findall(rf"process {rank}, .*entropy ([\d.]+)", done.stdout) for rank in range(2)]
    assert tasks[0] != tasks[1]  # each had images of its own


def test_the_check_at_the_end_of_every_example_can_fail(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    support = import_module("support")
    model, logits = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)
    support.check_folded(model, ["weight", "bias"], logits, logits + 1e-6)
    with pytest.raises(SystemExit):
        support.check_folded(model, ["weight", "bias"], logits, logits + 1e-3)
    with pytest.raises(SystemExit):
        support.check_folded(model, ["weight"], logits, logits)
    assert "CHANGED" in capsys.readouterr().out


def test_every_example_is_tested_listed_and_short():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"support"}
    assert files == {command.split()[0] for command in EXAMPLES} | {"distributed_amp"}
    listed = re.findall(r"\| \[(\w+)\.py\]\((\w+)\.py\)", (FOLDER / "README.md").read_text())
    assert [name for name, _ in listed] == [target for _, target in listed]
    assert {name for name, _ in listed} == files
    for name in files:
        text = (FOLDER / f"{name}.py").read_text()
        assert len(text.splitlines()) <= 90
        assert f"examples/{name}.py" in text
        assert "classaware." in text
