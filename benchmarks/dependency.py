"""Time and memory of class-dependency maps: one pass over synthetic features of 171 classes.

The features are drawn as they are needed, 512 channels of 65x65, with 15 classes an image in blocks; their drawing is
timed apart. The pass runs in this process, whose largest resident size after some images and after all says whether
memory grows.

    python benchmarks/dependency.py [--quick] [--threads N] [--json FILE]

Prints a table and the time of the numbers; exits with 1 if memory grew by more than 2 %.
With MALLOC_MMAP_THRESHOLD_=1048576 in the environment glibc gives every image's buffers back at once; without it, it
keeps one or two at random, which may be 2 % in a quick run.
"""

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from measuring import environment, scene_labels
from rich.console import Console
from rich.table import Table

from classaware.files import write_json
from classaware.insight.centers import CenterAccumulator
from classaware.insight.dependency_numbers import summarize_dependency

CLASSES, CHANNELS, SIDE, IGNORED = 171, 512, 65, 255
STOPS, QUICK = (100, 500, 1000), (20, 40)  # the first 20 images touch the sums of a group each
GROWTH = 1.02


def main() -> int:
    """Add the images, then summarize."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few images")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    accumulator = CenterAccumulator(CLASSES, IGNORED)
    before = peak(0)
    rows = one_pass(accumulator, QUICK if options.quick else STOPS, before)
    begin = time.perf_counter()
    summarize_dependency({"network": accumulator}, [f"class {i}" for i in range(CLASSES)])
    summary = {"summary_seconds": time.perf_counter() - begin, "summary_peak": peak(rows[-1]["peak"])}
    show(rows, summary, before)
    if options.json is not None:
        size = {"classes": CLASSES, "channels": CHANNELS, "side": SIDE}
        write_json(
            options.json, {**environment(torch.device("cpu")), **size, "before": before, "rows": rows, **summary}
        )
    return int(rows[-1]["peak"] > GROWTH * rows[0]["peak"])


def one_pass(accumulator: CenterAccumulator, stops: tuple[int, ...], highest: int) -> list[dict[str, Any]]:
    """Seconds in the accumulator so far, and the peak so far, at every stop."""
    rows, spent = [], 0.0
    for image in range(1, stops[-1] + 1):
        features, labels = torch.randn(1, CHANNELS, SIDE, SIDE), scene_labels(1, SIDE, CLASSES, IGNORED)
        begin = time.perf_counter()
        accumulator.update(features, labels)
        spent += time.perf_counter() - begin
        if image in stops:
            highest = peak(highest)
            rows.append({"images": image, "seconds": spent, "per_image": spent / image, "peak": highest})
    return rows


def show(rows: list[dict[str, Any]], summary: dict[str, Any], before: int) -> None:
    """Print what was measured."""
    table = Table(title=f"{CLASSES} classes, {CHANNELS} channels, {SIDE}x{SIDE}, torch {torch.__version__}")
    for name in ("images", "seconds", "ms an image", "peak, MiB"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = (f"{row['seconds']:.2f}", f"{1e3 * row['per_image']:.1f}", f"{row['peak'] / 2**20:.0f}")
        table.add_row(str(row["images"]), *cells)
    Console().print(table)
    print(
        f"maps in three forms with jackknife intervals: {summary['summary_seconds']:.2f} s, "
        f"peak {summary['summary_peak'] / 2**20:.0f} MiB (before all: {before / 2**20:.0f} MiB)"
    )


def peak(known: int) -> int:
    """The largest resident size of this program so far, in bytes, of which ``known`` was read before.

    Linux counts pages per core and sums them up when it likes, so that a later reading may be lower by a few.
    """
    return max(known, resident())


def resident() -> int:
    """The largest resident size as the system says it now, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux' getrusage counts what the process was before it became this program
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main())
