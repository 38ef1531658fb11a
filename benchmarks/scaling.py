"""How the fused regularizer grows with classes and pixels, and what several processes exchange.

    python benchmarks/scaling.py [--quick] [--json FILE] [--processes 1 2] [--threads 1]

Growth: forward and backward at 4 x 65² and 512 channels over K, and at K=59 over P, in turns; the slope of log time
over log K or log P is printed (1 is proportional). Labels are dense, so that every class has a center.

Processes: each has 4 x 65² pixels of its own (gloo on the CPU; NCCL on CUDA, a device each, left out where there are
too few). A step with the centers of the joint batch is timed beside a step that exchanges nothing, in turns; bytes
are those of the tensors that a process hands to the collectives in one step. ``--threads`` is for each process.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from measuring import (
    Row,
    Run,
    dense_labels,
    environment,
    interleaved,
    number,
    parse,
    ratio,
    seconds,
    show,
    spread,
    synchronize,
    write,
)

from classaware.regularization import ClassAwareRegularization

IGNORED = -1
CHANNELS = 512
IMAGES, SIDE, CLASSES = 4, 65, 59
OVER_K = [(IMAGES, k) for k in (21, 59, 171, 847)]
OVER_P = [(images, CLASSES) for images in (1, 2, 4, 8, 16)]
COLLECTIVES = ("all_reduce", "all_gather", "all_gather_into_tensor", "reduce_scatter_tensor", "broadcast", "reduce")


def step(images: int, classes: int, side: int, channels: int, device: torch.device, group: Any = None) -> Run:
    """Forward and backward of the fused regularizer; the gradient is freed."""
    x_BCHW = torch.randn(images, channels, side, side, device=device, requires_grad=True)
    labels = dense_labels(images, side, classes, IGNORED).to(device)
    regularizer = ClassAwareRegularization(classes, IGNORED).to(device).train()
    regularizer.process_group = group

    def run() -> None:
        regularizer(x_BCHW, labels).total.backward()
        x_BCHW.grad = None

    return run


def slope(x: list[float], y: list[float]) -> float:
    """Of log y over log x, by least squares."""
    log_x, log_y = [math.log(v) for v in x], [math.log(v) for v in y]
    mean_x, mean_y = sum(log_x) / len(x), sum(log_y) / len(y)
    across = sum((a - mean_x) * (b - mean_y) for a, b in zip(log_x, log_y, strict=True))
    return across / sum((a - mean_x) ** 2 for a in log_x)


def growth(options: argparse.Namespace, rounds: int) -> list[Row]:
    """One row a size; ratios are over the goals' cell."""
    cells = list(dict.fromkeys(OVER_K + OVER_P))
    torch.manual_seed(0)
    runs = {str(cell): step(*cell, options.side, options.channels, options.device) for cell in cells}
    for run in runs.values():
        run()
    times = interleaved(runs, options.device, rounds)
    rows = []
    for axis, list_of_cells in (("K", OVER_K), ("P", OVER_P)):
        for cell in list_of_cells:
            images, classes = cell
            mine = times[str(cell)]
            row: Row = {"what": f"growth over {axis}", "images": images, "pixels": images * options.side**2}
            row |= {"classes": classes, "processes": 1, "seconds": median(mine), "times": mine, "spread": spread(mine)}
            rows.append(row | {"ratio": ratio(mine, times[str((IMAGES, CLASSES))])})
    return rows


def slopes(rows: list[Row]) -> list[str]:
    """Of both axes."""
    lines = []
    for axis, name in (("K", "classes"), ("P", "pixels")):
        shown = [row for row in rows if row["what"] == f"growth over {axis}"]
        if shown:
            value = slope([row[name] for row in shown], [row["seconds"] for row in shown])
            for row in shown:
                row["slope"] = value
            ends = f"{shown[0][name]} to {shown[-1][name]}"
            lines.append(f"log time over log {axis}: slope {value:.2f} ({axis} from {ends})")
    return lines


@contextmanager
def counted() -> Iterator[list[int]]:
    """Bytes of the tensors that are handed to torch.distributed's collectives, one entry a call."""
    calls: list[int] = []
    kept = {name: getattr(dist, name) for name in COLLECTIVES}

    def counting(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)]
            calls.append(max(t.nbytes for t in tensors))
            return kept[name](*args, **kwargs)

        return call

    for name in COLLECTIVES:
        setattr(dist, name, counting(name))
    try:
        yield calls
    finally:
        for name, function in kept.items():
            setattr(dist, name, function)


def worker(rank: int, processes: int, folder: str, kind: str, options: dict[str, Any]) -> None:
    """One process: times of joint and lone steps, and what a joint one exchanges, to a file."""
    torch.set_num_threads(options["threads"])
    device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=rank, world_size=processes)
    alone = [dist.new_group([r]) for r in range(processes)][rank]
    torch.manual_seed(rank)
    sizes = (IMAGES, CLASSES, options["side"], options["channels"])
    runs = {"joint": step(*sizes, device), "alone": step(*sizes, device, alone)}
    for run in runs.values():
        run()
    with counted() as calls:
        runs["joint"]()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options["rounds"]):
        for name, run in runs.items():
            synchronize(device)
            dist.barrier()
            times[name].append(seconds(run, device, 1 if kind == "cpu" else 10))
    result = {"times": times, "bytes": sum(calls), "calls": len(calls)}
    Path(folder, f"{rank}.json").write_text(json.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


def distributed(processes: int, options: argparse.Namespace, rounds: int) -> Row:
    """One row: the slowest process of each round counts."""
    settings = {"threads": options.threads, "rounds": rounds, "channels": options.channels, "side": options.side}
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (processes, folder, options.device.type, settings), processes)
        results = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(processes)]
    slowest = {
        name: [max(times) for times in zip(*(r["times"][name] for r in results), strict=True)]
        for name in ("joint", "alone")
    }
    return {
        "what": "processes",
        "images": IMAGES,
        "pixels": IMAGES * options.side**2,
        "classes": CLASSES,
        "processes": processes,
        "seconds": median(slowest["joint"]),
        "times": slowest["joint"],
        "spread": spread(slowest["joint"]),
        "alone_seconds": median(slowest["alone"]),
        "alone_times": slowest["alone"],
        "ratio": ratio(slowest["joint"], slowest["alone"]),
        "bytes": results[0]["bytes"],
        "collectives": results[0]["calls"],
    }


COLUMNS = {
    "": number("what", ""),
    "processes": number("processes", "d"),
    "P of each": number("pixels", ",d"),
    "K": number("classes", "d"),
    "ms": number("seconds", ".2f", 1e3),
    "spread": number("spread", ".0%"),
    "alone, ms": number("alone_seconds", ".2f", 1e3),
    "over K=59 or alone": number("ratio", ".2f"),
    "collectives": number("collectives", "d"),
    "bytes": number("bytes", ",d"),
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--channels", type=int, default=CHANNELS)
    parser.add_argument("--side", type=int, default=SIDE, help="of the feature maps of each process")
    parser.set_defaults(threads=1)
    options = parse(parser)
    rounds = options.rounds or (7 if options.device.type == "cpu" else 20)
    rows = [] if options.quick else growth(options, rounds)
    lines = slopes(rows)
    for processes in options.processes:
        if options.device.type == "cuda" and torch.cuda.device_count() < processes:
            print(f"skipped: {processes} processes on {torch.cuda.device_count()} CUDA devices")
            continue
        rows.append(distributed(processes, options, rounds))
    shared = {
        "channels": options.channels,
        "side": options.side,
        "labels": "dense",
        "dtype": "float32",
        "rounds": rounds,
        **environment(options.device),
    }
    rows = [row | shared for row in rows]
    write(options.json, rows)
    show(f"Fused regularizer, {options.channels} channels, float32: growth and processes", COLUMNS, rows)
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
