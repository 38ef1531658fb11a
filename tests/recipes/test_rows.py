"""The rows of the paper's tables: the numbers as printed, and what each row's configuration is."""

from typing import Any

import pytest
import torch

from classaware.commands.configuration import expand_recipes
from classaware.commands.fit import build_parser
from classaware.recipes import BLOCKS, ROWS, Row
from classaware.training.card import build_network

# Table 1 of the paper: row, intra-c2p, inter-c2c, inter-c2p, "A", mIoU.
TABLE_1 = """
R1 . . . . 48.32
R2 . . . x 48.56
R3 x . . . 49.17
R4 x x . . 49.79
R5 x x x . 50.01
R6 x . . x 49.62
R7 x x . x 50.00
R8 x x x x 50.50
S1 . . . . 49.62
S2 . . . x 49.82
S3 x . . . 49.01
S4 x x . . 50.63
S5 x x x . 50.26
S6 x . . x 49.62
S7 x x . x 50.58
S8 x x x x 50.78
"""
# Table 2: method, backbone, Pascal Context, COCO-Stuff-10K (51.39 is printed with +0.49, but is 0.46 more than 50.93).
TABLE_2 = """
FCN ResNet-50 47.72 34.10
FCN+CAR ResNet-50 48.40 34.91§
FCN ResNet-101 50.93 35.93
FCN+CAR ResNet-101 51.39 36.88§
DeepLabV3 ResNet-50 48.59 34.96
DeepLabV3+CAR ResNet-50 49.53 35.13
DeepLabV3 ResNet-101 51.69 36.92
DeepLabV3+CAR ResNet-101 52.58 37.39
Self-Attention ResNet-50 48.32 34.35
Self-Attention+CAR ResNet-50 50.50 36.58§
Self-Attention ResNet-101 51.59 36.53
Self-Attention+CAR ResNet-101 52.49 38.15
CCNet ResNet-50 49.15 35.10
CCNet+CAR ResNet-50 49.56 36.39
CCNet ResNet-101 51.41 36.88
CCNet+CAR ResNet-101 51.97 37.56
DANet ResNet-101 51.45 35.80
DANet+CAR ResNet-101 52.57 37.47
CPNet ResNet-101 51.29 36.92
CPNet+CAR ResNet-101 51.98 37.12§
OCR HRNet-W48 54.37 38.22
OCR+CAR HRNet-W48 54.99 39.53
UperNet Swin-Tiny 49.62 36.07
UperNet+CAR Swin-Tiny 50.78 36.63§
UperNet Swin-Large 57.48 44.25
UperNet+CAR Swin-Large 58.97 44.88
CAA EfficientNet-B5 57.79 43.40
CAA+CAR EfficientNet-B5 58.96 43.93
"""
HEADS = {
    "FCN": "FCNHead",
    "DeepLabV3": "DeepLabV3Head",
    "Self-Attention": "SelfAttentionHead",
    "CCNet": "CCNetHead",
    "DANet": "DANetHead",
    "CPNet": "CPNetHead",
    "OCR": "OCRHead",
    "UperNet": "UPerNetHead",
    "CAA": "CAAHead",
}
# timm's name, output stride, multi-grid, drop path, last convolution
BACKBONES = {
    "ResNet-50": ("resnet50s", 8, (1, 2, 4), None, False),
    "ResNet-101": ("resnet101s", 8, (1, 2, 4), None, False),
    "HRNet-W48": ("hrnet_w48", 32, (), None, False),
    "Swin-Tiny": ("swin_tiny_patch4_window7_224", 32, (), 0.1, False),
    "Swin-Large": ("swin_large_patch4_window12_384", 32, (), 0.1, False),
    "EfficientNet-B5": ("tf_efficientnet_b5", 8, (), 0.4, True),
}
# Trainable parameters behind the backbone in the authors' code at K = 59: baseline, with CAR and "A".
PARAMETERS = {
    "FCN": (9_584_955, 9_994_299),
    "DeepLabV3": (15_550_267, 15_616_059),
    "Self-Attention": (12_157_115, 10_322_619),
    "CCNet": (23_954_620, 13_731_516),
    "DANet": (23_955_645, 20_286_653),
    "CPNet": (26_282_555, 13_962_299),
    "OCR": (9_010_950, 9_273_606),
    "UperNet": (44_033_595, 35_907_643),
}
SPLITS = {"pascal-context": "val", "coco-stuff-10k": "test"}
PARSER = build_parser()


def parse(*arguments: str) -> Any:
    return PARSER.parse_args(expand_recipes(arguments))


def printed() -> list[tuple[int, str, str, str, bool, str, float, bool, tuple[float, float, float], float]]:
    """Table, row, network, backbone, car, data set, mIoU, "A", weights, margin of inter-c2c: in the tables' order."""
    expected: list[Any] = []
    for line in TABLE_1.split("\n")[1:-1]:
        row, *marks, miou = line.split()
        intra, c2c, c2p, a = (mark == "x" for mark in marks)
        network = ("Self-Attention", "ResNet-50") if row[0] == "R" else ("UperNet", "Swin-Tiny")
        weights = (float(intra), float(c2c), float(c2p)) if intra else (1.0, 1.0, 1.0)
        expected.append((1, row, *network, intra, "pascal-context", float(miou), a, weights, 0.5))
    for i, line in enumerate(TABLE_2.split("\n")[1:-1], 1):
        method, backbone, *results = line.split()
        network, _, car = method.partition("+")
        for dataset, miou in zip(SPLITS, results, strict=True):
            margin = 0.25 if miou.endswith("§") else 0.5
            number = float(miou.rstrip("§"))
            known = (2, str(i), network, backbone, bool(car), dataset, number, bool(car), (1.0, 1.0, 1.0), margin)
            expected.append(known)
    return expected


def test_every_result_of_both_tables_is_there_as_printed() -> None:
    rows = [(r.table, r.row, r.network, r.backbone, r.car, r.dataset, r.published_miou) for r in ROWS.values()]
    assert rows == [line[:7] for line in printed()]
    assert (len(rows), sum(row[0] == 1 for row in rows), sum(row[0] == 2 for row in rows)) == (72, 16, 56)


def test_reduced_margin_is_printed_five_times() -> None:
    reduced = [(line[2], line[3]) for line in printed() if line[-1] == 0.25]
    assert reduced == [
        ("FCN", "ResNet-50"),
        ("FCN", "ResNet-101"),
        ("Self-Attention", "ResNet-50"),
        ("CPNet", "ResNet-101"),
        ("UperNet", "Swin-Tiny"),
    ]


def test_names_are_short_and_for_the_command_line() -> None:
    assert all(name == row.name for name, row in ROWS.items())
    assert {"table1/r8", "table1/s1", "table2/ccnet-resnet50-car-pascal-context"} < set(ROWS)
    assert {"table2/fcn-resnet101-coco-stuff-10k", "table2/caa-efficientnet-b5-car-coco-stuff-10k"} < set(ROWS)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-/") for name in ROWS)
    assert not set(ROWS) & set(BLOCKS)


@pytest.mark.parametrize(("name", "line"), list(zip(ROWS, printed(), strict=True)), ids=list(ROWS))
def test_configuration_of_every_row(name: str, line: tuple[Any, ...]) -> None:
    table, _, network, backbone, car, dataset, _, a, weights, c2c_margin = line
    config = parse("--config", name)
    built, regularizer = config.network, config.regularizer

    assert built.head.class_path == f"classaware.models.{HEADS[network]}"
    assert built.head.init_args.channels == (256 if network == "DeepLabV3" else 512)
    assert built.head.init_args.get("as_released", False) == (network in ("DANet", "OCR", "UperNet"))
    given = built.backbone
    assert (given.name, given.output_stride, tuple(given.multi_grid), given.drop_path, given.top) == BACKBONES[backbone]
    assert given.norm_levels is (False if backbone.startswith("Swin") else None)
    assert (given.pretrained, given.norm_momentum, given.norm_eps) == ("timm", 3e-4, None)
    assert built.car == ("on" if car else "off")
    assert built.projection == ("1x1" if a else "3x3")
    assert (built.initialization, built.norm_eps, built.norm_momentum) == ("glorot", 1e-3, 3e-4)
    assert (built.jpu, built.aux_channels, built.dropout) == (False, 0, 0)

    assert regularizer.preset == "released"
    assert regularizer.pool == (2 if network in ("OCR", "UperNet") else 1)
    found = (regularizer.intra_c2p_weight, regularizer.inter_c2c_weight, regularizer.inter_c2p_weight)
    assert found == weights
    assert (regularizer.c2c_margin, regularizer.c2p_margin) == (c2c_margin, 0.25)

    assert config.data.dataset.class_path == "classaware.data.FolderDataset"
    assert str(config.data.dataset.init_args.root) == f"data/{dataset}"
    assert config.data.val_split == SPLITS[dataset]
    assert (tuple(config.data.crop_size), config.data.batch_size) == ((513, 513), 16)
    training = config.training
    assert (training.optimizer, training.lr, training.momentum) == ("sgd", 0.01, 0.9)
    assert (training.weight_decay, training.decay, training.average) == (2e-4, "released", "all")
    assert (training.power, training.warmup_steps, training.backbone_lr_scale) == (0.9, 0, 1.0)
    assert (training.aux_weight, training.affinity_weight) == (0.2, 0.2)
    assert training.affinity == ("released" if network == "CPNet" else "published")
    assert (config.trainer.max_steps, config.trainer.val_check_interval) == (30_000, 1000)
    assert table in (1, 2)


def head_parameters(row: Row) -> int:
    network = parse("--config", row.name, "--network.backbone.pretrained=no").network.as_dict()
    with torch.device("meta"):
        parameters = build_network(network | {"num_classes": 59}).named_parameters()
    return sum(p.numel() for name, p in parameters if not name.startswith("backbone."))


# ResNet-101's maps are as wide as ResNet-50's; the authors' numbers are of Swin-Tiny.
COUNTED = [
    row
    for row in ROWS.values()
    if row.table == 2 and row.dataset == "pascal-context" and row.backbone not in ("Swin-Large", "EfficientNet-B5")
]


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: row.name)
def test_networks_of_the_rows_have_the_size_of_the_authors(row: Row) -> None:
    assert head_parameters(row) == PARAMETERS[row.network][row.car]


@pytest.mark.parametrize(("name", "parameters"), [("table1/r2", 10_059_963), ("table1/r5", 12_419_771)])
def test_networks_of_the_rows_between_have_the_size_of_the_authors(name: str, parameters: int) -> None:
    assert head_parameters(ROWS[name]) == parameters


@pytest.mark.parametrize("name", ["table2/upernet-swin-large-car-pascal-context", "table1/s5"])
def test_other_rows_can_be_built(name: str) -> None:
    assert head_parameters(ROWS[name]) > 30_000_000


def test_what_comes_later_has_the_last_word() -> None:
    name = "table1/r6"
    assert parse("--config", name).regularizer.inter_c2p_weight == 0
    assert parse("--config", name, "--regularizer.inter_c2p_weight=0.5").regularizer.inter_c2p_weight == 0.5
    assert parse("--regularizer.inter_c2p_weight=0.5", "--config", name).regularizer.inter_c2p_weight == 0
    config = parse(f"--config={name}", "--config=table1/r3", "--config=backbones/resnet18")
    assert (config.network.projection, config.network.backbone.name) == ("3x3", "resnet18")


# What sets a row apart from others: parts of CAR, margins, released forms, JPU, pooling, data.
APART = [
    "table1/r1",
    "table1/r3",
    "table1/r8",
    "table1/s4",
    "table2/fcn-resnet50-car-coco-stuff-10k",
    "table2/fcn-resnet50-pascal-context",
    "table2/danet-resnet101-car-pascal-context",
    "table2/cpnet-resnet101-car-coco-stuff-10k",
    "table2/ocr-hrnet-w48-coco-stuff-10k",
    "table2/caa-efficientnet-b5-car-pascal-context",
]


def without_source(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.as_dict().items() if key != "config"}


@pytest.mark.parametrize("later", APART)
def test_nothing_of_a_row_is_left_under_another(later: str) -> None:
    alone = without_source(parse("--config", later))
    for earlier in [*APART, "car", "jpu"]:
        assert without_source(parse("--config", earlier, "--config", later)) == alone, earlier


def test_car_over_a_row_is_all_of_car() -> None:
    regularizer = parse("--config", "table1/r3", "--config", "car").regularizer
    assert regularizer.intra_c2p_weight == regularizer.inter_c2c_weight == regularizer.inter_c2p_weight == 1


def test_strong_over_a_released_row_trains_the_published_loss() -> None:
    row = "table2/cpnet-resnet101-pascal-context"
    assert parse("--config", row, "--config", "strong").training.affinity == "published"


def test_strong_over_rows() -> None:
    config = parse("--config", "table2/fcn-resnet101-car-pascal-context", "--config", "strong")
    training, network = config.training, config.network
    assert (tuple(config.data.crop_size), config.trainer.max_steps) == ((480, 480), 80_000)
    assert (training.lr, training.weight_decay, training.decay) == (0.004, 1e-4, "kernels")
    assert (training.average, training.aux_weight, network.aux_channels) == ("valid", 0.4, 256)
    assert (network.dropout, network.initialization) == (0.1, "kaiming")
    assert (network.norm_eps, network.norm_momentum, network.backbone.norm_momentum) == (1e-5, 0.1, 0.1)
    assert (network.car, network.projection, network.backbone.name) == ("on", "1x1", "resnet101s")
    swin = parse(*(p for n in ("table1/s8", "strong", "strong-adamw") for p in ("--config", n)))
    assert (swin.training.optimizer, swin.training.lr, swin.training.weight_decay) == ("adamw", 6e-5, 0.01)
    assert (swin.training.warmup_steps, swin.network.backbone.norm_levels, swin.network.aux_channels) == (
        1500,
        True,
        256,
    )
    assert swin.network.head.init_args.as_released
