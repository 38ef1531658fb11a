"""Deterministic mode: what it switches, and that no operation of ours would raise in it on CUDA."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.evaluation.confusion import ConfusionMatrix
from classaware.models import HEADS, Backbone, Segmenter
from classaware.models.layers import adaptive_average_pool, resize
from classaware.regularization import PRESETS, ClassAwareRegularization
from classaware.resizing import resize_maps
from classaware.rivals import CenterLoss, PixelContrast
from classaware.training import Objective
from classaware.training.determinism import SWITCHES, VARIABLES, arithmetic, deterministic

# Those of torch's operations that raise on CUDA in deterministic mode, by the list in the documentation of
# torch.use_deterministic_algorithms; bincount and nll_loss do so with some arguments alone.
RAISING = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d_backward",
    "avg_pool3d_backward",
    "max_pool3d_with_indices_backward",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "max_unpool2d",
    "max_unpool3d",
    "upsample_linear1d_backward",
    "upsample_bilinear2d_backward",
    "_upsample_bilinear2d_aa_backward",
    "upsample_bicubic2d_backward",
    "_upsample_bicubic2d_aa_backward",
    "upsample_trilinear3d_backward",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "replication_pad1d_backward",
    "replication_pad2d_backward",
    "replication_pad3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "_ctc_loss_backward",
    "_embedding_bag_per_sample_weights_backward",
    "histc",
    "kthvalue",
    "median",
    "nanmedian",
    "put_",
    "scatter_reduce",
    "scatter_reduce_",
    "index_reduce",
    "index_reduce_",
}
NLL = {"nll_loss_forward", "nll_loss2d_forward", "nll_loss_backward", "nll_loss2d_backward"}


class Audit(TorchDispatchMode):
    """Notes the operations that would raise, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.raising: set[str] = set()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.seen.add(name)
        weights = args[1] if len(args) > 1 else (kwargs or {}).get("weights")
        reduced = name in NLL and args[3 + ("backward" in name)] != 0
        weighted = name == "bincount" and weights is not None
        if name in RAISING or reduced or weighted:
            self.raising.add(name)
        return func(*args, **(kwargs or {}))


def networks() -> Iterator[Any]:
    for name, head in HEADS.items():
        options = {"grid": 4} if name == "cpnet" else {}
        yield pytest.param("test_resnet", partial(head, channels=8, **options), {}, id=name)
    for name in ("ocr", "danet", "upernet"):
        yield pytest.param("test_resnet", partial(HEADS[name], channels=8, as_released=True), {}, id=f"{name} released")
    yield pytest.param("resnet18", partial(HEADS["fcn"], channels=8), {"aux_channels": 8, "dropout": 0.1}, id="resnet")
    yield pytest.param("test_efficientnet", partial(HEADS["fcn"], channels=8), {"jpu": True}, id="efficientnet jpu")
    yield pytest.param("test_convnext", partial(HEADS["upernet"], channels=8), {}, id="convnext")


def batch(classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (2, 64, 96), generator=generator)
    labels[:, :9] = 255
    return torch.rand(2, 3, 64, 96, generator=generator), labels


@pytest.mark.parametrize(("backbone", "head", "options"), list(networks()))
def test_training_and_validation_use_nothing_that_raises(backbone: str, head: Any, options: dict[str, Any]) -> None:
    network = Segmenter(Backbone(backbone), head, 5, "on", **options)
    objective = Objective(network, ClassAwareRegularization(5, pool=2))
    images, labels = batch(5)
    with Audit() as audit, deterministic():
        loss, _ = objective(network(images), labels)
        loss.backward()
        network.eval()
        for way in (Inference(), Inference(scales=(0.5, 1.0), flip=True, window=(40, 40), pad_size=(80, 100))):
            metric = ConfusionMatrix(5)
            metric.update(way.predict(network, (images * 255).byte(), (64, 96)), labels)
    assert "convolution_backward" in audit.seen
    assert not audit.raising


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("centers", ["batch", "image", "ema"])
def test_regularizer_uses_nothing_that_raises(preset: Any, centers: Any) -> None:
    regularizer = ClassAwareRegularization(5, preset=preset, centers=centers, drop_max=True)
    features = torch.randn(2, 8, 16, 24).requires_grad_()
    with Audit() as audit, deterministic():
        regularizer(features, batch(5)[1]).total.backward()
    assert features.grad is not None
    assert not audit.raising


@pytest.mark.parametrize("rival", [CenterLoss, partial(PixelContrast, memory_size=3)])
def test_rivals_use_nothing_that_raises(rival: Any) -> None:
    loss, features = rival(8, 5), torch.randn(2, 8, 16, 24).requires_grad_()
    with Audit() as audit, deterministic():
        for _ in range(2):
            loss(features, batch(5)[1]).backward()
    assert features.grad is not None
    assert not audit.raising


@pytest.mark.parametrize(
    ("used", "named"),
    [
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "upsample_bilinear2d_backward"),
        (lambda x: F.adaptive_avg_pool2d(x, 3), "_adaptive_avg_pool2d_backward"),
        (lambda x: F.cross_entropy(x, torch.zeros(1, 8, 8, dtype=torch.long)), "nll_loss2d_forward"),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "reflection_pad2d_backward"),
        (lambda x: F.grid_sample(x, torch.zeros(1, 2, 2, 2), align_corners=True), "grid_sampler_2d_backward"),
        (lambda x: x + torch.histc(x.detach(), 8), "histc"),
        (lambda x: x + torch.bincount(torch.arange(8), weights=torch.ones(8)), "bincount"),
    ],
)
def test_the_audit_finds_what_raises(used: Any, named: str) -> None:
    x = torch.randn(1, 4, 8, 8).requires_grad_()
    with Audit() as audit:
        used(x).sum().backward()
    assert named in audit.raising


@pytest.mark.parametrize("size", [(33, 33), (65, 17), (1, 1), (9, 40)])
@pytest.mark.parametrize("source", [(9, 9), (1, 5), (16, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_resizing_with_a_gradient_equals_torch(size: Any, source: Any, dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, *source, dtype=dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    ours, torchs = resize_maps(x, size), F.interpolate(wide, size, mode="bilinear", align_corners=True)
    error = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), torchs, atol=error, rtol=error)
    gradient = torch.randn(torchs.shape, dtype=torch.float64).to(dtype)
    ours.backward(gradient)
    torchs.backward(gradient.double())
    assert x.grad is not None
    assert wide.grad is not None
    torch.testing.assert_close(x.grad.double(), wide.grad, atol=10 * error, rtol=10 * error)


def test_resizing_is_float32_under_autocast_and_keeps_the_layout() -> None:
    x = torch.randn(2, 16, 9, 9).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize_maps(x, (33, 33)), resize_maps(x.clone(), (33, 33)))
        assert resize_maps(x, (33, 33)).dtype == torch.float32
    assert resize(x, (33, 33)).is_contiguous(memory_format=torch.channels_last)
    assert resize(x.detach(), (33, 33)).is_contiguous(memory_format=torch.channels_last)


def test_pooling_needs_no_kernel_of_its_own() -> None:
    x = torch.randn(1, 4, 7, 9).requires_grad_()
    with Audit() as audit:
        adaptive_average_pool(x, 3).sum().backward()
    assert not {name for name in audit.seen if "pool" in name}


def state() -> tuple[Any, ...]:
    return tuple(s.read() for s in SWITCHES), tuple(os.environ.get(v.name) for v in VARIABLES)


def test_everything_is_switched_and_set_back() -> None:
    before = state()
    with deterministic(False):
        assert state() == before
    with deterministic():
        assert state() == (tuple(s.value for s in SWITCHES), tuple(v.values[0] for v in VARIABLES))
        assert torch.get_deterministic_debug_mode() == 2  # raise, not warn
        assert arithmetic()["deterministic"] is True
    assert state() == before
    with suppress(ZeroDivisionError), deterministic():
        raise ZeroDivisionError
    assert state() == before
    assert arithmetic()["deterministic"] is False


def test_every_switch_has_its_reason() -> None:
    assert all(len(entry.reason) > 40 for entry in (*SWITCHES, *VARIABLES))


def test_a_variable_with_another_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic():
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    before = state()
    with pytest.raises(InputError, match=r"CUBLAS_WORKSPACE_CONFIG is ':0:0'"), deterministic():
        pass
    assert state() == before


def test_it_must_come_before_the_device_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(InputError, match="CUBLAS_WORKSPACE_CONFIG=:4096:8"), deterministic():
        pass
