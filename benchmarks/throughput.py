"""Training images a second of the same network in other libraries' own models and in this project's.

    python benchmarks/throughput.py [--quick] [--json FILE] [--batch 2] [--size 256] [--precisions fp32 bf16]
        [--networks deeplabv3 fcn upernet-256 upernet-512]

Same architecture, ResNet-50, crop, batch, loss, optimizer and memory layout, random weights; numbers of parameters are
shown. A step is forward, logits at the size of the crop, cross-entropy, backward and SGD, in turns. Counterparts are
torchvision's DeepLabV3 and FCN, DeepLabV3 and UPerNet of segmentation-models-pytorch, and UPerNet of transformers
(``pip install 'classaware[bench]'``); a library that is not installed is named and skipped. (torchvision's heads end
in a convolution more, respectively less, than the papers'; this project's are built to match.)
"""

import argparse
from collections.abc import Callable
from functools import partial
from importlib import import_module
from statistics import median

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
    write,
)
from torch import Tensor, nn

from classaware.evaluation import resize_logits
from classaware.models import Backbone, DeepLabV3Head, Head, HeadInputs, HeadOutput, Segmenter, UPerNetHead
from classaware.models.layers import conv_norm_act
from classaware.training.loss import cross_entropy

CLASSES, IGNORED = 59, 255
OURS = "classaware"

Factory = Callable[[], nn.Module]


class LongDeepLabV3(DeepLabV3Head):
    """torchvision's and smp's: the five branches are brought together by a 1x1 convolution before a 3x3."""

    def __init__(self, inputs: HeadInputs) -> None:
        super().__init__(inputs)
        self.together = nn.Sequential(conv_norm_act(self.channels, self.tap_channels), nn.Dropout(0.5))
        self.channels = self.tap_channels
        self.projection = (3, self.tap_channels)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Last map (B, C, h, w) to (B, 256, h, w)."""
        return HeadOutput((self.together(super().forward(maps).features[0]),))


class ShortFCN(Head):
    """torchvision's: nothing but the 3x3 convolution to a quarter of the channels, which is the projection here."""

    levels = 1

    def __init__(self, inputs: HeadInputs) -> None:
        super().__init__()
        self.channels = inputs.channels[-1]
        self.tap_channels = self.channels // 4
        self.projection = (3, self.tap_channels)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """The last map."""
        return HeadOutput((maps[-1],))


class Ours(nn.Module):
    """This project's network with logits at the images' size."""

    def __init__(self, head: Callable[[HeadInputs], Head], output_stride: int, dropout: float = 0.0) -> None:
        super().__init__()
        backbone = Backbone("resnet50", output_stride=output_stride)  # type: ignore[arg-type]
        self.network = Segmenter(backbone, head, CLASSES, dropout=dropout)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, K, H, W)."""
        return resize_logits(self.network(images).logits, (images.shape[-2], images.shape[-1]))


class Unwrapped(nn.Module):
    """Another library's network, its output reduced to the logits."""

    def __init__(self, network: nn.Module, read: Callable[[object], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.read = read

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, K, H, W)."""
        return self.read(self.network(images))


def torchvision_model(name: str) -> nn.Module:
    """Of torchvision, without weights and without the auxiliary classifier."""
    make = getattr(import_module("torchvision.models.segmentation"), name)
    options = {"weights": None, "weights_backbone": None, "num_classes": CLASSES, "aux_loss": False}
    return Unwrapped(make(**options), lambda output: output["out"])  # type: ignore[index]


def smp_model(name: str, width: int) -> nn.Module:
    """Of segmentation-models-pytorch."""
    make = getattr(import_module("segmentation_models_pytorch"), name)
    network: nn.Module = make("resnet50", encoder_weights=None, classes=CLASSES, decoder_channels=width)
    return network


def transformers_upernet(width: int) -> nn.Module:
    """Of transformers, on its own ResNet-50."""
    library = import_module("transformers")
    backbone = library.ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    config = library.UperNetConfig(
        backbone_config=backbone, hidden_size=width, num_labels=CLASSES, use_auxiliary_head=False
    )
    return Unwrapped(library.UperNetForSemanticSegmentation(config), lambda output: output.logits)  # type: ignore[attr-defined]


NETWORKS: dict[str, dict[str, Factory]] = {
    "deeplabv3": {
        OURS: lambda: Ours(LongDeepLabV3, 8),
        "torchvision": lambda: torchvision_model("deeplabv3_resnet50"),
        "smp": lambda: smp_model("DeepLabV3", 256),
    },
    "fcn": {
        OURS: lambda: Ours(ShortFCN, 8, dropout=0.1),
        "torchvision": lambda: torchvision_model("fcn_resnet50"),
    },
    "upernet-256": {
        OURS: lambda: Ours(partial(UPerNetHead, channels=256), 32),
        "smp": lambda: smp_model("UPerNet", 256),
    },
    "upernet-512": {
        OURS: lambda: Ours(UPerNetHead, 32),
        "transformers": lambda: transformers_upernet(512),
    },
}


def training(network: nn.Module, images: Tensor, labels: Tensor, precision: str) -> Run:
    """A step."""
    network.to(images.device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def run() -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = cross_entropy(network(images), labels, IGNORED)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def make_networks(factories: dict[str, Factory]) -> dict[str, nn.Module]:
    """Those whose library is there."""
    networks = {}
    for library, make in factories.items():
        torch.manual_seed(0)
        try:
            networks[library] = make()
        except ModuleNotFoundError as error:
            print(f"skipped: {library} ({error.name} is not installed; pip install 'classaware[bench]')")
    return networks


def measure(name: str, precision: str, options: argparse.Namespace, rounds: int) -> list[Row]:
    """One row a library."""
    device, size = options.device, options.size
    networks = make_networks(NETWORKS[name])
    torch.manual_seed(0)
    images = torch.rand(options.batch, 3, size, size).to(device, memory_format=torch.channels_last)
    labels = scene_labels(options.batch, size, CLASSES, IGNORED).to(device)
    runs = {library: training(network, images, labels, precision) for library, network in networks.items()}
    memory = {}
    for library, run in runs.items():
        run()
        memory[library] = peak_bytes(run, device)
    times = interleaved(runs, device, rounds)
    shared = {"network": name, "backbone": "resnet50", "batch": options.batch, "size": size, "classes": CLASSES}
    shared |= {"precision": precision, "rounds": rounds, **environment(device)}
    return [
        shared
        | {
            "library": library,
            "version": version(library),
            "parameters": sum(p.numel() for p in networks[library].parameters()),
            "seconds": median(times[library]),
            "times": times[library],
            "spread": spread(times[library]),
            "images_per_second": options.batch / median(times[library]),
            "ours_over_its": ratio(times[library], times[OURS]),
            "peak_bytes": memory[library],
        }
        for library in runs
    ]


def version(library: str) -> str:
    """Of the package."""
    names = {"smp": "segmentation_models_pytorch"}
    return str(import_module(names.get(library, library)).__version__)


COLUMNS = {
    "network": number("network", ""),
    "precision": number("precision", ""),
    "library": lambda row: f"{row['library']} {row['version']}",
    "parameters": number("parameters", ","),
    "images/s": number("images_per_second", ".2f"),
    "spread": number("spread", ".1%"),
    "our images/s over its": number("ours_over_its", ".3f"),
    "peak, MiB": number("peak_bytes", ".0f", 2**-20),
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, help="2 on the CPU, 16 on CUDA")
    parser.add_argument("--size", type=int, help="side of the crop, a multiple of 32; 256 on the CPU, 512 on CUDA")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    options = parse(parser)
    on_cpu = options.device.type == "cpu"
    options.batch = options.batch or (2 if on_cpu else 16)
    options.size = options.size or (256 if on_cpu else 512)
    if options.size % 32:
        parser.error(f"--size {options.size}: smp takes multiples of 32.")
    cells = [(name, precision) for name in options.networks for precision in options.precisions]
    rows: list[Row] = []
    for name, precision in cells[: 1 if options.quick else None]:
        rows += measure(name, precision, options, options.rounds or (3 if on_cpu else 20))
        print(f"measured {name} in {precision}", flush=True)
        write(options.json, rows)
    show(f"Training of ResNet-50 networks, {options.batch} x {options.size}²", COLUMNS, rows)


if __name__ == "__main__":
    main()
