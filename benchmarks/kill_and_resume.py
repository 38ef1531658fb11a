"""Train once untouched and once with many SIGKILLs, each followed by the same command again: is the end the same?

    python benchmarks/kill_and_resume.py [--kills 20] [--steps 200] [--workers 0] [--accumulate 1] [--json FILE]

Half of the kills come at a random time, half are aimed at the writing of a checkpoint (a random moment after its
temporary file is seen). The network is small and has all that a resumed run could get wrong: dropout, running centers,
a rival with random samples and a memory, momentum, a schedule. Prints the SHA-256 of weights, optimizer state and log
of both runs; the exit status is 1 if they differ.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from classaware.files import check_writable, sha256, write_json

SAVE_EVERY = 5
OPTIONS = {
    "data.dataset.train": 60,
    "data.dataset.val": 20,
    "data.dataset.test": 1,
    "data.dataset.size": 64,
    "data.image_size": "[64,64]",
    "data.batch_size": 4,
    "network.car": "on",
    "network.dropout": 0.1,
    "regularizer.centers": "ema",
    "rival": "PixelContrast",
    "rival.memory_size": 10,
    "trainer.log_every_n_steps": 1,
    "save_every": SAVE_EVERY,
    "resume": "true",
}
# What a killed process leaves, and what it was doing then; the first that is there counts.
TRACES = {
    ".next.ckpt.part": "writing a checkpoint",
    "next.ckpt": "renaming it",
    ".best.ckpt.part": "writing best.ckpt",
    "logs/.metrics.csv.part": "rewriting the log",
}


class Life:
    """One start of the command."""

    def __init__(self, output: Path, options: argparse.Namespace) -> None:
        self.output = output
        self.errors = output.with_suffix(".err")
        self.rows = self.steps()
        self.left = self._traces()  # by the life before
        values = OPTIONS | {
            "data.dataset.root": output.with_name("scenes"),
            "data.num_workers": options.workers,
            "trainer.max_steps": options.steps,
            "trainer.val_check_interval": max(1, options.steps // 8),
            "trainer.accumulate_grad_batches": options.accumulate,
            "trainer.accelerator": "cpu",
            "seed": options.seed,
            "output": output,
        }
        arguments = ["fit", "--config", "biased-scenes", *(f"--{name}={value}" for name, value in values.items())]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "classaware", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def wait_for(self, happened: Any) -> bool:
        """Whether it happened before the process ended."""
        while self.process.poll() is None:
            if happened():
                return True
            time.sleep(0.0005)
        return False

    def steps(self) -> int:
        """Rows of the log."""
        log = self.output / "logs" / "metrics.csv"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def doing(self) -> list[str]:
        """What it is doing, or was doing when it was killed; empty: training, or not yet that far."""
        return [TRACES[name] for name, written in self._traces().items() if self.left.get(name) != written]

    def _traces(self) -> dict[str, int]:
        found = {}
        for name in TRACES:
            with suppress(FileNotFoundError):
                found[name] = (self.output / name).stat().st_mtime_ns
        return found

    def kill(self) -> bool:
        """As a power cut does, all its processes; False if it had already ended."""
        if self.process.poll() is not None:
            return False
        os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def finish(self) -> None:
        """Wait for its end, which must be a good one."""
        if self.process.wait():
            sys.exit(f"the run ended with status {self.process.returncode}:\n{self.errors.read_text()}")


def untouched(output: Path, options: argparse.Namespace) -> float:
    """Train without a kill; returns the seconds that a step takes."""
    life = Life(output, options)
    life.wait_for(lambda: life.steps() > 1)
    begun = time.monotonic()
    life.finish()
    return (time.monotonic() - begun) / options.steps


def killed(output: Path, options: argparse.Namespace, second_per_step: float) -> Counter[str]:
    """Train with kills; returns what the killed processes were doing."""
    generator = random.Random(options.seed)
    hits: Counter[str] = Counter()
    for number in range(options.kills):
        life = Life(output, options)
        life.wait_for(lambda life=life: life.steps() != life.rows or life.doing())
        if number % 2:
            time.sleep(generator.uniform(0, 2 * second_per_step * options.steps / (options.kills + 1)))
        else:
            for _ in range(generator.randint(1, 3)):
                life.wait_for(lambda life=life: not life.doing())
                life.wait_for(life.doing)
            time.sleep(generator.uniform(0, 0.01))
        if not life.kill():
            life.finish()
            break
        doing = next(iter(life.doing()), "training")
        hits[doing] += 1
        print(f"kill {number + 1}: {doing}, log at row {life.steps()}", flush=True)
    Life(output, options).finish()
    return hits


def digest(value: Any, algorithm: Any = None) -> str:
    """SHA-256 of nested containers of tensors and plain values."""
    algorithm = algorithm or hashlib.sha256()
    if isinstance(value, torch.Tensor):
        algorithm.update(f"{value.dtype}{tuple(value.shape)}".encode())
        algorithm.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            algorithm.update(repr(key).encode())
            digest(value[key], algorithm)
    elif isinstance(value, list | tuple):
        for element in value:
            digest(element, algorithm)
    else:
        algorithm.update(repr(value).encode())
    return str(algorithm.hexdigest())


def hashes(output: Path) -> dict[str, str]:
    """Of everything that must be the same."""
    found = {}
    for name in ("last", "best"):
        checkpoint = torch.load(output / f"{name}.ckpt", weights_only=True)
        found[f"{name}.ckpt weights"] = digest(checkpoint["state_dict"])
        found[f"{name}.ckpt optimizer"] = digest([checkpoint["optimizer_states"], checkpoint["lr_schedulers"]])
    return found | {"metrics.csv": sha256(output / "logs" / "metrics.csv")}


def main() -> int:
    """Compare the two runs; 0 if they are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"kills": 20, "steps": 200, "workers": 0, "seed": 0, "accumulate": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args()
    if options.json is not None:
        check_writable(options.json)
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    try:
        seconds = untouched(folder / "untouched", options)
        print(f"untouched: {options.steps} steps, {seconds:.3f} s each", flush=True)
        hits = killed(folder / "killed", options, seconds)
        ours, theirs = hashes(folder / "untouched"), hashes(folder / "killed")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    equal = ours == theirs
    print(f"{hits.total()} of {options.kills} kills hit: {', '.join(f'{n} {doing}' for doing, n in hits.items())}")
    for name, value in ours.items():
        print(f"{name:<20} {value} {'equal' if theirs[name] == value else 'DIFFERENT: ' + theirs[name]}")
    print("the runs are equal" if equal else "the runs DIFFER")
    if options.json is not None:
        asked = {name: value for name, value in vars(options).items() if name != "json"}
        result = {"hits": dict(hits), "untouched": ours, "killed": theirs, "equal": equal}
        write_json(options.json, asked | {"save_every": SAVE_EVERY, "seconds_per_step": seconds} | result)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
