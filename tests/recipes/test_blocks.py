"""The packaged YAML files: each is valid over a row, and network, backbone and data set combine freely."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from classaware.commands.configuration import expand_recipes, find_recipe
from classaware.commands.fit import build_parser
from classaware.errors import InputError
from classaware.recipes import BLOCKS, ROWS
from classaware.training.card import build_network

PARSER = build_parser()


def group(name: str) -> list[str]:
    return [block for block in BLOCKS if block.startswith(f"{name}/")]


def parse(*names: str) -> Any:
    return PARSER.parse_args(expand_recipes([part for name in names for part in ("--config", name)]))


def test_blocks_are_the_files() -> None:
    assert len(group("networks")) == 10
    assert {"backbones/resnet18", "backbones/efficientnet-lite0", "backbones/convnext-large"} < set(BLOCKS)
    assert {"biased-scenes", "car", "camvid", "lite0-self-attention", "paper", "strong", "strong-adamw"} < set(BLOCKS)
    assert {block for row in ROWS.values() for block in row.blocks} < set(BLOCKS)
    assert all(block.path.is_file() for block in BLOCKS.values())


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_says_what_it_is_and_holds_only_the_options_that_fit_has(name: str) -> None:
    block = BLOCKS[name]
    assert block.path.read_text().startswith("# ")
    assert len(block.summary) > 20
    assert block.summary.endswith(".")
    assert block.summary.isascii()
    assert parse("table1/r1", name)


PAIRS = [(network, "backbones/resnet50") for network in group("networks")]
PAIRS += [("networks/ccnet", backbone) for backbone in group("backbones") if backbone != "backbones/resnet50"]


@pytest.mark.parametrize(("network", "backbone"), PAIRS)
def test_no_block_leaves_anything_behind_of_the_one_of_its_kind_that_came_before(network: str, backbone: str) -> None:
    fresh = parse("datasets/pascal-context", network, backbone)
    for earlier in ("table1/s8", "table2/caa-efficientnet-b5-coco-stuff-10k"):
        over = parse(earlier, "datasets/pascal-context", backbone, network)
        keys = set(fresh.network.backbone.as_dict()) - {"norm_momentum"}  # the block "paper" has it
        assert {k: over.network.backbone[k] for k in keys} == {k: fresh.network.backbone[k] for k in keys}
        assert over.regularizer.pool == fresh.regularizer.pool
        assert over.network.head.class_path == fresh.network.head.class_path
        assert over.data.val_split == "val"


def test_blocks_build_the_published_method() -> None:
    for network in group("networks"):
        config = parse("datasets/pascal-context", network, "backbones/resnet50")
        assert not config.network.head.init_args.get("as_released", False)
        assert config.training.affinity == "published"


@pytest.mark.parametrize(
    "names",
    [
        ("networks/caa", "backbones/convnext-large", "jpu", "strong", "strong-adamw"),
        ("networks/acfnet", "backbones/resnet18", "strong"),
        ("table1/s8", "strong", "strong-adamw"),
        ("networks/ocr", "backbones/hrnet-w48", "strong"),
        ("table2/caa-efficientnet-b5-car-pascal-context", "strong"),
    ],
    ids="+".join,
)
def test_combinations_that_the_comments_name_can_be_built(names: tuple[str, ...]) -> None:
    arguments = expand_recipes([part for name in ("datasets/pascal-context", *names) for part in ("--config", name)])
    config = PARSER.parse_args([*arguments, "--network.backbone.pretrained=no"])
    with torch.device("meta"):
        network = build_network(config.network.as_dict() | {"num_classes": 59})
    assert network.num_classes == 59


def test_files_and_yaml_in_place_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table1").mkdir()
    (tmp_path / "table1" / "r8").write_text("seed: 7\n")
    inline = "{seed: 3" + " " * 5000 + "}"  # longer than any file's name may be
    arguments = ["--seed", "1", "--config", "table1/r8", f"--config={inline}", "--config", inline, "--config"]
    assert expand_recipes(arguments) == arguments
    car = str(BLOCKS["car"].path)
    assert expand_recipes(["--config", "car", "--config=car.yaml", "car"]) == [
        "--config",
        car,
        f"--config={car}",
        "car",
    ]


def test_rows_stand_in_place_with_their_options() -> None:
    expanded = expand_recipes(["--seed=1", "--config", "table1/r6", "--config=Table1/R2.YAML", "--seed=2"])
    row = [part for name in ROWS["table1/r6"].blocks for part in ("--config", str(BLOCKS[name].path))]
    row += ROWS["table1/r6"].options
    second = [f"--config={BLOCKS[name].path}" for name in ROWS["table1/r2"].blocks] + [*ROWS["table1/r2"].options]
    assert "--regularizer.inter_c2p_weight=0.0" in row
    assert "--network.projection=1x1" in second
    assert expanded == ["--seed=1", *row, *second, "--seed=2"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("table1/r9", "table1/r"),
        ("ccnet", "networks/ccnet"),
        ("table2/ccnet-resnet50-car-pascalcontext", "table2/ccnet-resnet50-car-pascal-context"),
        ("pascal-context", "datasets/pascal-context"),
        ("TABLE2/FCN-ResNet50-CAR", "table2/fcn-resnet50-car-"),
    ],
)
def test_unknown_names_with_a_suggestion(typed: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"{re.escape(repr(typed))}.*did you mean '{meant}") as caught:
        expand_recipes(["--config", typed])
    assert "\n" not in str(caught.value)


def test_unknown_names_without_a_neighbor() -> None:
    with pytest.raises(
        InputError, match=r"^config 'qqqqq' is neither .* \(biased-scenes, .*'classaware recipes' lists\)\.$"
    ):
        expand_recipes(["--config", "qqqqq"])
    with pytest.raises(InputError, match="neither a file"):
        expand_recipes(["--config="])


@pytest.mark.parametrize("typed", ["TABLE1/R8", "table1/r8.yaml", "Networks/CCNet"])
def test_upper_and_lower_case(typed: str) -> None:
    assert find_recipe(typed).name == typed.lower().removesuffix(".yaml")


def test_blocks_are_small() -> None:
    """What many files would say is said once."""
    for block in BLOCKS.values():
        assert len(block.path.read_text().splitlines()) <= 40, block.name
        groups = {"data", "network", "regularizer", "training", "trainer", "inference"}
        assert set(yaml.safe_load(block.path.read_text())) <= groups
