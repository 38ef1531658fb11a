"""Nothing in a training step waits for the device; fused and compiled training is the same training."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from golden import curve, furthest, write_data
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader

from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.models import HEADS, Backbone, FCNHead, Segmenter
from classaware.regularization import PRESETS, ClassAwareRegularization
from classaware.rivals import CenterLoss, PixelContrast
from classaware.training import Objective, SegmentationTask
from classaware.training.optimization import create_optimizer, parameter_groups, poly_schedule
from classaware.training.precision import default_precision


class Transfers(TorchDispatchMode):
    """Notes operations that bring something from the CPU to the device; back, a meta tensor has nothing to give."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given, made = ([t for t in tree_leaves(x) if isinstance(t, Tensor)] for x in ((args, kwargs), result))
        on_device = any(tensor.device.type == "meta" for tensor in (*given, *made))
        # A number of the CPU's goes along with the kernel that uses it.
        if on_device and any(tensor.device.type == "cpu" and tensor.ndim > 0 for tensor in given):
            self.names.add(func.overloadpacket.__name__)
        return result


def cases() -> Iterator[Any]:
    for name, head in HEADS.items():
        options = {"grid": 4} if name == "cpnet" else {}
        yield pytest.param(partial(head, channels=8, **options), {}, None, id=name)
    fcn = partial(FCNHead, channels=8)
    for preset in PRESETS:
        yield pytest.param(fcn, {"preset": preset, "drop_max": True, "pool": 2}, None, id=preset)
    for centers in ("image", "ema"):
        yield pytest.param(fcn, {"centers": centers}, None, id=centers)
    yield pytest.param(fcn, {}, CenterLoss, id="center loss")
    yield pytest.param(fcn, {}, partial(PixelContrast, memory_size=3), id="pixel contrast")


@pytest.mark.parametrize(("head", "options", "rival"), list(cases()))
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_on_a_device_without_values(
    monkeypatch: pytest.MonkeyPatch, head: Any, options: dict[str, Any], rival: Any, optimizer: Any
) -> None:
    """On the meta device whatever reads a value raises: item(), nonzero(), a mask as an index, a copy to the CPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # the meta device has none
    network = Segmenter(Backbone("test_resnet"), head, 5, "on")
    objective = Objective(network, ClassAwareRegularization(5, **options), rival=rival).to("meta")
    network.to("meta")
    steps = create_optimizer(optimizer, parameter_groups(network, 0.1, 1e-4, "kernels", 1.0), 0.9, fused=True)
    schedule = poly_schedule(steps, 10, 0.9, 0)
    images, labels = torch.rand(2, 3, 64, 96, device="meta"), torch.zeros(2, 64, 96, dtype=torch.long, device="meta")
    for _ in range(2):
        with Transfers() as transfers:
            loss, _ = objective(network(images), labels)
            loss.backward()
            if optimizer == "sgd":  # without a fused kernel AdamW's count of steps is read
                steps.step()
                schedule.step()
        assert not transfers.names


def test_the_meta_device_finds_what_waits() -> None:
    x = torch.ones(3, device="meta")
    for waits in (Tensor.item, Tensor.nonzero, Tensor.cpu, Tensor.tolist, bool, lambda x: x[x > 0]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            waits(x.sum() if waits in (Tensor.item, bool) else x)
    with Transfers() as transfers:
        x[torch.tensor([0, 1])]
    assert transfers.names


class OnDevice(Tensor):
    """A tensor that stands for one on a device: what is computed with it is one, too, and reading it is noted."""

    reads: list[int] = []  # noqa: RUF012  # shared, as the device is
    step = 0

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.item, Tensor.__float__, Tensor.__bool__, Tensor.tolist, Tensor.cpu, Tensor.nonzero):
            cls.reads.append(cls.step)
        return super().__torch_function__(func, types, args, kwargs or {})


class Steps(pl.Callback):
    """Tells which step it is."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        OnDevice.step = batch_idx


@pytest.mark.parametrize("bar", [False, True])
def test_numbers_are_read_at_log_steps_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bar: bool) -> None:
    """Lightning's loop, its progress bar and its logging included."""
    from classaware.training.callbacks import StepProgressBar

    network = Segmenter(Backbone("test_resnet"), partial(FCNHead, channels=8), 3, "on")
    task = SegmentationTask(network, ClassAwareRegularization(3, check_labels=False))
    objective = task.objective.forward

    def on_device(*arguments: Any) -> Any:
        loss, terms = objective(*arguments)
        return loss.as_subclass(OnDevice), {name: term.as_subclass(OnDevice) for name, term in terms.items()}

    monkeypatch.setattr(task.objective, "forward", on_device)
    monkeypatch.setattr(OnDevice, "reads", [])
    batch = {"image": torch.rand(2, 3, 64, 64), "label": torch.randint(0, 3, (2, 64, 64))}
    trainer = pl.Trainer(
        max_steps=9,
        accelerator="cpu",
        logger=[pl.loggers.CSVLogger(tmp_path)],
        log_every_n_steps=4,
        enable_checkpointing=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        callbacks=[Steps(), *([StepProgressBar()] if bar else [])],
    )
    trainer.fit(task, DataLoader([batch] * 9, batch_size=None))
    assert set(OnDevice.reads) == {3, 7}
    assert float(trainer.progress_bar_metrics["loss"]) > 0


def test_no_number_is_sent_to_the_device_to_be_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Segmenter(Backbone("test_resnet"), partial(FCNHead, channels=8), 3, "on")
    task = SegmentationTask(network, ClassAwareRegularization(3))
    optimizer = create_optimizer("sgd", [{"params": list(network.parameters()), "lr": 0.25}], 0.9)
    logged: dict[str, Any] = {}
    monkeypatch.setattr(task, "log", lambda name, value, **options: logged.update({name: (value, options)}))
    monkeypatch.setattr(task, "log_dict", lambda values: logged.update({k: (v, {}) for k, v in values.items()}))
    monkeypatch.setattr(task, "optimizers", lambda: optimizer)
    task.training_step({"image": torch.rand(2, 3, 64, 64), "label": torch.zeros(2, 64, 64, dtype=torch.long)}, 0)
    assert {"loss", "train/ce", "train/inter_c2p", "train/lr"} <= logged.keys()
    assert all(isinstance(value, Tensor) and not value.requires_grad for value, _ in logged.values())
    assert not any(options.get("prog_bar") for _, options in logged.values())
    assert float(logged["train/lr"][0]) == 0.25


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_on_cuda_waits_for_nothing() -> None:
    network = Segmenter(Backbone("test_resnet"), partial(FCNHead, channels=8), 5, "on").cuda()
    objective = Objective(network, ClassAwareRegularization(5)).cuda()
    steps = create_optimizer("adamw", parameter_groups(network, 0.1, 1e-4, "kernels", 1.0), 0.9, fused=True)
    images, labels = torch.rand(2, 3, 64, 96, device="cuda"), torch.zeros(2, 64, 96, dtype=torch.long, device="cuda")
    for i in range(3):
        torch.cuda.set_sync_debug_mode("error" if i else "default")  # what is made once may wait
        try:
            loss, _ = objective(network(images), labels)
            loss.backward()
            steps.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False), (True, True)])
def test_checkpoints_of_fused_and_other_optimizers_serve_each_other(name: Any, first: bool, second: bool) -> None:
    def train(steps: int, fused: bool, weight: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        parameter = nn.Parameter(weight.clone())
        optimizer = create_optimizer(name, [{"params": [parameter], "lr": 0.1, "weight_decay": 0.1}], 0.9, fused)
        if state is not None:
            optimizer.load_state_dict(state)
        for i in range(steps):
            parameter.grad = torch.linspace(-1, 1, 20) * (i + 1)
            optimizer.step()
        return parameter.detach(), optimizer.state_dict()

    start = torch.linspace(1, 2, 20)
    middle, state = train(2, first, start)
    ours, _ = train(2, second, middle, state)
    reference_middle, reference_state = train(2, False, start)
    expected, _ = train(2, False, reference_middle, reference_state)
    torch.testing.assert_close(ours, expected)


def test_fused_is_left_out_where_there_is_no_kernel() -> None:
    groups: list[dict[str, object]] = [{"params": [nn.Parameter(torch.zeros(1, device="meta"))], "lr": 0.1}]
    assert create_optimizer("sgd", groups, 0.9, fused=True).param_groups[0]["fused"] is False


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Compiled code is Python as it was traced, without a C++ compiler; returns how often it was traced."""
    count = 0

    def backend(graph: Any, inputs: Any) -> Any:
        nonlocal count
        count += 1
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(Segmenter, "compile", lambda self: nn.Module.compile(self, backend=backend))
    return lambda: count


def test_compiled_training_is_the_same_training(tmp_path: Path, traced: Callable[[], int]) -> None:
    data = write_data(tmp_path / "data")
    plain = curve(data, tmp_path)
    assert traced() == 0
    assert furthest(curve(data, tmp_path, task_compile=True), plain) < 1e-5
    assert traced() == 1


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, traced: Callable[[], int]) -> None:
    network = Segmenter(Backbone("test_resnet"), partial(FCNHead, channels=8), 3)
    task = SegmentationTask(network, ClassAwareRegularization(3), compile=True)
    batch = {"image": torch.rand(2, 3, 64, 64), "label": torch.zeros(2, 64, 64, dtype=torch.long)}

    def fail(message: str) -> Callable[..., Any]:
        def forward(*_: Any) -> Any:
            raise RuntimeError(message)

        return forward

    monkeypatch.setattr(network, "_compiled_call_impl", fail("InvalidCxxCompiler: No working C++ compiler found"))
    with pytest.raises(InputError, match=r"training\.compile"):
        task.training_step(batch, 0)
    monkeypatch.setattr(network, "_compiled_call_impl", fail("another"))
    with pytest.raises(RuntimeError, match="another"):
        task.training_step(batch, 0)


def test_compiled_networks_keep_their_names_and_validate_at_any_size(traced: Callable[[], int]) -> None:
    def task(compiled: bool) -> SegmentationTask:
        torch.manual_seed(0)
        network = Segmenter(Backbone("test_resnet"), partial(FCNHead, channels=8), 3, "on")
        return SegmentationTask(network, ClassAwareRegularization(3), inference=Inference(), compile=compiled)

    ours, plain = task(True), task(False)
    assert ours.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(ours.state_dict())
    ours.eval()
    plain.eval()
    for size in ((32, 32), (40, 64), (57, 33)):
        image, label = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8), torch.zeros(1, *size).long()
        for module in (ours, plain):
            module.validation_step({"image": image, "label": label}, 0)
    assert torch.equal(ours.val_confusion.compute(), plain.val_confusion.compute())
    assert traced() == 0


@pytest.mark.parametrize(
    ("accelerator", "cuda", "bf16", "expected"),
    [
        ("auto", False, False, "32-true"),
        ("cpu", True, True, "32-true"),
        ("auto", True, True, "bf16-mixed"),
        ("gpu", True, True, "bf16-mixed"),
        ("gpu", True, False, "32-true"),
    ],
)
def test_precision_follows_the_device(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, cuda: bool, bf16: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert default_precision(accelerator) == expected
