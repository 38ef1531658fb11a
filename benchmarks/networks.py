"""Every full-size network of Table 2, one forward and backward at 513 x 513: parameters, operations, time and memory.

    python benchmarks/networks.py --output runs/networks [--networks ccnet-resnet50 ...] [--precision bf16] [--batch 2]

Each cell runs in a process of its own, so that its peak of resident memory is its own; cells whose result is there are
not measured again. Weights are random (the numbers do not depend on them); operations are counted without
computing them, for one image in eval mode. Prints Markdown tables and writes ``results.json``.
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
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from classaware.commands.configuration import expand_recipes
from classaware.commands.fit import build_parser
from classaware.files import write_json
from classaware.models import Segmenter
from classaware.recipes import ROWS
from classaware.regularization import ClassAwareRegularization
from classaware.training import Objective
from classaware.training.card import build_network

CLASSES = {"pascal-context": 59, "coco-stuff-10k": 171}
# Baseline and CAR as in the table, trained one step; then inference: the baseline with "A" and CAR folded.
VARIANTS = ("baseline", "car", "baseline-a-folded", "car-folded")


def row_name(network: str, dataset: str, car: bool) -> str:
    """Name of a row of Table 2; ``network`` is such as ``ccnet-resnet50``."""
    return f"table2/{network}-{'car-' if car else ''}{dataset}"


NETWORKS = list(
    dict.fromkeys(
        row.name.removeprefix("table2/").removesuffix("-pascal-context")
        for row in ROWS.values()
        if row.table == 2 and not row.car and row.dataset == "pascal-context"
    )
)


def build(network: str, dataset: str, variant: str) -> tuple[Segmenter, Any]:
    """The network of a row with random weights, and the whole configuration."""
    arguments = ["--config", row_name(network, dataset, variant.startswith("car"))]
    if variant.startswith("baseline-a"):
        arguments.append("--network.projection=1x1")
    config = build_parser().parse_args(expand_recipes(arguments))
    description = config.network.as_dict()
    description["backbone"] |= {"pretrained": "no"}
    segmenter = build_network(description | {"num_classes": CLASSES[dataset]})
    return (segmenter.fold() if variant.endswith("folded") else segmenter), config


def count(segmenter: Segmenter, size: int) -> dict[str, float]:
    """Parameters in millions, GMACs of one image in eval mode."""
    parameters = sum(p.numel() for p in segmenter.parameters())
    own = sum(p.numel() for name, p in segmenter.named_parameters() if not name.startswith("backbone."))
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with torch.no_grad(), fake, FlopCounterMode(display=False) as counter:
        segmenter.eval()(torch.rand(1, 3, size, size))
    return {"parameters_m": parameters / 1e6, "head_parameters": own, "gmacs": counter.get_total_flops() / 2e9}


def train_step(segmenter: Segmenter, config: Any, batch: int, size: int, precision: str) -> dict[str, float]:
    """Seconds of forward (with the objective) and backward, and whether every gradient is finite."""
    options = config.regularizer.as_dict() | {"num_classes": segmenter.num_classes, "ignore_index": 255}
    training = config.training
    objective = Objective(
        segmenter,
        ClassAwareRegularization(**options),
        training.average,
        training.aux_weight,
        training.affinity_weight,
        training.affinity,
    )
    images, labels = torch.rand(batch, 3, size, size), torch.randint(0, segmenter.num_classes, (batch, size, size))
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss, _ = objective(segmenter.train()(images), labels)
    forward = time.perf_counter()
    loss.backward()
    backward = time.perf_counter()
    unused = [name for name, p in segmenter.named_parameters() if p.grad is None]
    finite = all(bool(torch.isfinite(p.grad).all()) for p in segmenter.parameters() if p.grad is not None)
    assert finite, "a gradient is NaN or infinite"
    assert not unused, f"no gradient reaches {unused}"
    return {"forward_s": forward - start, "backward_s": backward - forward, "loss": float(loss.detach())}


def inference(segmenter: Segmenter, batch: int, size: int, precision: str) -> dict[str, float]:
    """Seconds of a forward in eval mode."""
    images = torch.rand(batch, 3, size, size)
    with torch.inference_mode():
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = segmenter.eval()(images).logits
        seconds = time.perf_counter() - start
    assert bool(torch.isfinite(logits).all())
    return {"forward_s": seconds}


def measure(network: str, dataset: str, variant: str, batch: int, size: int, precision: str) -> dict[str, float]:
    """One cell."""
    torch.manual_seed(0)
    segmenter, config = build(network, dataset, variant)
    segmenter = segmenter.to(memory_format=torch.channels_last)
    if variant.endswith("folded"):
        result = inference(segmenter, batch, size, precision)
    else:
        result = train_step(segmenter, config, batch, size, precision)
    result["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return result | count(segmenter, size)


def table(results: dict[str, dict[str, Any]], dataset: str) -> str:
    """Markdown: one row a network; first a training step of baseline / CAR, then both (with "A") folded."""
    head = ["network", "parameters (M)", "of them not backbone", "GMACs", "forward (s)", "backward (s)", "peak (GiB)"]
    head += ["folded: parameters (M)", "folded: GMACs", "folded: forward (s)", "folded: peak (GiB)"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for network in dict.fromkeys(key.split("/")[0] for key in results):
        cells = [results.get(f"{network}/{dataset}/{variant}") for variant in VARIANTS]
        if any(cell is None for cell in cells):
            continue
        step, folded = cells[:2], cells[2:]
        columns = [("parameters_m", ".2f"), ("head_parameters", ","), ("gmacs", ".1f"), ("forward_s", ".1f")]
        columns += [("backward_s", ".1f"), ("peak_gib", ".1f")]
        row = [network] + [_pair(step, name, form) for name, form in columns]
        row += [_pair(folded, name, form) for name, form in columns if name not in ("head_parameters", "backward_s")]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _pair(cells: list[Any], name: str, form: str) -> str:
    return " / ".join(format(cell[name], form) for cell in cells)


def main() -> None:
    """Measure what is missing, each cell in its own process, then print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--datasets", nargs="*", choices=list(CLASSES), default=list(CLASSES))
    parser.add_argument("--size", type=int, default=513)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: by autocast")
    parser.add_argument("--output", type=Path, default=Path("runs/networks"))
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(measure(*options.cell.split("/"), options.batch, options.size, options.precision)))
        return
    results: dict[str, dict[str, Any]] = {}
    for dataset in options.datasets:
        for network in options.networks:
            for variant in VARIANTS:
                cell = f"{network}/{dataset}/{variant}"
                file = options.output / f"{cell.replace('/', '--')}.json"
                if not file.is_file():
                    command = [sys.executable, __file__, "--cell", cell]
                    command += [
                        f"--size={options.size}",
                        f"--batch={options.batch}",
                        f"--precision={options.precision}",
                    ]
                    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
                    if done.returncode:
                        print(f"{cell}: failed with status {done.returncode}", flush=True)
                        continue
                    write_json(file, json.loads(done.stdout.splitlines()[-1]))
                results[cell] = json.loads(file.read_text())
                print(cell, {name: round(value, 2) for name, value in results[cell].items()}, flush=True)
    write_json(options.output / "results.json", results)
    for dataset, classes in CLASSES.items():
        print(f"\n## {dataset}, K = {classes}\n\n{table(results, dataset)}")


if __name__ == "__main__":
    main()
