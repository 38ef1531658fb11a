"""Schedule by its formula; every parameter in its group."""

from functools import partial
from typing import Any, Literal

import pytest
import torch
from torch import nn

from classaware.errors import InputError
from classaware.models import HEADS, Backbone, FCNHead, Segmenter, SelfAttentionHead
from classaware.regularization import ClassAwareRegularization
from classaware.training import SegmentationTask
from classaware.training.optimization import create_optimizer, parameter_groups, poly_schedule


def rates(max_steps: int, power: float, warmup_steps: int, lr: float = 0.4) -> list[float]:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = create_optimizer("sgd", [{"params": [weight], "lr": lr}], momentum=0.9)
    schedule = poly_schedule(optimizer, max_steps, power, warmup_steps)
    seen = []
    for _ in range(max_steps + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


@pytest.mark.parametrize("power", [0.9, 1.0, 2.0])
def test_poly_schedule_by_its_formula(power: float) -> None:
    seen = rates(10, power, warmup_steps=0)
    assert seen == pytest.approx([0.4 * (1 - step / 10) ** power for step in range(11)])
    assert seen[0] == 0.4
    assert seen[-1] == 0


def test_warm_up_rises_linearly_and_then_leaves_the_schedule_alone() -> None:
    plain, warm = rates(10, 0.9, 0), rates(10, 0.9, 3)
    assert [w / p for w, p in zip(warm[:10], plain[:10], strict=True)] == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 7)
    assert warm[-1] == 0


def test_past_the_end_the_rate_stays_zero() -> None:
    weight = nn.Parameter(torch.zeros(1))
    schedule = poly_schedule(torch.optim.SGD([weight], lr=1.0), 5, 0.9, 0)
    assert schedule.lr_lambdas[0](7) == 0


def segmenter(head: Any, car: Literal["off", "on"], projection: Literal["3x3", "1x1"]) -> Segmenter:
    return Segmenter(Backbone("test_resnet"), head, 3, car, projection)


def decayed(network: Segmenter, decay: Literal["released", "kernels"]) -> set[str]:
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, 0.01, 2e-4, decay, 1.0)
    return {names[p] for group in groups if group["weight_decay"] for p in group["params"]}  # type: ignore[attr-defined]


def attention(channels: Any) -> SelfAttentionHead:
    return SelfAttentionHead(channels, 16, 8)


def fcn(channels: Any) -> FCNHead:
    return FCNHead(channels, 16)


@pytest.mark.parametrize("head", [attention, fcn])
@pytest.mark.parametrize("car", ["off", "on"])
@pytest.mark.parametrize("projection", ["3x3", "1x1"])
@pytest.mark.parametrize("decay", ["released", "kernels"])
def test_every_parameter_is_in_exactly_one_group(head: Any, car: Any, projection: Any, decay: Any) -> None:
    network = segmenter(head, car, projection)
    groups = parameter_groups(network, 0.01, 2e-4, decay, 0.5)
    listed = [parameter for group in groups for parameter in group["params"]]  # type: ignore[attr-defined]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(network.parameters())


SELF_ATTENTION = {
    f"head.{name}.weight" for name in ("down.0", "attention.query", "attention.key", "attention.value")
} | {"classifier.weight"}


@pytest.mark.parametrize(
    ("car", "projection", "more"),
    [
        ("on", "1x1", set()),
        ("on", "3x3", {"projections.0.conv.0.weight"}),
        ("off", "3x3", {"projections.0.conv.0.weight"}),
    ],
)
def test_released_decays_what_the_authors_code_decays(car: Any, projection: Any, more: set[str]) -> None:
    assert decayed(segmenter(attention, car, projection), "released") == SELF_ATTENTION | more


# Kernels of the head that the authors' code builds too late for its weight decay, and the only ones that it reaches.
REACHED = {
    "ccnet": ("down.0", "after.0"),
    "cpnet": ("aggregation.down.0", "prior.0", "intra.0", "inter.0"),
    "ocr": ("down.0", "query.0.0", "query.1.0", "key.0.0", "key.1.0", "value.0"),
    "upernet": (
        "pooling.pooled.0.0",
        "pooling.pooled.1.0",
        "pooling.pooled.2.0",
        "pooling.pooled.3.0",
        "pooling.fuse.0",
    ),
}


@pytest.mark.parametrize("head", REACHED)
def test_released_leaves_out_what_the_authors_code_builds_late(head: str) -> None:
    options = {"grid": 4} if head == "cpnet" else {}
    network = segmenter(partial(HEADS[head], channels=8, **options), "on", "1x1")
    expected = {f"head.{name}.weight" for name in REACHED[head]} | {"classifier.weight"}
    assert decayed(network, "released") == expected - ({"classifier.weight"} if head == "ocr" else set())


@pytest.mark.parametrize("head", ["fcn", "deeplabv3", "ocr", "acfnet", "caa"])
@pytest.mark.parametrize(("projection", "decays"), [("3x3", True), ("1x1", False)])
def test_released_decays_the_heads_own_projection_even_if_it_is_1x1(head: str, projection: Any, decays: bool) -> None:
    names = decayed(segmenter(partial(HEADS[head], channels=8), "on", projection), "released")
    assert ("projections.0.conv.0.weight" in names) == decays
    assert "projections.0.linear.weight" not in names


def test_tables_of_relative_positions_do_not_decay() -> None:
    network = Segmenter(Backbone("swin_tiny_patch4_window7_224"), fcn, 3)
    assert not any("table" in name or "norm" in name for name in decayed(network, "kernels"))


def test_kernels_decays_all_kernels_and_neither_biases_nor_norms() -> None:
    network = segmenter(attention, "on", "1x1")
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    assert any(name.startswith("backbone.") for name in layers)
    assert decayed(network, "kernels") == {f"{name}.weight" for name in layers}


@pytest.mark.parametrize("decay", ["released", "kernels"])
def test_backbone_has_its_own_rate(decay: Literal["released", "kernels"]) -> None:
    network = segmenter(fcn, "on", "1x1")
    backbone = set(network.backbone.parameters())
    rate = {}
    for group in parameter_groups(network, 0.02, 1e-4, decay, 0.25):
        rate |= dict.fromkeys(group["params"], group["lr"])  # type: ignore[call-overload]
    assert {rate[p] for p in backbone} == {0.005}
    assert {rate[p] for p in set(network.parameters()) - backbone} == {0.02}


def test_optimizers_take_the_groups() -> None:
    weight = nn.Parameter(torch.ones(1))
    groups: list[dict[str, object]] = [{"params": [weight], "lr": 0.1, "weight_decay": 0.5}]
    sgd = create_optimizer("sgd", groups, 0.8)
    assert isinstance(sgd, torch.optim.SGD)
    settings = sgd.param_groups[0]
    assert (settings["lr"], settings["weight_decay"], settings["momentum"], settings["nesterov"]) == (
        0.1,
        0.5,
        0.8,
        False,
    )
    adamw = create_optimizer("adamw", groups, 0.8)
    assert isinstance(adamw, torch.optim.AdamW)
    assert (adamw.param_groups[0]["lr"], adamw.param_groups[0]["weight_decay"]) == (0.1, 0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0},
        {"lr": float("nan")},
        {"momentum": 1.0},
        {"weight_decay": -1e-4},
        {"backbone_lr_scale": -1.0},
        {"power": -0.9},
        {"warmup_steps": -1},
        {"aux_weight": -0.4},
        {"affinity_weight": float("inf")},
        {"affinity": "printed"},
    ],
)
def test_settings_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    network = segmenter(fcn, "off", "1x1")
    with pytest.raises(InputError, match=next(iter(wrong))):
        SegmentationTask(network, ClassAwareRegularization(3), **wrong)
