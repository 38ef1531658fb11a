"""Both rivals as citizens of PyTorch: no wait for the device, compile, dtypes, resume, errors."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from classaware.rivals import CenterLoss, PixelContrast

MAKERS: dict[str, Callable[..., nn.Module]] = {
    "center": lambda **options: CenterLoss(4, 3, **options),
    "contrast": lambda **options: PixelContrast(4, 3, embedding_channels=5, anchors=4, **options),
    "memory": lambda **options: PixelContrast(4, 3, embedding_channels=5, anchors=4, memory_size=6, **options),
}


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[..., nn.Module]:
    def seeded(**options: Any) -> nn.Module:
        torch.manual_seed(0)
        return MAKERS[request.param](**options)

    return seeded


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def case(seed: int, size: tuple[int, int] = (6, 7), labels: tuple[int, int] = (6, 7)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (2, *labels), generator=generator)
    return torch.randn(2, 4, *size, generator=generator), y.where(y != 3, 255)


def value_and_gradient(loss: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().clone().requires_grad_(True)
    value = loss(x, y)
    assert value.shape == ()
    return value.detach(), torch.autograd.grad(value, x)[0]


class NoWaiting(TorchDispatchMode):
    """Fails on every operator whose result's shape or Python value depends on data."""

    names = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "bincount", "is_nonzero", "equal")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        waits = any(name.removeprefix("_").startswith(bad.removeprefix("_")) for bad in self.names)
        flat = [part for arg in args for part in (arg if isinstance(arg, (list, tuple)) else [arg])]
        if name.startswith("index"):
            waits |= any(isinstance(part, Tensor) and part.dtype == torch.bool for part in flat[1:])
        assert not waits, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def test_the_mode_catches_what_waits() -> None:
    x = torch.arange(3.0)
    for wait in (lambda: x.sum().item(), lambda: x[x > 1], lambda: x.nonzero(), lambda: x.unique(), lambda: bool(x[0])):
        with NoWaiting(), pytest.raises(AssertionError, match="waits"):
            wait()


def test_nothing_waits_for_the_device(make: Callable[..., nn.Module]) -> None:
    loss = make(check_labels=False)
    x, y = case(0, labels=(13, 11))
    x.requires_grad_(True)
    more = () if isinstance(loss, CenterLoss) else (torch.zeros_like(y),)
    with NoWaiting():
        for _ in range(2):
            loss(x, y, *more).backward()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_without_a_graph_break(make: Callable[..., nn.Module], backend: str) -> None:
    torch.compiler.reset()
    loss = make()
    compiled_loss = copy.deepcopy(loss)
    compiled = torch.compile(compiled_loss, backend=backend, fullgraph=True)
    for seed in range(3):  # later batches meet centers and memories
        x, y = case(seed)
        torch.testing.assert_close(value_and_gradient(compiled, x, y), value_and_gradient(loss, x, y))
    torch.testing.assert_close(compiled_loss.state_dict(), loss.state_dict())


@pytest.mark.usefixtures("deterministic")
def test_resumes_with_the_same_numbers(make: Callable[..., nn.Module]) -> None:
    loss, resumed = make(), make()
    for seed in range(3):
        value_and_gradient(loss, *case(seed))
    resumed.load_state_dict(copy.deepcopy(loss.state_dict()))
    for seed in range(3, 6):
        ours, theirs = value_and_gradient(loss, *case(seed)), value_and_gradient(resumed, *case(seed))
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
    for name, value in loss.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_eval_mode_changes_no_state(make: Callable[..., nn.Module]) -> None:
    loss = make()
    loss(*case(0))
    before = copy.deepcopy(loss.state_dict())
    loss.eval()
    first, second = loss(*case(1)), loss(*case(1))
    assert torch.equal(first, second)
    for name, value in loss.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_and_autocast_compute_in_float32(make: Callable[..., nn.Module], dtype: torch.dtype) -> None:
    x, y = case(1)
    x = x.to(dtype)
    exact = make()(x.float(), y)
    assert exact.dtype == torch.float32
    assert torch.equal(make()(x, y), exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(make()(x, y), exact)


def test_labels_of_any_size_and_integer_dtype(make: Callable[..., nn.Module]) -> None:
    x, y = case(2, labels=(13, 11))
    small = y[:, [0, 2, 5, 7, 10, 12]][:, :, [0, 2, 3, 5, 7, 8, 10]]
    expected = make()(x, small)
    assert expected.detach() > 0
    for dtype in (torch.uint8, torch.int16, torch.int32, torch.int64):
        assert torch.equal(make()(x, y.to(dtype)), expected)
    torch.testing.assert_close(make()(x.to(memory_format=torch.channels_last), y), expected)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(2, 4, 5), torch.zeros(2, 4, 5, dtype=torch.int64), r"\(2, 4, 5\)"),
        (torch.zeros(2, 4, 5, 5), torch.zeros(2, 5, 5), "float32"),
        (torch.zeros(2, 4, 5, 5), torch.zeros(3, 5, 5, dtype=torch.int64), "3: pass the same batch"),
        (torch.zeros(2, 6, 5, 5), torch.zeros(2, 5, 5, dtype=torch.int64), "6 channels, but the loss was made for 4"),
        (torch.zeros(2, 4, 5, 5), torch.full((2, 5, 5), 77), "value 77 at image 0, row 0, column 0"),
        (torch.zeros(2, 4, 5, 5), torch.zeros(2, 0, 5, dtype=torch.int64), "empty"),
    ],
)
def test_bad_input_is_named(make: Callable[..., nn.Module], x: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()(x, y)


@pytest.mark.parametrize("predictions", [torch.zeros(2, 3, 6, 7), torch.zeros(3, 6, 7, dtype=torch.int64)])
def test_bad_predictions_are_named(predictions: Tensor) -> None:
    with pytest.raises(ValueError, match="predictions must be integers and"):
        MAKERS["contrast"]()(*case(0), predictions)


@pytest.mark.parametrize(
    ("rival", "options", "message"),
    [
        (CenterLoss, {"channels": 0}, "channels=0"),
        (CenterLoss, {"num_classes": 2.0}, "num_classes=2.0: must be an integer"),
        (CenterLoss, {"alpha": 1.5}, "alpha=1.5"),
        (CenterLoss, {"weight": -1}, "weight=-1"),
        (CenterLoss, {"ignore_index": None}, "ignore_index=None"),
        (PixelContrast, {"temperature": 0}, "temperature=0"),
        (PixelContrast, {"temperature": float("nan")}, "temperature=nan"),
        (PixelContrast, {"memory_size": -1}, "memory_size=-1"),
        (PixelContrast, {"anchors": 0}, "anchors=0"),
        (PixelContrast, {"max_anchors": True}, "max_anchors=True"),
        (PixelContrast, {"weight": float("inf")}, "weight=inf"),
        (PixelContrast, {"seed": 0.5}, "seed=0.5"),
    ],
)
def test_bad_arguments_are_named(rival: type[nn.Module], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rival(**{"channels": 4, "num_classes": 3, **options})
