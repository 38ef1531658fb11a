import io
import json
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from classaware.errors import InputError
from classaware.evaluation import scores

# Three pixels of class a, one of them taken for b; two of b, right; c is only ever predicted, once, for b; d nowhere.
COUNTS = torch.tensor([[2, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
NAMES = ["a", "b", "c", "d"]
BOUNDARY = torch.tensor([[2, 4, 3], [0, 1, 0], [0, 0, 7], [0, 0, 0]])  # in both, in the prediction, in the truth


def test_hand_computed() -> None:
    result = scores(COUNTS, NAMES)
    assert result.iou[:3] == (2 / 3, 2 / 4, 0.0)
    assert math.isnan(result.iou[3])
    assert result.accuracy[:2] == (2 / 3, 2 / 3)
    assert all(math.isnan(value) for value in result.accuracy[2:])
    assert result.pixels == (3, 3, 0, 0)
    assert result.mean_iou == pytest.approx((2 / 3 + 1 / 2 + 0) / 3, abs=1e-15)
    assert result.mean_accuracy == pytest.approx(2 / 3, abs=1e-15)
    assert result.pixel_accuracy == 4 / 6


def test_classes_left_out_of_the_means() -> None:
    result = scores(COUNTS, NAMES, ignore=[0])
    assert result.iou[0] == 2 / 3
    assert result.mean_iou == 0.25
    assert result.pixel_accuracy == 2 / 3
    assert result.iou[1] == 2 / 4  # the pixel of class a that was taken for b is still an error of b


def test_weighted_by_frequency() -> None:
    assert scores(COUNTS, NAMES).frequency_weighted_iou == pytest.approx(3 / 6 * 2 / 3 + 3 / 6 * 1 / 2, abs=1e-15)
    # Over b, c and d only b is in the truth.
    assert scores(COUNTS, NAMES, ignore=[0]).frequency_weighted_iou == 1 / 2
    assert math.isnan(scores(COUNTS, NAMES, ignore=[0, 1]).frequency_weighted_iou)


def test_boundary() -> None:
    assert scores(COUNTS, NAMES).boundary_iou is None
    result = scores(COUNTS, NAMES, ignore=[0], boundary=BOUNDARY)
    assert result.boundary_iou is not None
    assert result.boundary_iou[:3] == (2 / 5, 0.0, 0.0)
    assert math.isnan(result.boundary_iou[3])
    assert result.mean_boundary_iou == 0.0
    assert scores(COUNTS, NAMES, boundary=BOUNDARY).mean_boundary_iou == pytest.approx(2 / 15, abs=1e-15)
    with pytest.raises(InputError, match=r"boundary counts has shape \(4, 2\)"):
        scores(COUNTS, NAMES, boundary=BOUNDARY[:, :2])


def test_mean_over_some_classes() -> None:
    result = scores(COUNTS, NAMES)
    assert result.mean_iou_over([1, 2]) == 0.25
    assert result.mean_iou_over([1, 3]) == 0.5  # absent: takes no part
    assert math.isnan(result.mean_iou_over([3]))
    assert math.isnan(result.mean_iou_over([]))
    with pytest.raises(InputError, match=r"class 4.*0\.\.3"):
        result.mean_iou_over([4])


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 6).flatmap(
        lambda k: st.lists(st.lists(st.integers(0, 3), min_size=k, max_size=k), min_size=k, max_size=k)
    )
)
def test_equals_sets_of_pixels(counts: list[list[int]]) -> None:
    size = len(counts)
    pixels = [(t, p) for t in range(size) for p in range(size) for _ in range(counts[t][p])]
    result = scores(torch.tensor(counts), [str(i) for i in range(size)])
    values = []
    for index in range(size):
        truth = {n for n, (t, _) in enumerate(pixels) if t == index}
        guess = {n for n, (_, p) in enumerate(pixels) if p == index}
        if truth | guess:
            values.append(Fraction(len(truth & guess), len(truth | guess)))
            assert result.iou[index] == float(values[-1])
        else:
            assert math.isnan(result.iou[index])
        if truth:
            assert result.accuracy[index] == len(truth & guess) / len(truth)
    if values:
        assert result.mean_iou == pytest.approx(float(sum(values) / len(values)), abs=1e-15)
    else:
        assert math.isnan(result.mean_iou)
        assert math.isnan(result.pixel_accuracy)


def test_float64_beyond_float32() -> None:
    big = 2**40
    result = scores(torch.tensor([[big, 1], [0, big]]), ["a", "b"])
    assert result.iou == (big / (big + 1), big / (big + 1))
    assert result.mean_iou < 1


def test_json() -> None:
    document = json.loads(json.dumps(scores(COUNTS, NAMES).to_dict(), allow_nan=False))
    assert document["classes"][3] == {"name": "d", "iou": None, "accuracy": None, "boundary_iou": None, "pixels": 0}
    assert document["classes"][1] == {"name": "b", "iou": 0.5, "accuracy": 2 / 3, "boundary_iou": None, "pixels": 3}
    assert document["pixel_accuracy"] == 4 / 6
    assert document["frequency_weighted_iou"] == pytest.approx((3 * 2 / 3 + 3 / 2) / 6, abs=1e-15)
    assert document["mean_boundary_iou"] is None
    document = json.loads(json.dumps(scores(COUNTS, NAMES, boundary=BOUNDARY).to_dict(), allow_nan=False))
    assert [row["boundary_iou"] for row in document["classes"]] == [2 / 5, 0.0, 0.0, None]
    assert document["mean_boundary_iou"] == pytest.approx(2 / 15, abs=1e-15)


def test_table_shows_every_class_and_takes_names_literally() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(scores(COUNTS, ["[red]a", "b", "c", "d"]).table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert "66.67" in rows["[red]a"]
    assert "50.00" in rows["b"]
    assert "–" in rows["d"]
    assert "38.89" in rows["mean"]
    assert "boundary" not in text
    assert "frequency-weighted 58.33" in text
    console = Console(file=io.StringIO(), width=100)
    console.print(scores(COUNTS, NAMES, boundary=BOUNDARY).table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "boundary IoU" in text
    assert "40.00" in text
    assert "13.33" in text


@pytest.mark.parametrize(
    ("counts", "names", "words"),
    [
        (COUNTS, ["a"], "4, 4.*1 class names"),
        (COUNTS[:2], NAMES, "2, 4"),
        (COUNTS.float(), NAMES, "float32"),
    ],
)
def test_bad_input_is_named(counts: torch.Tensor, names: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        scores(counts, names)


def test_ignoring_no_such_class_is_named() -> None:
    with pytest.raises(InputError, match="ignore names class 9"):
        scores(COUNTS, NAMES, ignore=[9])
