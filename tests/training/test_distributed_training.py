"""Losses, norms and steps of training: one process against two and three with shares of its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import product
from typing import Any

import gloo
import pytest
import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from classaware.regularization import ClassAwareRegularization
from classaware.rivals import CenterLoss, PixelContrast
from classaware.training import affinity_loss, cross_entropy
from classaware.training.synchronization import synchronize_norms

CLASSES, IMAGES, SIDE = 3, 6, 4
# The last image has no label at all; in the second split that is all that a process holds.
SHARES = {2: [[3, 3], [5, 1], [6, 0]], 3: [[2, 2, 2], [1, 4, 1], [4, 0, 2]]}


def part_of(counts: list[int]) -> slice:
    rank = dist.get_rank() if dist.is_initialized() else 0
    return slice(sum(counts[:rank]), sum(counts[: rank + 1]))


def batch(seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(IMAGES, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    labels = torch.randint(CLASSES, (IMAGES, SIDE, SIDE), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = 255
    labels[-1] = 255
    return images.to(dtype), labels


def fixed(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return module


# ---------------------------------------------------------------------------------------------------------- losses
Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Callable[[], Loss]] = {
    f"cross-entropy {average}": lambda average=average: lambda x, y: cross_entropy(x, y, 255, average)
    for average in ("valid", "all")
} | {
    f"affinity {form}": lambda form=form: (
        lambda x, y: affinity_loss(x.flatten(2).transpose(1, 2) @ x.flatten(2), y, 255, form)
    )
    for form in ("published", "released")
}
RIVALS = {
    "center loss": lambda: CenterLoss(CLASSES, CLASSES),
    "pixel contrast": lambda: fixed(PixelContrast(CLASSES, CLASSES, embedding_channels=4, memory_size=2)),
}


def loss_steps(make: Callable[[], Any], part: slice) -> dict[str, Tensor]:
    """Values, gradients to what makes the features, and state, of two steps."""
    loss, layer, found = make(), fixed(nn.Conv2d(3, CLASSES, 1)), {}
    for step in range(2):
        images, labels = batch(step)
        value = loss(layer(images[part]), labels[part])
        (found[f"gradient {step}"],) = torch.autograd.grad(value, [layer.weight])
        found[f"value {step}"] = value.detach()
    return found | (
        {f"state {k}": v.clone() for k, v in loss.state_dict().items()} if "state_dict" in dir(loss) else {}
    )


def loss_cases(size: int) -> Iterator[tuple[str, Callable[[], Any], list[int]]]:
    for (name, make), counts in product((LOSSES | RIVALS).items(), SHARES[size]):
        if 0 not in counts or name in LOSSES:
            yield f"{name} {counts}", make, counts


# ----------------------------------------------------------------------------------------------------------- norms
NORMS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.BatchNorm2d(3, eps=1e-3, momentum=0.2),
    "cumulative": lambda: nn.BatchNorm2d(3, momentum=None),
    "without weights": lambda: nn.BatchNorm2d(3, affine=False),
    "without statistics": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    "with activation": lambda: BatchNormAct2d(3, act_layer=nn.SiLU),
    "one layer of several": lambda: nn.Sequential(nn.Identity(), nn.BatchNorm2d(3)),
}


# What may be lost, of numbers of about 1, to float64's digits. (With an offset the squares have none left in float32.)
DIGITS = {
    (torch.float64, 0): 1e-12,
    (torch.float64, 1000): 1e-9,
    (torch.float32, 0): 5e-6,
    (torch.float32, 1000): 2e-3,
    (torch.bfloat16, 0): 5e-2,
}


def norm_steps(norm: nn.Module, part: slice, dtype: torch.dtype, offset: float) -> dict[str, Tensor]:
    """Outputs, gradients and state of two steps in training mode, and the output in eval mode."""
    norm, found = fixed(norm.to(dtype)), {}
    for step in range(2):
        x = (batch(step, torch.float64)[0] * (1 + step) + offset).to(dtype)[part]
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        y = norm(x)
        (y * y.detach().cos() * torch.arange(1, 4).view(3, 1, 1)).sum().backward()
        found |= {f"share y {step}": y.detach(), f"share dx {step}": x.grad}
    found |= {f"sum {name}": parameter.grad for name, parameter in norm.named_parameters()}
    if "running_mean" in str(list(norm.state_dict())):  # elsewhere eval mode is about one process's images alone
        found["share eval"] = norm.eval()(x).detach()
    return found | {f"state {name}": value.clone() for name, value in norm.state_dict().items()}


# ----------------------------------------------------------------------------------------------------------- steps
class Tiny(nn.Module):
    """A network with a norm, a tap and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.tap = nn.Conv2d(8, 6, 1)
        self.classifier = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, CLASSES, 1))
        self.car = ClassAwareRegularization(CLASSES, centers="ema")

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        tap = self.tap(self.stem(images))
        return cross_entropy(self.classifier(tap), labels, 255) + self.car(tap, labels).total


def trained(wrap: Callable[[nn.Module], nn.Module], part: slice) -> dict[str, Tensor]:
    """Losses and weights of three steps of two accumulated batches each."""
    inner = fixed(Tiny())
    model = wrap(inner)
    optimizer = torch.optim.SGD(inner.parameters(), lr=0.1, momentum=0.9)
    found = {}
    for step in range(6):
        images, labels = batch(step)
        last = step % 2 == 1
        with nullcontext() if last or not isinstance(model, DistributedDataParallel) else model.no_sync():
            loss = model(images[part], labels[part])
            (loss / 2).backward()
        found[f"loss {step}"] = loss.detach()
        if last:
            optimizer.step()
            optimizer.zero_grad()
    full = {name: getattr(value, "full_tensor", value.clone)() for name, value in inner.state_dict().items()}
    return found | full


def sharded(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for part in (model.stem, model.tap):
        fully_shard(part, mesh=mesh)
    return fully_shard(model, mesh=mesh)


WRAPS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DDP": lambda model: DistributedDataParallel(synchronize_norms(model)),
    "FSDP": lambda model: sharded(synchronize_norms(model)),
}


# ----------------------------------------------------------------------------------------------------------- tests
def work() -> dict[str, dict[str, Tensor]]:
    size = dist.get_world_size()
    found = {}
    for name, make, counts in loss_cases(size):
        result = loss_steps(make, part_of(counts))
        found[name] = {key: gloo.averaged(v) if "gradient" in key else v for key, v in result.items()}
    for (name, make), counts, (dtype, offset) in product(NORMS.items(), SHARES[size], DIGITS):
        norm = synchronize_norms(make())
        found[f"{name} {counts} {dtype} {offset}"] = norm_steps(norm, part_of(counts), dtype, offset)
    for (name, wrap), counts in product(WRAPS.items(), SHARES[size][:2]):
        found[f"{name} {counts}"] = trained(wrap, part_of(counts))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, dict[str, Tensor]]]]:
    return gloo.run(work, tmp_path_factory.mktemp("processes"))


def close(found: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    largest = max(1.0, float(expected.float().abs().max()))
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * largest, msg=lambda m: f"{name}: {m}")


SIZES = pytest.mark.parametrize("size", [2, 3])


@SIZES
@pytest.mark.parametrize("loss", [*LOSSES, "center loss"])
def test_losses_are_those_of_the_joint_batch(found: Any, size: int, loss: str) -> None:
    expected = loss_steps((LOSSES | RIVALS)[loss], slice(None))
    for name, _, _ in loss_cases(size):
        for each in found[size] if name.startswith(loss) else ():
            assert set(each[name]) == set(expected)
            for key, value in expected.items():
                close(each[name][key], value, 1e-6, key)


@SIZES
def test_pixel_contrast_is_the_mean_of_the_processes_own(found: Any, size: int) -> None:
    for counts in (counts for counts in SHARES[size] if 0 not in counts):
        alone = [loss_steps(RIVALS["pixel contrast"], s) for s in slices(counts)]
        for each, own in zip(found[size], alone, strict=True):
            mine = each[f"pixel contrast {counts}"]
            for key, value in own.items():
                mean = value if "state" in key else torch.stack([other[key] for other in alone]).mean(0)
                close(mine[key], mean, 1e-6, key)


@SIZES
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("dtype", "offset"), DIGITS)
def test_norms_are_torchs_on_the_joint_batch(
    found: Any, size: int, norm: str, dtype: torch.dtype, offset: float
) -> None:
    expected = norm_steps(NORMS[norm](), slice(None), torch.float64, offset)
    tolerance = DIGITS[dtype, offset]
    for counts in SHARES[size]:
        results = [each[f"{norm} {counts} {dtype} {offset}"] for each in found[size]]
        assert all(list(each) == list(expected) for each in results)
        for key, value in expected.items():
            parts = [each[key] for each in results]
            if key.startswith("sum"):
                mine = [torch.stack(parts).sum(0)]
            else:
                mine = [torch.cat(parts)] if key.startswith("share") else parts
            for each in mine:
                close(each.to(value.dtype), value, tolerance, key)


@SIZES
@pytest.mark.parametrize("wrap", WRAPS)
def test_accumulated_steps_are_those_of_the_joint_batch(found: Any, size: int, wrap: str) -> None:
    expected = trained(lambda model: model, slice(None))
    for counts in SHARES[size][:2]:
        for each in found[size]:
            mine = each[f"{wrap} {counts}"]
            assert set(mine) == set(expected)
            for key, value in expected.items():
                close(mine[key], value, 2e-6, key)


def slices(counts: list[int]) -> list[slice]:
    return [slice(sum(counts[:i]), sum(counts[: i + 1])) for i in range(len(counts))]
