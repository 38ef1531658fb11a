import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.errors import InputError
from classaware.evaluation import ConfusionMatrix, confusion_matrix

TYPES = [torch.uint8, torch.int16, torch.int32, torch.int64]


def counted_by_loop(prediction: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> list[list[int]]:
    counts = [[0] * num_classes for _ in range(num_classes)]
    for guess, truth in zip(prediction.flatten().tolist(), label.flatten().tolist(), strict=True):
        if truth != ignore_index:
            counts[truth][guess] += 1
    return counts


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor, int, int]:
    num_classes = draw(st.integers(2, 7))
    ignore_index = draw(st.sampled_from([255, 99, num_classes]))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)))
    size = shape[0] * shape[1] * shape[2]
    classes = st.integers(0, num_classes - 1)
    label = draw(st.lists(classes | st.just(ignore_index), min_size=size, max_size=size))
    # Where the label is ignored, any prediction goes.
    guess = [draw(classes if truth != ignore_index else st.integers(0, 255)) for truth in label]
    label_BHW = torch.tensor(label).reshape(shape).to(draw(st.sampled_from(TYPES)))
    guess_BHW = torch.tensor(guess).reshape(shape).to(draw(st.sampled_from(TYPES)))
    return guess_BHW, label_BHW, num_classes, ignore_index


@settings(deadline=None, max_examples=80)
@given(batches())
def test_equals_a_loop_over_pixels(batch: tuple[Tensor, Tensor, int, int]) -> None:
    counts = confusion_matrix(*batch)
    assert counts.dtype == torch.int64
    assert counts.tolist() == counted_by_loop(*batch)


@settings(deadline=None, max_examples=20)
@given(batches())
def test_two_accumulations_equal_one(batch: tuple[Tensor, Tensor, int, int]) -> None:
    prediction, label, num_classes, ignore_index = batch
    once, twice = (ConfusionMatrix(num_classes, ignore_index) for _ in range(2))
    once.update(prediction, label)
    for row in range(label.shape[1]):
        twice.update(prediction[:, row : row + 1], label[:, row : row + 1])
    assert torch.equal(once.compute(), twice.compute())


def test_earlier_result_does_not_change_and_reset_empties() -> None:
    metric = ConfusionMatrix(2)
    one = torch.ones(1, 2, 2, dtype=torch.int64)
    metric.update(one, one)
    first = metric.compute()
    metric.update(one, one)
    assert first.tolist() == [[0, 0], [0, 4]]
    assert metric.compute().tolist() == [[0, 0], [0, 8]]
    metric.reset()
    metric.update(one, one * 0)
    assert metric.compute().tolist() == [[0, 4], [0, 0]]


def test_forward_gives_the_batch_and_keeps_the_sum() -> None:
    metric = ConfusionMatrix(2)
    one = torch.ones(1, 1, 3, dtype=torch.int64)
    metric(one, one)
    assert metric(one, one * 0).tolist() == [[0, 3], [0, 0]]
    assert metric.compute().tolist() == [[0, 3], [0, 3]]


def test_counts_stay_exact_beyond_float32() -> None:
    metric = ConfusionMatrix(2)
    metric.confusion = torch.full((2, 2), 2**24, dtype=torch.int64)
    metric.update(torch.zeros(1, 1, 1, dtype=torch.int64), torch.zeros(1, 1, 1, dtype=torch.int64))
    assert metric.compute()[0, 0] == 2**24 + 1


def test_deterministic_mode_gives_the_same_with_many_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction, label = (torch.randint(171, (1, 128, 128), generator=generator) for _ in range(2))
    expected = confusion_matrix(prediction, label, 171)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(confusion_matrix(prediction, label, 171), expected)
    finally:
        torch.use_deterministic_algorithms(False)


def test_sums_over_processes() -> None:
    metric = ConfusionMatrix(3)
    assert metric._reductions["confusion"] is not None
    parts = torch.arange(18).reshape(2, 3, 3)
    assert torch.equal(metric._reductions["confusion"](parts), parts[0] + parts[1])


def labels(*values: int) -> Tensor:
    return torch.tensor(values).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("prediction", "label", "words"),
    [
        (labels(0, 1), labels(0), ["(1, 1, 2)", "(1, 1, 1)", "Resize"]),
        (labels(0, 1), labels(0, 7), ["label", "(0, 0, 1)", "is 7", "0..2", "255"]),
        (labels(0, 1), labels(-1, 0), ["label", "(0, 0, 0)", "is -1"]),
        (labels(0, 3), labels(0, 0), ["prediction", "(0, 0, 1)", "is 3"]),
        (labels(-2, 0), labels(0, 0), ["prediction", "is -2"]),
        (labels(0, 1).float(), labels(0, 0), ["prediction", "float32"]),
        (labels(0, 1), labels(0, 0).bool(), ["label", "bool"]),
    ],
)
def test_bad_input_is_named(prediction: Tensor, label: Tensor, words: list[str]) -> None:
    with pytest.raises(InputError, match=".*".join(re.escape(word) for word in words)):
        confusion_matrix(prediction, label, 3)


def test_a_bad_batch_leaves_the_metric_as_it_was() -> None:
    metric = ConfusionMatrix(3)
    metric.update(labels(0, 1), labels(0, 1))
    with pytest.raises(InputError):
        metric.update(labels(0, 1), labels(0, 9))
    assert metric.compute().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="num_classes is 1"):
        ConfusionMatrix(1)
