"""What the benchmarks share: times from interleaved rounds, peak memory, tables and files.

Contenders take turns (A B C A B C ...), so that a machine which slows down for a while slows all of them; what is
compared is the median of the ratios within the rounds.
"""

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from classaware.files import check_writable, write_atomically

Row = dict[str, Any]
Run = Callable[[], object]

SHORTEST = 0.02  # seconds of one measurement on CUDA, whose calls may be shorter than a launch's jitter


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> argparse.Namespace:
    """Add the options that every benchmark has, parse, and set the number of threads."""
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--rounds", type=int, help="of all contenders in turns")
    parser.add_argument("--json", type=Path, help="file for the rows of the table")
    parser.add_argument("--quick", action="store_true", help="the first goal alone")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: there must be at least one round.")
    if options.json is not None:
        check_writable(options.json)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    options.device = torch.device(options.device)
    return options


def environment(device: torch.device) -> Row:
    """What a number depends on beside the parameters; part of every row."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = next(
            (line.split(":")[1].strip() for line in _cpu_info() if line.startswith("model name")), platform.machine()
        )
    return {
        "device": device.type,
        "device_name": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu_info() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.is_file() else []


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Run, device: torch.device, calls: int) -> float:
    """Of one call, from ``calls`` in a row; between CUDA events, hence with the gaps between kernels."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls
    start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start_event.record()
    for _ in range(calls):
        run()
    end_event.record()
    end_event.synchronize()
    return start_event.elapsed_time(end_event) / 1e3 / calls


def interleaved(contenders: Mapping[str, Run], device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Seconds a call of every contender, round by round; all of them must have been warmed up."""
    calls = dict.fromkeys(contenders, 1)
    if device.type == "cuda":
        calls = {name: max(1, round(SHORTEST / seconds(run, device, 1))) for name, run in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in contenders.items():
                synchronize(device)
                times[name].append(seconds(run, device, calls[name]))
    finally:
        gc.enable()
    return times


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Median of the ratios of two contenders within the rounds."""
    return median(a / b for a, b in zip(over, under, strict=True))


def spread(times: Sequence[float]) -> float:
    """Distance of the quartiles over the median; 0 for a single round."""
    if len(times) < 2:
        return 0.0
    low, middle, high = quantiles(times, n=4, method="inclusive")
    return (high - low) / middle


def kernel_seconds(run: Run, device: torch.device, calls: int = 5) -> float | None:
    """Seconds of one call that CUDA's kernels and copies themselves take, without the gaps; None on the CPU."""
    if device.type != "cuda":
        return None
    synchronize(device)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(calls):
            run()
        synchronize(device)
    events = [e for e in profiler.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    return sum(e.self_device_time_total for e in events if not e.is_user_annotation) / 1e6 / calls


def peak_bytes(run: Run, device: torch.device) -> int:
    """Most bytes that ``run`` has allocated at one time beyond what was there before it.

    On the CPU from the allocator's own events, which see temporary buffers inside operators too (not what oneDNN
    and OpenMP keep for themselves); what ``run`` frees of the memory from before is not counted.
    """
    gc.collect()
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    assert profiler.profiler is not None
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def dense_labels(images: int, side: int, classes: int, ignored: int) -> torch.Tensor:
    """int64 (B, H, W) on the CPU: each pixel's class drawn by itself; one pixel in 32 has none."""
    shape = (images, side, side)
    return torch.randint(classes, shape).masked_fill(torch.rand(shape) < 1 / 32, ignored)


def scene_labels(images: int, side: int, classes: int, ignored: int, shown: int = 15) -> torch.Tensor:
    """The same in 8 x 8 blocks, of ``shown`` classes in each image."""
    drawn = torch.stack([torch.randperm(classes)[:shown] for _ in range(images)])
    blocks = torch.randint(drawn.shape[1], (images, 8, 8))
    place = torch.arange(side) * 8 // side
    y_BHW = drawn.gather(1, blocks[:, place][:, :, place].flatten(1)).view(images, side, side)
    return y_BHW.masked_fill(torch.rand(y_BHW.shape) < 1 / 32, ignored)


def verdict(value: float, limit: float, at_least: bool, digits: int = 2) -> str:
    """A goal beside what was measured, such as ``4.31 (>= 4: yes)``."""
    reached = value >= limit if at_least else value <= limit
    return f"{value:.{digits}f} ({'>=' if at_least else '<='} {limit:g}: {'yes' if reached else 'NO'})"


def show(title: str, columns: Mapping[str, Callable[[Row], object]], rows: Sequence[Row]) -> None:
    """Print a table; None in a cell is a dash, and a column of nothing else is left out."""
    cells = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    cells = {name: column for name, column in cells.items() if any(cell is not None for cell in column)}
    table = Table(title=title, title_justify="left")
    for name in cells:
        table.add_column(name, justify="right", no_wrap=True)
    for i in range(len(rows)):
        table.add_row(*("–" if column[i] is None else str(column[i]) for column in cells.values()))
    width = Console(width=1000).measure(table).maximum  # a table in a file must not be cut to 80 columns
    console = Console()
    (console if console.width >= width else Console(width=width)).print(table)


def number(key: str, form: str, factor: float = 1) -> Callable[[Row], str | None]:
    """A cell of :func:`show`: the value of a row, formatted."""

    def cell(row: Row) -> str | None:
        value = row.get(key)
        return None if value is None else format(value * factor, form)

    return cell


def write(path: Path | None, rows: Sequence[Row]) -> None:
    """Write the rows as JSON, whole or not at all; nothing where ``path`` is None."""
    if path is not None:
        write_atomically(path, (json.dumps(list(rows), indent=2) + "\n").encode())
