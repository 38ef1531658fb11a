"""CAR attached to a network in DistributedDataParallel or FSDP: the steps of one process with the joint batch."""

from __future__ import annotations

import gloo
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from classaware import attach, attached

K = 4
OPTIONS = {"released": {}, "masked": {"preset": "masked"}, "ema": {"centers": "ema"}}
WAYS = {"plain": {}, "unused": {"find_unused_parameters": True}, "static": {"static_graph": True}}
ALL_WAYS = (*WAYS, "sharded", "every layer sharded")


def network(options: dict) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, K, 3, padding=1)).double()
    attach(model, "2", num_classes=K, **options)
    return model


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(0, K, (4, 8, 8), generator=generator)


def two_steps(model: nn.Module, part: slice) -> dict[str, Tensor]:
    """Weights after two steps of SGD, through what the model is wrapped in."""
    (handle,) = attached(model)
    images, labels = (each[part] for each in batch())
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for _ in range(2):
        logits = model(images)
        loss = nn.functional.cross_entropy(logits, labels) + handle.losses(labels).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state = {name.removeprefix("module."): value for name, value in model.state_dict().items()}
    return {n: (value.full_tensor() if isinstance(value, DTensor) else value).clone() for n, value in state.items()}


def wrapped(options: str, way: str) -> nn.Module:
    model = network(OPTIONS[options])
    if way in WAYS:
        return nn.parallel.DistributedDataParallel(model, **WAYS[way])
    if way == "every layer sharded":
        fully_shard(model[0])
        fully_shard(model[2])
    fully_shard(model)
    with pytest.raises(ValueError, match=r"sharded \(fully_shard\): gather its full state dict"):
        attached(model)[0].fold()
    with pytest.raises(ValueError, match="attach before fully_shard"):
        attach(model, "0", num_classes=K)
    return model


def work() -> dict[str, dict[str, Tensor]]:
    share = 4 // dist.get_world_size()
    part = slice(dist.get_rank() * share, (dist.get_rank() + 1) * share)
    return {f"{options} {way}": two_steps(wrapped(options, way), part) for options in OPTIONS for way in ALL_WAYS}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    return gloo.run(work, tmp_path_factory.mktemp("processes"), sizes=(2,))[2]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("way", ALL_WAYS)
def test_two_processes_train_as_one(found, options, way):
    expected = two_steps(network(OPTIONS[options]), slice(None))
    start = network(OPTIONS[options]).state_dict()
    assert not torch.equal(expected["2.classaware.linear.weight"], start["2.classaware.linear.weight"])
    for each in found:
        assert set(each[f"{options} {way}"]) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(each[f"{options} {way}"][name], value, rtol=1e-10, atol=1e-12, msg=name)
