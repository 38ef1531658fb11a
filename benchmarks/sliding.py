"""Peak memory and time of predicting one large image in windows, at one scale and at six with flip.

Every mode runs in a process of its own, whose largest resident size is what is reported; the image (random bytes) and
the label map of the result are part of it. The network is small: what is measured is what inference adds to it.

    python benchmarks/sliding.py [--quick] [--json FILE]

Prints a table; exits with 1 if a mode took more than 4 GiB.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from classaware.evaluation.inference import Inference
from classaware.files import write_json
from classaware.models import Backbone, FCNHead, Segmenter

WINDOW = (513, 513)
CLASSES = 21
LIMIT = 4 * 2**30
MODES: dict[str, dict[str, Any]] = {
    "sliding": {},
    "sliding, multi-scale, flip": {"scales": (0.5, 0.75, 1.0, 1.25, 1.5, 1.75), "flip": True},
}


def main() -> int:
    """Run the modes one after the other, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one mode on a small image")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--mode", choices=list(MODES), help="only this one, in this process, its numbers as JSON")
    options = parser.parse_args()
    size = (1500, 2000) if options.quick else (6000, 8000)
    if options.mode is not None:
        print(json.dumps(measure(options.mode, size)))
        return 0
    rows = [in_child(mode, options.quick) for mode in list(MODES)[: 1 if options.quick else None]]
    print(f"{size[1]}x{size[0]}, {CLASSES} classes, window {WINDOW[0]}, torch {torch.__version__}")
    for row in rows:
        print(
            f"{row['mode']:<28} {row['peak'] / 2**20:8.0f} MiB (before: {row['before'] / 2**20:.0f}) "
            f"{row['seconds']:8.1f} s, {row['network_seconds']:.1f} s of it in the network"
        )
    if options.json is not None:
        write_json(options.json, {"size": size, "classes": CLASSES, "window": WINDOW, "modes": rows})
    return int(any(row["peak"] > LIMIT for row in rows))


def in_child(mode: str, quick: bool) -> dict[str, Any]:
    """The numbers of one mode from a fresh process."""
    command = [sys.executable, __file__, "--mode", mode, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(mode: str, size: tuple[int, int]) -> dict[str, Any]:
    """Bytes and seconds of one prediction."""
    torch.manual_seed(0)
    network = Segmenter(Backbone("test_resnet"), lambda channels: FCNHead(channels, 16), CLASSES).fold()
    image = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    spent = 0.0

    def timed(x: torch.Tensor) -> torch.Tensor:
        nonlocal spent
        begin = time.perf_counter()
        logits = network(x).logits
        spent += time.perf_counter() - begin
        return logits

    before, begin = peak(), time.perf_counter()
    labels = Inference(window=WINDOW, **MODES[mode]).predict(timed, image, size)
    seconds = time.perf_counter() - begin
    assert labels.shape == (1, *size)
    return {"mode": mode, "before": before, "peak": peak(), "seconds": seconds, "network_seconds": spent}


def peak() -> int:
    """The largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main())
