"""One process against two and three with shares of its batch."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import gloo
import pytest
import torch
import torch.distributed as dist
from car_cases import random_case
from torch import Tensor, nn

from classaware import ClassAwareRegularization
from classaware.regularization import losses
from classaware.regularization.centers import class_centers, class_sums
from classaware.regularization.labels import one_hot, resize_labels, split_valid
from classaware.regularization.pooling import average_pool

CLASSES, CHANNELS, IMAGES = 4, 5, 6
SHARES = {2: {"even": [3, 3], "uneven": [5, 1]}, 3: {"even": [2, 2, 2], "uneven": [1, 4, 1]}}
WEIGHTS = {"intra_c2p_weight": 0.7, "inter_c2c_weight": 1.3, "inter_c2p_weight": 0.4}
OPTIONS: dict[str, dict[str, Any]] = {
    f"{preset} {centers}": {"preset": preset, "centers": centers}
    for preset, centers in product(("released", "paper", "masked"), ("batch", "image", "ema"))
}
OPTIONS |= {
    "released pooled": {"pool": 2},
    "masked pooled": {"preset": "masked", "pool": 2, "centers": "image"},
    "released without the largest": {"drop_max": True},
    "masked without the largest": {"preset": "masked", "drop_max": True},
}
CASES = list(product(OPTIONS, ("even", "uneven"), (("float64", False), ("float64", True), ("float32", True))))
REPLICAS = list(product((name for name in OPTIONS if "ema" not in name), ("uneven",), (("float64", False),)))
REPLICAS += [("released batch", "even", ("float32", True)), ("paper image", "uneven", ("float32", True))]


def regularizer(options: str, fused: bool, reduce: str) -> ClassAwareRegularization:
    return ClassAwareRegularization(CLASSES, **WEIGHTS, **OPTIONS[options], fused=fused, reduce=reduce)


def batches(dtype: str) -> list[tuple[Tensor, Tensor]]:
    """Two steps. The last image has no label at all, in some cases all that a process holds; class 3 is absent once."""
    made = []
    for step in range(2):
        x, y = random_case(step, (IMAGES, 3, 6, 7), CLASSES - step, 0.3)
        y[-1] = 255
        made.append((x.to(getattr(torch, dtype)), y))
    return made


def layer(dtype: str) -> nn.Conv2d:
    """What the processes share: it makes features of the images."""
    made = nn.Conv2d(3, CHANNELS, 1, dtype=getattr(torch, dtype))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return made


def steps(car: nn.Module, dtype: str, part: slice) -> dict[str, Tensor]:
    """Terms, gradient and state after two steps on a part of each batch's images."""
    model, found = layer(dtype), {}
    for i, (images, labels) in enumerate(batches(dtype)):
        terms = car(model(images[part]), labels[part])
        second = dtype == "float64"
        (gradient,) = torch.autograd.grad(terms.total, [model.weight], create_graph=second)
        found[f"gradient {i}"] = gradient.detach()
        if second:
            (found[f"second gradient {i}"],) = torch.autograd.grad(gradient.sum(), [model.weight])
        found[f"terms {i}"] = torch.stack(terms).detach()
    return found | {name: value.clone() for name, value in car.state_dict().items()}


def part_of(how: str, size: int, rank: int) -> slice:
    counts = SHARES[size][how]
    return slice(sum(counts[:rank]), sum(counts[: rank + 1]))


def work() -> dict[str, dict[str, Tensor]]:
    size, rank = dist.get_world_size(), dist.get_rank()
    found = {}
    for reduce, cases in (("global", CASES), ("replica", REPLICAS)):
        for case in cases:
            options, how, (dtype, fused) = case
            result = steps(regularizer(options, fused, reduce), dtype, part_of(how, size, rank))
            found[f"{reduce} {case}"] = {
                name: gloo.averaged(value) if "gradient" in name else value for name, value in result.items()
            }
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, dict[str, Tensor]]]]:
    return gloo.run(work, tmp_path_factory.mktemp("processes"))


@cache
def alone(options: str, dtype: str) -> dict[str, Tensor]:
    return steps(regularizer(options, False, "global"), dtype, slice(None))


def close(found: Tensor, expected: Tensor, dtype: str, name: str) -> None:
    scale = 1e-6 if dtype == "float32" else 1e-12
    largest = float(expected.abs().max()) if expected.is_floating_point() else 0.0
    torch.testing.assert_close(found, expected, rtol=scale, atol=scale * largest, msg=lambda m: f"{name}: {m}")


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("options", OPTIONS)
def test_values_gradients_and_state_are_those_of_the_joint_batch(found: Any, size: int, options: str) -> None:
    for case in (case for case in CASES if case[0] == options):
        dtype = case[2][0]
        expected = alone(options, dtype)
        for rank, each in enumerate(found[size]):
            mine = each[f"global {case}"]
            assert set(mine) == set(expected)
            for name, value in expected.items():
                close(mine[name], value, dtype, f"{case} in process {rank}, {name}")


def replicas_by_hand(car: ClassAwareRegularization, x_BCHW: Tensor, y_BHW: Tensor, parts: list[slice]) -> list[Tensor]:
    """What each process returns under "replica": centers of all processes, f_mse over its own pixels."""
    knobs = car.knobs
    x_BCHW = average_pool(x_BCHW, car.pool)
    y_BHW = resize_labels(y_BHW, (x_BCHW.shape[2], x_BCHW.shape[3]))
    x_BPC = x_BCHW.flatten(2).transpose(1, 2)
    y_BP, valid_BP = split_valid(y_BHW.flatten(1), CLASSES, 255)
    own_BPK = one_hot(y_BP, valid_BP, CLASSES)
    sums_BKC, counts_BK = class_sums(x_BPC, own_BPK)
    if car.centers == "batch":
        sums_BKC, counts_BK = sums_BKC.sum(0, keepdim=True), counts_BK.sum(0, keepdim=True)
    all_mu_BKC, all_present_BK = class_centers(sums_BKC, counts_BK), counts_BK > 0
    found = []
    for part in parts:
        which = part if car.centers == "image" else slice(None)
        mu_BKC, present_BK = all_mu_BKC[which], all_present_BK[which]
        intra = losses.intra_c2p(x_BPC[part], y_BP[part], valid_BP[part], mu_BKC, knobs, car.drop_max)
        c2c = losses.inter_c2c(mu_BKC, mu_BKC, present_BK, car.c2c_margin, knobs)
        c2p = losses.inter_c2p(x_BPC[part], own_BPK[part], valid_BP[part], mu_BKC, present_BK, car.c2p_margin, knobs)
        terms = [losses.f_mse(mean, knobs) for mean in (intra, c2c, c2p)]
        terms[0] = losses.with_floor(terms[0], intra, knobs)
        found.append(torch.stack([*terms, sum(w * t for w, t in zip(WEIGHTS.values(), terms, strict=True))]))
    return found


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("case", REPLICAS, ids=str)
def test_replicas_square_their_own_means(found: Any, size: int, case: Any) -> None:
    options, how, (dtype, fused) = case
    model, parts = layer(dtype), [part_of(how, size, rank) for rank in range(size)]
    for i, (images, labels) in enumerate(batches(dtype)):
        expected = replicas_by_hand(regularizer(options, fused, "replica"), model(images), labels, parts)
        mean = torch.stack(expected)[:, 3].mean()
        (gradient,) = torch.autograd.grad(mean, [model.weight])
        for rank, each in enumerate(found[size]):
            mine = each[f"replica {case}"]
            close(mine[f"terms {i}"], expected[rank].detach(), dtype, f"terms of process {rank}")
            close(mine[f"gradient {i}"], gradient, dtype, "gradient")
