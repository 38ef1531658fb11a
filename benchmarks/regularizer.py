"""What the regularizer costs: time of forward and backward, and peak memory.

    python benchmarks/regularizer.py [--quick] [--json FILE] [--pixels 4x65 16x129] [--channels 256 512]
        [--classes 21 59 171 847] [--dtypes float32 bfloat16] [--layouts NCHW NHWC] [--labels dense scenes]
        [--contenders fused reference compiled contrast]

Side by side: the fused regularizer, the readable reference in eager mode and under torch.compile, and pixel contrast
with its own defaults; the memory floor is four copies of the features. All contenders read the same features (a leaf
that wants a gradient) and labels, in turns. Without options a list of cells that shows each axis; with any of them
all combinations of what is given, an axis left out staying at the goals' cell.

Memory is the most that forward and backward hold at one time beyond the features and their gradient, over the
features' bytes. Labels are ``dense`` (each pixel's class drawn by itself: every class in every image, the worst case)
or ``scenes`` (blocks of 15 classes an image, as in data with many classes).
"""

import argparse
from collections.abc import Iterator
from itertools import product
from statistics import median
from typing import Any, NamedTuple

import torch
from measuring import (
    Row,
    Run,
    dense_labels,
    environment,
    interleaved,
    kernel_seconds,
    number,
    parse,
    peak_bytes,
    ratio,
    scene_labels,
    show,
    spread,
    verdict,
    write,
)
from torch import Tensor, nn

from classaware.regularization import ClassAwareRegularization
from classaware.rivals import PixelContrast

CONTENDERS = ("fused", "reference", "compiled", "contrast")
FLOOR = "four copies"
FEWER = "fused, K=59"
IGNORED = -1
CACHE = 256 * 2**20  # bytes of features to go through before CUDA's cache may meet the same again


class Cell(NamedTuple):
    """What is measured: the features' and the labels' properties."""

    images: int = 4
    side: int = 65
    channels: int = 512
    classes: int = 59
    labels: str = "dense"
    dtype: str = "float32"
    layout: str = "NCHW"

    def features(self) -> Tensor:
        """(B, C, H, W) on the CPU, normal, with a gradient to come."""
        x_BCHW = torch.randn(self.images, self.channels, self.side, self.side).to(getattr(torch, self.dtype))
        form = torch.channels_last if self.layout == "NHWC" else torch.contiguous_format
        return x_BCHW.to(memory_format=form)


GOAL = Cell()
SPARSE = GOAL._replace(classes=847, labels="scenes")
CPU_CELLS = [
    GOAL,
    GOAL._replace(layout="NHWC"),
    GOAL._replace(classes=21),
    GOAL._replace(classes=171),
    GOAL._replace(classes=847),
    SPARSE,
    GOAL._replace(channels=256),
    GOAL._replace(dtype="bfloat16"),
    GOAL._replace(images=16, side=129, channels=256),
]
LARGE = GOAL._replace(images=16, side=129)
CUDA_CELLS = [
    GOAL,
    GOAL._replace(layout="NHWC"),
    GOAL._replace(dtype="bfloat16"),
    GOAL._replace(dtype="bfloat16", layout="NHWC"),
    *(GOAL._replace(classes=k) for k in (21, 171, 847)),
    SPARSE,
    GOAL._replace(channels=256),
    LARGE,
    LARGE._replace(layout="NHWC"),
    LARGE._replace(dtype="bfloat16", layout="NHWC"),
    *(LARGE._replace(classes=k) for k in (21, 171, 847)),
    LARGE._replace(classes=847, labels="scenes"),
    LARGE._replace(channels=256),
]
# Goals of the CPU and of CUDA: column, whether at least or at most, limits; None: no goal.
GOALS = {
    "reference_over_fused": (True, 4.0, 8.0),
    "compiled_over_fused": (True, 1.3, 1.5),
    "fused_over_floor": (False, None, 1.6),
    "fused_memory": (False, 0.35, 0.25),
    "fused_over_fewer": (False, 4.0, 3.0),
}


def make_labels(cell: Cell) -> Tensor:
    """int64 (B, H, W) on the CPU."""
    draw = dense_labels if cell.labels == "dense" else scene_labels
    return draw(cell.images, cell.side, cell.classes, IGNORED)


class Step:
    """Forward and backward of one loss on each of the inputs in turn; gradients are freed after each."""

    def __init__(self, loss: nn.Module, inputs: list[Tensor], labels: Tensor) -> None:
        self.loss = loss
        self.inputs = inputs
        self.labels = labels
        self.calls = 0

    def forward(self) -> tuple[Tensor, Tensor]:
        """The features and the loss with its graph."""
        x_BCHW = self.inputs[self.calls % len(self.inputs)]
        self.calls += 1
        output = self.loss(x_BCHW, self.labels)
        return x_BCHW, output.total if hasattr(output, "total") else output

    def gradient(self) -> Tensor:
        """Of the features."""
        x_BCHW, total = self.forward()
        total.backward()
        gradient, x_BCHW.grad = x_BCHW.grad, None
        assert gradient is not None
        self.loss.zero_grad(set_to_none=True)
        return gradient

    def __call__(self) -> None:
        """The same, for who times it."""
        self.gradient()


def make_loss(name: str, cell: Cell, classes: int, device: torch.device) -> nn.Module:
    """A contender in training mode."""
    if name == "contrast":
        return PixelContrast(cell.channels, classes, IGNORED).to(device).train()
    regularizer = ClassAwareRegularization(classes, IGNORED, fused=name == "fused").to(device).train()
    if name != "compiled":
        return regularizer
    torch._dynamo.reset()
    compiled: nn.Module = torch.compile(regularizer, dynamic=False)  # type: ignore[assignment]
    return compiled


def copies(inputs: list[Tensor]) -> Run:
    """The memory floor: the features copied four times, into memory that is there."""
    target = torch.empty_like(inputs[0], requires_grad=False)
    turn = iter(range(2**62))

    def run() -> None:
        source = inputs[next(turn) % len(inputs)].detach()
        for _ in range(4):
            target.copy_(source)

    return run


def make_contenders(cell: Cell, names: list[str], device: torch.device) -> tuple[dict[str, Step], Run]:
    """All of them on the same inputs, warmed up, and the floor. One that cannot be compiled is named and left out."""
    torch.manual_seed(0)
    first = cell.features().to(device)
    sets = max(1, CACHE // first.nbytes) if device.type == "cuda" else 1
    inputs = [first.clone().requires_grad_() for _ in range(sets)]
    labels = make_labels(cell).to(device)
    steps = {name: Step(make_loss(name, cell, cell.classes, device), inputs, labels) for name in names}
    if cell.classes > GOAL.classes and "fused" in names:
        fewer = make_labels(cell._replace(classes=GOAL.classes)).to(device)
        steps[FEWER] = Step(make_loss("fused", cell, GOAL.classes, device), inputs, fewer)
    for name in list(steps):
        try:
            steps[name]()
        except torch._dynamo.exc.TorchDynamoException as error:
            print(f"skipped: {name} at {cell}: {str(error).splitlines()[0]}")
            del steps[name]
            continue
        steps[name]()
    floor = copies(inputs)
    floor()
    return steps, floor


def extra_memory(step: Step, device: torch.device) -> int:
    """Bytes beyond the features and their gradient (which forward does not have yet)."""
    size = step.inputs[0].nbytes
    return max(peak_bytes(step.forward, device), peak_bytes(step, device) - size)


def difference(steps: dict[str, Step]) -> float | None:
    """Distance of the gradients of the fused regularizer and the reference over the latter's length.

    Not entry by entry: a channel that equals its center up to rounding may have either sign in intra_c2p.
    """
    if not {"fused", "reference"} <= steps.keys():
        return None
    for step in steps.values():
        step.calls = 0
    fused, reference = (steps[name].gradient().float() for name in ("fused", "reference"))
    return float((fused - reference).norm() / reference.norm())


def measure(cell: Cell, names: list[str], device: torch.device, rounds: int) -> Iterator[Row]:
    """One row a contender and one for the floor."""
    steps, floor = make_contenders(cell, names, device)
    memory = {name: extra_memory(step, device) for name, step in steps.items()}
    runs: dict[str, Run] = {**steps, FLOOR: floor}
    kernels = {name: kernel_seconds(run, device) for name, run in runs.items()}
    times = interleaved(runs, device, rounds)
    size = next(iter(steps.values())).inputs[0].nbytes
    shared: Row = cell._asdict() | {"pixels": cell.images * cell.side**2, "features_bytes": size, "rounds": rounds}
    shared |= environment(device)
    for name in runs:
        row: Row = {"contender": name, **shared, "seconds": median(times[name])}
        row |= {"times": times[name], "spread": spread(times[name]), "kernel_seconds": kernels[name]}
        row["over_floor"] = ratio(times[name], times[FLOOR])
        row["over_fused"] = ratio(times[name], times["fused"]) if "fused" in times else None
        if kernels[name] is not None:
            row["kernels_over_floor"] = kernels[name] / kernels[FLOOR]  # type: ignore[operator]
        if name != FLOOR:
            row["extra_bytes"], row["extra_memory"] = memory[name], memory[name] / size
        if name == "fused":
            row["gradient_difference"] = difference(steps)
            row["fused_over_fewer"] = ratio(times[name], times[FEWER]) if FEWER in times else None
        yield row


def judge(row: Row, rows: list[Row]) -> list[str]:
    """The goals of the cell that they are set for, and whether they are reached."""
    cell = Cell(**{name: row[name] for name in Cell._fields})
    if row["contender"] != "fused" or cell not in (GOAL, GOAL._replace(classes=847), SPARSE):
        return []
    over = {r["contender"]: r["over_fused"] for r in rows if all(r[f] == row[f] for f in Cell._fields)}
    values: dict[str, Any] = {"fused_over_fewer": row["fused_over_fewer"]}
    if cell == GOAL:
        values |= {"reference_over_fused": over.get("reference"), "compiled_over_fused": over.get("compiled")}
        values |= {"fused_over_floor": row["over_floor"], "fused_memory": row["extra_memory"]}
    lines = []
    for name, value in values.items():
        at_least, *limits = GOALS[name]
        limit = limits[row["device"] == "cuda"]
        if limit is not None and value is not None:
            lines.append(f"{name} (K={cell.classes}, {cell.labels}): {verdict(value, limit, at_least)}")
    return lines


COLUMNS = {
    "P": lambda row: f"{row['images']}x{row['side']}²",
    "C": number("channels", "d"),
    "K": number("classes", "d"),
    "labels": number("labels", ""),
    "dtype": number("dtype", ""),
    "layout": number("layout", ""),
    "contender": number("contender", ""),
    "ms": number("seconds", ".2f", 1e3),
    "spread": number("spread", ".0%"),
    "kernels, ms": number("kernel_seconds", ".3f", 1e3),
    "over fused": number("over_fused", ".2f"),
    "over floor": number("over_floor", ".2f"),
    "kernels over floor": number("kernels_over_floor", ".2f"),
    "extra memory": number("extra_memory", ".3f"),
    "gradient off by": number("gradient_difference", ".0e"),
}


def cells(options: argparse.Namespace) -> list[Cell]:
    """Those asked for."""
    if options.quick:
        return [GOAL]
    axes = (options.pixels, options.channels, options.classes, options.labels, options.dtypes, options.layouts)
    if not any(axes):
        return CUDA_CELLS if options.device.type == "cuda" else CPU_CELLS
    chosen = [axis or [default] for axis, default in zip(axes, ((GOAL.images, GOAL.side), *GOAL[2:]), strict=True)]
    return [Cell(*pixels, *rest) for pixels, *rest in product(*chosen)]


def pixels(text: str) -> tuple[int, int]:
    """``4x65`` is 4 images of 65 x 65."""
    images, side = text.split("x")
    return int(images), int(side)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", nargs="+", type=pixels, metavar="IMAGESxSIDE")
    parser.add_argument("--channels", nargs="+", type=int)
    parser.add_argument("--classes", nargs="+", type=int)
    parser.add_argument("--labels", nargs="+", choices=["dense", "scenes"])
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--layouts", nargs="+", choices=["NCHW", "NHWC"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options = parse(parser)
    rounds = options.rounds or (20 if options.device.type == "cuda" else 5)
    rows: list[Row] = []
    for cell in cells(options):
        rows += measure(cell, options.contenders, options.device, rounds)
        print(f"measured {cell}", flush=True)
        write(options.json, rows)
    show("Regularizer: forward and backward", COLUMNS, rows)
    print(*[line for row in rows for line in judge(row, rows)], sep="\n")


if __name__ == "__main__":
    main()
