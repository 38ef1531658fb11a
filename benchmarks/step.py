"""What CAR adds to a whole training step, and that it adds nothing to inference.

    python benchmarks/step.py [--quick] [--json FILE] [--batch 2] [--size 513] [--backbone resnet50] [--precision bf16]

ResNet (output stride 8) with Self-Attention, 59 classes, random weights. Training (forward, objective, backward, SGD
step): the baseline, the baseline with "A" (the 1x1 projection), and CAR with "A"; also what CAR adds to it by itself
(linear convolution and regularizer, forward and backward), which tells a small difference from a noisy machine.
Inference: the last two, as trained and folded, with their operations. Contenders take turns; what counts is the median
of the ratios within the rounds.
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any, Literal

import torch
from measuring import (
    Row,
    Run,
    environment,
    interleaved,
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
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from classaware.models import Backbone, Segmenter, SelfAttentionHead
from classaware.regularization import ClassAwareRegularization
from classaware.training import Objective
from classaware.training.optimization import create_optimizer, parameter_groups

CLASSES, IGNORED = 59, 255
BASELINE, WITH_A, CAR = "baseline", "with A", "CAR with A"
FOLDED = ", folded"
PART = "CAR's part by itself"
LIMITS = {"cpu": 1.03, "cuda": 1.02}

VARIANTS: dict[str, dict[str, Any]] = {
    BASELINE: {"car": "off", "projection": "3x3"},
    WITH_A: {"car": "off", "projection": "1x1"},
    CAR: {"car": "on", "projection": "1x1"},
}


def build(variant: str, backbone: str, device: torch.device) -> Segmenter:
    """A network with the same random backbone in every variant."""
    torch.manual_seed(0)
    network = Segmenter(Backbone(backbone, output_stride=8), SelfAttentionHead, CLASSES, **VARIANTS[variant])
    return network.to(device).to(memory_format=torch.channels_last)


def training(network: Segmenter, images: Tensor, labels: Tensor, autocast: Callable[[], Any]) -> Run:
    """A whole step of this project's training."""
    objective = Objective(network, ClassAwareRegularization(CLASSES, IGNORED)).to(images.device).train()
    groups = parameter_groups(network, lr=1e-3, weight_decay=2e-4, decay="kernels", backbone_lr_scale=1.0)
    optimizer = create_optimizer("sgd", groups, momentum=0.9, fused=True)

    def run() -> None:
        network.train()
        with autocast():
            loss, _ = objective(network(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def part(network: Segmenter, labels: Tensor, autocast: Callable[[], Any]) -> Run:
    """What CAR adds to a step: its linear convolution and the regularizer, on features of the head's size."""
    side = (labels.shape[-1] - 1) // 8 + 1
    shape = (len(labels), network.head.channels, side, side)
    x_BCHW = torch.randn(shape, device=labels.device).to(memory_format=torch.channels_last).requires_grad_()
    linear = nn.Conv2d(network.head.channels, network.head.tap_channels, 1).to(labels.device)
    linear = linear.to(memory_format=torch.channels_last)
    regularizer = ClassAwareRegularization(CLASSES, IGNORED).to(labels.device).train()

    def run() -> None:
        with autocast():
            total = regularizer(linear(x_BCHW), labels).total
        total.backward()
        x_BCHW.grad = None
        linear.zero_grad(set_to_none=True)

    return run


def inference(network: Segmenter, images: Tensor, autocast: Callable[[], Any]) -> Run:
    """Images to logits."""
    network.eval()

    def run() -> None:
        with torch.inference_mode(), autocast():
            network(images)

    return run


def operations(network: Segmenter, size: int) -> float:
    """Multiplications with additions of one image in eval mode, in 10^9; counted without computing."""
    device = next(network.parameters()).device
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        network.eval()(torch.rand(1, 3, size, size, device=device))
    return counter.get_total_flops() / 2e9


def rows_of(
    kind: Literal["training", "inference"], runs: dict[str, Run], base: str, device: torch.device, rounds: int
) -> list[Row]:
    """Warm up, weigh, time; ratios are over ``base``."""
    memory = {}
    for name, run in runs.items():
        run()
        memory[name] = peak_bytes(run, device)
    times = interleaved(runs, device, rounds)
    return [
        {
            "kind": kind,
            "contender": name,
            "rounds": rounds,
            "seconds": median(times[name]),
            "times": times[name],
            "spread": spread(times[name]),
            "base": base,
            "ratio": ratio(times[name], times[base]),
            "ratios": [mine / its for mine, its in zip(times[name], times[base], strict=True)],
            "peak_bytes": memory[name],
            "peak_ratio": memory[name] / memory[base],
        }
        for name in runs
    ]


def measure(options: argparse.Namespace, rounds: int) -> list[Row]:
    """Training, then inference of the networks that were trained."""
    device, size = options.device, options.size
    torch.manual_seed(0)
    images = torch.rand(options.batch, 3, size, size).to(device, memory_format=torch.channels_last)
    labels = scene_labels(options.batch, size, CLASSES, IGNORED).to(device)

    def autocast() -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16")

    variants = [WITH_A, CAR] if options.quick else list(VARIANTS)
    networks = {name: build(name, options.backbone, device) for name in variants}
    steps = {name: training(network, images, labels, autocast) for name, network in networks.items()}
    steps[PART] = part(networks[CAR], labels, autocast)
    rows = rows_of("training", steps, WITH_A, device, rounds)
    if not options.quick:
        shown = {name: networks[name] for name in (WITH_A, CAR)}
        shown |= {name + FOLDED: network.fold() for name, network in shown.items()}
        runs = {name: inference(network, images, autocast) for name, network in shown.items()}
        found = rows_of("inference", runs, WITH_A, device, 2 * rounds)
        rows += [row | {"gmacs": operations(shown[row["contender"]], size)} for row in found]
    shared = {"backbone": options.backbone, "head": "SelfAttentionHead", "batch": options.batch, "size": size}
    shared |= {"classes": CLASSES, "precision": options.precision, **environment(device)}
    return [row | shared for row in rows]


def judge(rows: list[Row]) -> list[str]:
    """The two goals."""
    by_name = {(row["kind"], row["contender"]): row for row in rows}
    step = by_name["training", CAR]
    limit = LIMITS[step["device"]]
    alone = by_name["training", PART]["ratio"]
    lines = [f"step, CAR over with A: {verdict(step['ratio'], limit, False, 3)}; by its part: {1 + alone:.3f}"]
    folded = by_name.get(("inference", CAR + FOLDED))
    if folded is not None:
        plain = by_name["inference", WITH_A + FOLDED]
        same = "the same" if folded["gmacs"] == plain["gmacs"] == by_name["inference", WITH_A]["gmacs"] else "OTHER"
        pairs = ratio(folded["times"], plain["times"])
        lines.append(
            f"inference, CAR folded over with A: {folded['ratio']:.3f} (over with A folded: {pairs:.3f}; "
            f"spread {plain['spread']:.0%}), {same} operations"
        )
    return lines


COLUMNS = {
    "": number("kind", ""),
    "contender": number("contender", ""),
    "seconds": number("seconds", ".3f"),
    "spread": number("spread", ".1%"),
    "over with A": number("ratio", ".3f"),
    "peak, MiB": number("peak_bytes", ".0f", 2**-20),
    "peak over with A": number("peak_ratio", ".3f"),
    "GMACs an image": number("gmacs", ".3f"),
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, help="2 on the CPU, 16 on CUDA")
    parser.add_argument("--size", type=int, default=513)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: by autocast")
    options = parse(parser)
    on_cpu = options.device.type == "cpu"
    options.batch = options.batch or (2 if on_cpu else 16)
    rows = measure(options, options.rounds or (4 if on_cpu else 20))
    write(options.json, rows)
    title = f"{options.backbone} + Self-Attention, {options.batch} x {options.size}², {options.precision}"
    show(title, COLUMNS, rows)
    print(*judge(rows), sep="\n")


if __name__ == "__main__":
    main()
