"""One clear error for each bad input."""

import re
from typing import Any

import pytest
import torch

from classaware import ClassAwareRegularization


def good() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.long)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.randn(3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.long)),
        (torch.randn(2, 3, 20), torch.zeros(2, 4, 5, dtype=torch.long)),
        (torch.randn(2, 3, 4, 5, 1), torch.zeros(2, 4, 5, dtype=torch.long)),
        (torch.randn(2, 3, 4, 5), torch.zeros(4, 5, dtype=torch.long)),
        (torch.randn(2, 3, 4, 5), torch.zeros(2, 1, 4, 5, dtype=torch.long)),
        (torch.randn(2, 3, 4, 5), torch.zeros(40, dtype=torch.long)),
        (torch.randn(2, 3, 4, 5), torch.zeros(1, 4, 5, dtype=torch.long)),
        (torch.randn(2, 3, 4, 5), torch.zeros(3, 4, 5, dtype=torch.long)),
    ],
    ids=["x3", "x3-flat", "x5", "y2", "y4", "y1", "batch-2-1", "batch-2-3"],
)
def test_shapes(x: torch.Tensor, y: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        ClassAwareRegularization(3)(x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_labels_are_integers(dtype: torch.dtype) -> None:
    x, y = good()
    with pytest.raises((TypeError, ValueError), match=str(dtype).removeprefix("torch.")):
        ClassAwareRegularization(3)(x, y.to(dtype))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_features_are_floating(dtype: torch.dtype) -> None:
    x, y = good()
    with pytest.raises((TypeError, ValueError), match=str(dtype).removeprefix("torch.")):
        ClassAwareRegularization(3)(x.to(dtype), y)


@pytest.mark.parametrize("label", [3, 77, 254, -1, -100])
@pytest.mark.parametrize("check_labels", [None, True])
def test_a_label_outside_is_named_with_its_place(label: int, check_labels: bool | None) -> None:
    x, y = good()
    y[1, 2, 4] = label
    with pytest.raises(ValueError) as error:
        ClassAwareRegularization(3, check_labels=check_labels)(x, y)
    numbers = re.findall(r"-?\d+", str(error.value))
    assert {str(label), "1", "2", "4"} <= set(numbers)


def test_the_place_is_in_the_map_given() -> None:
    """Not in the map after resizing: row 8 of 9 and column 9 of 13, over features of 3x4."""
    y = torch.zeros(3, 9, 13, dtype=torch.long)
    y[2, 8, 9] = 66
    with pytest.raises(ValueError) as error:
        ClassAwareRegularization(5)(torch.randn(3, 6, 3, 4), y)
    assert {"66", "2", "8", "9"} <= set(re.findall(r"\d+", str(error.value)))


@pytest.mark.parametrize(("label", "ignore_index"), [(255, -1), (200, 456)])
def test_ignore_index_does_not_wrap_around_in_uint8(label: int, ignore_index: int) -> None:
    """255 is not -1, though it is in eight bits."""
    x, y = good()
    y[1, 2, 4] = label
    with pytest.raises(ValueError, match=str(label)):
        ClassAwareRegularization(3, ignore_index=ignore_index)(x, y.to(torch.uint8))


def test_without_the_check_such_a_label_is_ignored() -> None:
    x, y = good()
    y[1, 2, 4] = 77
    found = ClassAwareRegularization(3, check_labels=False)(x, y)
    y[1, 2, 4] = 255
    expected = ClassAwareRegularization(3)(x, y)
    torch.testing.assert_close(found.total, expected.total, rtol=0, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite(value: float) -> None:
    x, y = good()
    x[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match=r"(?i)finite|nan|inf"):
        ClassAwareRegularization(3, check_finite=True)(x, y)
    ClassAwareRegularization(3)(x, y)
    ClassAwareRegularization(3, check_finite=True)(*good())


@pytest.mark.parametrize(
    ("knob", "valid"),
    [
        ("preset", ["released", "paper", "masked"]),
        ("reduction", ["square_of_mean", "mean_of_squares"]),
        ("c2p_scale", ["sqrt_channels", "none"]),
        ("ignored", ["count", "exclude"]),
        ("absent", ["zero_center", "exclude"]),
        ("centers", ["batch", "image", "ema"]),
    ],
)
def test_unknown_names_list_the_known(knob: str, valid: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        ClassAwareRegularization(3, **{knob: "nonesuch"})  # type: ignore[arg-type]
    assert all(name in str(error.value) for name in ["nonesuch", *valid])


@pytest.mark.parametrize(
    "arguments",
    [{"num_classes": 0}, {"num_classes": -3}, {"pool": 0}, {"ema_decay": 1.5}, {"ema_decay": -0.1}],
    ids=str,
)
def test_numbers_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ClassAwareRegularization(**{"num_classes": 3, **arguments})


def test_running_centers_keep_their_width() -> None:
    """Another number of channels is a mistake, not a reason to start again."""
    car = ClassAwareRegularization(3, centers="ema")
    x, y = good()
    car(x, y)
    with pytest.raises(ValueError, match=r"3.*7|7.*3"):
        car(torch.randn(2, 7, 4, 5), y)
