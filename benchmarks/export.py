"""Exported networks against the trained ones: every head, and every family of backbones, at three sizes.

    python benchmarks/export.py [--json FILE] [--only NAME ...] [--quick]

Networks have random weights, gates that are open and batch norms with statistics of random images. Each is folded,
exported to ONNX and to torch.export, read again from what the file would hold, and compared with itself, not folded,
in eager mode. Prints a Markdown table.
"""

import argparse
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import Row, environment, parse, write
from torch import nn

from classaware.deployment.comparing import Comparison
from classaware.deployment.exporting import export_network
from classaware.models import HEADS, Backbone, DANetHead, OCRHead, Segmenter, UPerNetHead
from classaware.models.heads import HeadFactory
from classaware.provenance import versions
from classaware.training import NetworkCard

CLASSES = 21
FORMATS = (".onnx", ".pt2")


@dataclass(frozen=True)
class Subject:
    """A network to export.

    Attributes:
        head: makes its head.
        backbone: a timm model.
        options: of :class:`Backbone`; an output stride of 8 unless it says otherwise.
        jpu: see :class:`Segmenter`.
        projection: see there.
        size: (height, width) if it cannot be exported for any.
    """

    head: HeadFactory
    backbone: str = "resnet18"
    options: dict[str, Any] = field(default_factory=dict)
    jpu: bool = False
    projection: str = "3x3"
    size: tuple[int, int] | None = None

    def build(self) -> Segmenter:
        """In eval mode; nothing that starts at zero lets nothing through."""
        torch.manual_seed(0)
        options = {"output_stride": 8} | self.options
        network = Segmenter(Backbone(self.backbone, **options), self.head, CLASSES, "on", self.projection, jpu=self.jpu)
        for parameter in network.parameters():
            if parameter.ndim == 1 and not parameter.any():
                nn.init.uniform_(parameter, 0.3, 0.7)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the mean over all batches
        with torch.no_grad():
            for _ in range(2):
                network.train()(torch.rand(4, 3, *(self.size or (129, 129))))
        return network.eval()


HEAD_SUBJECTS = {name: Subject(head) for name, head in HEADS.items()} | {
    "ocr as released": Subject(partial(OCRHead, as_released=True)),
    "danet as released": Subject(partial(DANetHead, as_released=True)),
    "upernet as released": Subject(partial(UPerNetHead, as_released=True)),
    "self-attention 1x1": Subject(HEADS["self-attention"], projection="1x1"),
}
PLAIN = {"output_stride": 32}
BACKBONE_SUBJECTS = {
    "resnet50": Subject(HEADS["fcn"], "resnet50"),
    "resnet50, multi-grid": Subject(HEADS["deeplabv3"], "resnet50", {"multi_grid": (1, 2, 4)}),
    "resnet50d": Subject(HEADS["fcn"], "resnet50d"),
    "resnet18, stride 32, JPU": Subject(HEADS["fcn"], "resnet18", PLAIN, jpu=True),
    "tf_efficientnet_lite0": Subject(HEADS["fcn"], "tf_efficientnet_lite0"),
    "tf_efficientnet_b0, top": Subject(HEADS["fcn"], "tf_efficientnet_b0", {"top": True}),
    "hrnet_w18_small": Subject(HEADS["ocr"], "hrnet_w18_small", PLAIN),
    "hrnet_w18_small, pyramid": Subject(HEADS["upernet"], "hrnet_w18_small", PLAIN | {"fuse": False}),
    "convnext_atto": Subject(HEADS["upernet"], "convnext_atto", PLAIN),
    "convnext_tiny, JPU": Subject(HEADS["caa"], "convnext_tiny", PLAIN, jpu=True),
    "swin_tiny_patch4_window7_224": Subject(HEADS["upernet"], "swin_tiny_patch4_window7_224", PLAIN, size=(161, 224)),
}
SUBJECTS = HEAD_SUBJECTS | BACKBONE_SUBJECTS


def card(network: Segmenter) -> NetworkCard:
    """Of a network that nobody trained."""
    names = [f"class {i}" for i in range(network.num_classes)]
    return NetworkCard({}, names, [[i, i, i] for i in range(network.num_classes)], 255, None, {})


def measure(name: str, device: torch.device) -> list[Row]:
    """One row a format."""
    subject, rows = SUBJECTS[name], []
    network = subject.build()
    source = {"sha256": None, "step": None, "metrics": None}
    for ending in FORMATS:
        start = time.perf_counter()
        path = Path(f"network{ending}")
        content, compared = export_network(network, card(network), source, path, subject.size, full_size=True)
        rows.append(
            {"name": name, "backbone": subject.backbone, "format": ending, "size": subject.size}
            | {"bytes": len(content), "seconds": round(time.perf_counter() - start, 1)}
            | {"compared": [each.to_dict() for each in compared]}
            | environment(device)
            | {"versions": exporters()}
        )
    return rows


def exporters() -> dict[str, str]:
    """Versions of what makes and runs the files."""
    from importlib.metadata import version

    return versions() | {name: version(name) for name in ("onnx", "onnxscript", "onnxruntime")}


def sizes(row: Row) -> tuple[str, ...]:
    """At which it was compared."""
    return tuple(f"{each['images']} of {each['height']} x {each['width']}" for each in row["compared"])


def table(rows: list[Row]) -> str:
    """Markdown: largest difference and, in brackets, its share of the largest logit."""
    lines: list[str] = []
    for group in dict.fromkeys(sizes(row) for row in rows):
        head = ["network", "file", *group, "other class", "MiB"]
        lines += ["", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for row in rows:
            if sizes(row) == group:
                compared = [Comparison(**each) for each in row["compared"]]
                cells = [f"{each.difference:.1e} ({each.relative:.0e})" for each in compared]
                other = f"{100 * max(each.other_class for each in compared):.3f} %"
                cells = [row["name"], row["format"], *cells, other, f"{row['bytes'] / 2**20:.0f}"]
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines[1:])


def main() -> None:
    """Export, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SUBJECTS), default=None, metavar="NAME", help="these alone")
    options = parse(parser)
    names = options.only or (["fcn"] if options.quick else list(SUBJECTS))
    rows: list[Row] = []
    for name in names:
        rows += measure(name, options.device)
        print(name, *(f"{row['seconds']} s" for row in rows[-len(FORMATS) :]), flush=True)
    print(table(rows))
    write(options.json, rows)


if __name__ == "__main__":
    main()
