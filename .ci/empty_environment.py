"""Run in an environment into which the package alone was installed: torch came with it and nothing else of ours."""

import re
import subprocess
import sys
from importlib.metadata import distributions, requires
from pathlib import Path

import torch
from pip._vendor.packaging.requirements import Requirement  # what every new environment has

import classaware

ALLOWED = {"classaware", "pip", "setuptools"}  # the latter two are there from the start


def canonical(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirement: Requirement, known: set[tuple[str, str]]) -> None:
    """Add what a requirement brings, extras and all, to (name, extra)."""
    name = canonical(requirement.name)
    for extra in {"", *requirement.extras}:
        if (name, extra) in known:
            continue
        known.add((name, extra))
        for line in requires(requirement.name) or ():
            inner = Requirement(line)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                needed(inner, known)


def check_distributions() -> None:
    """What is installed is what torch asks for."""
    known: set[tuple[str, str]] = set()
    needed(Requirement("torch"), known)
    there = {canonical(distribution.name) for distribution in distributions()}
    unasked = there - {name for name, _ in known} - ALLOWED
    assert not unasked, sorted(unasked)


def check_attach() -> None:
    """A training step with CAR on a network of plain torch; folded, it computes what it did with CAR."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1)
    )
    keys = list(network.state_dict())
    attachment = classaware.attach(network, at="3", num_classes=4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels = torch.randn(2, 3, 32, 48), torch.randint(0, 4, (2, 32, 48))
    logits = torch.nn.functional.interpolate(network(images), labels.shape[1:], mode="bilinear")
    total = attachment.losses(labels).total
    assert total > 0
    (torch.nn.functional.cross_entropy(logits, labels) + total).backward()
    optimizer.step()
    network.eval()
    with torch.no_grad():
        with_car = network(images)
        folded = attachment.fold()
        difference = (folded(images) - with_car).abs().max().item()
    assert list(folded.state_dict()) == keys
    assert difference < 1e-5, difference
    print(f"attach: CAR {total:.3f}; folded, keys as before, largest difference {difference:.1e}")


def check_command_line() -> None:
    """Console script and module say the same: what needs no more than torch, and which extra has the rest."""
    script = Path(sys.executable).parent / "classaware"
    extra = r"error: the package '\w+' is missing: pip install 'classaware\[train\]'"
    for arguments, status, line in (
        (["--version"], 0, re.escape(f"classaware {classaware.__version__}")),
        (["--help"], 0, r"usage: classaware COMMAND \.\.\."),
        (["fit"], 2, f"classaware fit: {extra}"),
        (["completion", "bash"], 2, f"classaware completion: {extra}"),
        (["fti"], 2, r"classaware: error: unknown command 'fti'; did you mean 'fit'\?"),
    ):
        ways = ([str(script)], [sys.executable, "-m", "classaware"])
        first, second = (subprocess.run([*way, *arguments], capture_output=True, text=True) for way in ways)
        said = (first.returncode, first.stdout, first.stderr)
        assert said == (second.returncode, second.stdout, second.stderr), (said, second)
        assert first.returncode == status, said
        # An error is the last line: where there is no numpy, torch says so before.
        shown = first.stderr.splitlines()[-1] if status else first.stdout.splitlines()[0]
        assert re.fullmatch(line, shown), said
        print(f"classaware {' '.join(arguments)}: {shown}")


if __name__ == "__main__":
    assert "site-packages" in classaware.__file__, classaware.__file__
    check_distributions()
    check_attach()
    check_command_line()
