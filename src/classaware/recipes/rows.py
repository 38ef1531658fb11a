"""Every result of the paper's Tables 1 and 2: what was published, and the blocks and options that it is made of.

Huang et al., "CAR: Class-Aware Regularizations for Semantic Segmentation", ECCV 2022.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Row:
    """One published result (mIoU in percent, single scale, no flip).

    Attributes:
        name: to be given to ``--config``, such as ``table1/r8``.
        table: 1 or 2.
        row: R1 to S8 in Table 1; the line, 1 to 28, in Table 2.
        network: the method's name in the paper.
        backbone: the backbone's name in the paper.
        car: whether with CAR.
        dataset: name of the data set's block.
        published_miou: as printed.
        blocks: names of the YAML blocks, later ones over earlier ones.
        options: values set over the blocks, as on the command line.
    """

    name: str
    table: int
    row: str
    network: str
    backbone: str
    car: bool
    dataset: str
    published_miou: float
    blocks: tuple[str, ...]
    options: tuple[str, ...]


class _Line(NamedTuple):
    """A network's two lines of Table 2: mIoU on each data set without and with CAR, and whether § is printed."""

    network: str
    backbone: str
    pascal_context: tuple[float, float]
    coco_stuff: tuple[float, float]
    reduced_margin: bool = False


_TABLE_2 = (
    _Line("FCN", "ResNet-50", (47.72, 48.40), (34.10, 34.91), reduced_margin=True),
    _Line("FCN", "ResNet-101", (50.93, 51.39), (35.93, 36.88), reduced_margin=True),
    _Line("DeepLabV3", "ResNet-50", (48.59, 49.53), (34.96, 35.13)),
    _Line("DeepLabV3", "ResNet-101", (51.69, 52.58), (36.92, 37.39)),
    _Line("Self-Attention", "ResNet-50", (48.32, 50.50), (34.35, 36.58), reduced_margin=True),
    _Line("Self-Attention", "ResNet-101", (51.59, 52.49), (36.53, 38.15)),
    _Line("CCNet", "ResNet-50", (49.15, 49.56), (35.10, 36.39)),
    _Line("CCNet", "ResNet-101", (51.41, 51.97), (36.88, 37.56)),
    _Line("DANet", "ResNet-101", (51.45, 52.57), (35.80, 37.47)),
    _Line("CPNet", "ResNet-101", (51.29, 51.98), (36.92, 37.12), reduced_margin=True),
    _Line("OCR", "HRNet-W48", (54.37, 54.99), (38.22, 39.53)),
    _Line("UperNet", "Swin-Tiny", (49.62, 50.78), (36.07, 36.63), reduced_margin=True),
    _Line("UperNet", "Swin-Large", (57.48, 58.97), (44.25, 44.88)),
    _Line("CAA", "EfficientNet-B5", (57.79, 58.96), (43.40, 43.93)),
)

_TERMS = ("intra_c2p", "inter_c2c", "inter_c2p")
# Rows 1 to 8 of either half of Table 1: the terms of CAR that are on, and whether "A" is.
_STEPS = (
    ((), False),
    ((), True),
    (_TERMS[:1], False),
    (_TERMS[:2], False),
    (_TERMS, False),
    (_TERMS[:1], True),
    (_TERMS[:2], True),
    (_TERMS, True),
)
_TABLE_1 = {
    "R": ("Self-Attention", "ResNet-50", (48.32, 48.56, 49.17, 49.79, 50.01, 49.62, 50.00, 50.50)),
    "S": ("UperNet", "Swin-Tiny", (49.62, 49.82, 49.01, 50.63, 50.26, 49.62, 50.58, 50.78)),
}

# Where the authors' code is not the published method, a published number needs what their code computes.
_TRANSPOSED = ("DANet", "OCR", "UperNet")


def _options(network: str, terms: tuple[str, ...], a: bool, c2c_margin: float) -> tuple[str, ...]:
    """All that tells the rows apart beside their blocks, so that nothing of a row before it is left."""
    options = [
        f"--network.car={'on' if terms else 'off'}",
        f"--network.projection={'1x1' if a else '3x3'}",
        "--network.jpu=false",
        *(f"--regularizer.{term}_weight={float(not terms or term in terms)}" for term in _TERMS),
        f"--regularizer.c2c_margin={c2c_margin}",
        f"--training.affinity={'released' if network == 'CPNet' else 'published'}",
    ]
    return (*options, *(["--network.head.as_released=true"] if network in _TRANSPOSED else []))


def _blocks(network: str, backbone: str, dataset: str) -> tuple[str, ...]:
    return f"networks/{network.lower()}", f"backbones/{_short(backbone)}", f"datasets/{dataset}", "paper"


def _short(backbone: str) -> str:
    return backbone.lower().replace("resnet-", "resnet")


def _table_1() -> Iterator[Row]:
    for half, (network, backbone, published) in _TABLE_1.items():
        for i, ((terms, a), miou) in enumerate(zip(_STEPS, published, strict=True), 1):
            yield Row(
                name=f"table1/{half.lower()}{i}",
                table=1,
                row=f"{half}{i}",
                network=network,
                backbone=backbone,
                car=bool(terms),
                dataset="pascal-context",
                published_miou=miou,
                blocks=_blocks(network, backbone, "pascal-context"),
                options=_options(network, terms, a, 0.5),
            )


def _table_2() -> Iterator[Row]:
    for i, line in enumerate(_TABLE_2):
        for car in (False, True):
            for dataset, published in (("pascal-context", line.pascal_context), ("coco-stuff-10k", line.coco_stuff)):
                reduced = car and line.reduced_margin and dataset == "coco-stuff-10k"
                yield Row(
                    name=f"table2/{line.network.lower()}-{_short(line.backbone)}-{'car-' if car else ''}{dataset}",
                    table=2,
                    row=str(2 * i + car + 1),
                    network=line.network,
                    backbone=line.backbone,
                    car=car,
                    dataset=dataset,
                    published_miou=published[car],
                    blocks=_blocks(line.network, line.backbone, dataset),
                    options=_options(line.network, _TERMS if car else (), car, 0.25 if reduced else 0.5),
                )


ROWS = {row.name: row for row in (*_table_1(), *_table_2())}
