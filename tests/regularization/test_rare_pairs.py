"""Weights by how rare the company of a class is, against loops over pixels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from classaware.regularization import RarePairs


def shares_by_loops(y_BHW: Tensor, classes: int, reach: int) -> list[list[list[float]]]:
    """What each class touches in each image, pixel by pixel."""
    result = []
    for y_HW in y_BHW.tolist():
        counts = [[0.0] * classes for _ in range(classes)]
        height, width = len(y_HW), len(y_HW[0])
        for row in range(height):
            for column in range(width):
                for other_row, other_column in ((row + reach, column), (row, column + reach)):
                    if other_row < height and other_column < width:
                        one, other = y_HW[row][column], y_HW[other_row][other_column]
                        if one != other and one < classes and other < classes:
                            counts[one][other] += 1
                            counts[other][one] += 1
        result.append([[n / sum(row) if sum(row) else 0.0 for n in row] for row in counts])
    return result


def weights_by_loops(batches: list[Tensor], classes: int, reach: int, most: float) -> list[list[float]]:
    """Of the last of some batches, pixel by pixel."""
    seen = [[0.0] * classes for _ in range(classes)]
    for batch in batches:
        shares = shares_by_loops(batch, classes, reach)
        for image in shares:
            for one in range(classes):
                for other in range(classes):
                    seen[one][other] += image[one][other]
    usual = [[n / sum(row) if sum(row) else 0.0 for n in row] for row in seen]
    weights = []
    for y_HW, image in zip(batches[-1].tolist(), shares, strict=True):
        for y in (y for row in y_HW for y in row):
            if y >= classes:
                weights.append(0.0)
            elif sum(image[y]) == 0:
                weights.append(1.0)
            else:
                familiar = sum(a * b for a, b in zip(image[y], usual[y], strict=True))
                weights.append(min(max(sum(p * p for p in usual[y]) / familiar, 1 / most), most))
    labeled = sum(y < classes for y in batches[-1].flatten().tolist())
    total = sum(weights)
    return [weight * labeled / total if total else 0.0 for weight in weights]


@given(seed=st.integers(0, 10_000), most=st.sampled_from([1.0, 3.0, 10.0]), reach=st.sampled_from([1, 2]))
def test_equals_loops(seed: int, most: float, reach: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(3):
        blocks = torch.randint(0, 5, (2, 3, 4), generator=generator)
        y_BHW = blocks.repeat_interleave(3, 1).repeat_interleave(2, 2)
        y_BHW[torch.rand(y_BHW.shape, generator=generator) < 0.1] = 255
        batches.append(y_BHW)
    rare = RarePairs(5, most=most, reach=reach / math.hypot(9, 8))
    for batch in batches:
        found = rare(batch.to(torch.uint8))
    torch.testing.assert_close(found.flatten(), torch.tensor(weights_by_loops(batches, 5, reach, most)))
    assert found[batches[-1] != 255].mean() == pytest.approx(1, abs=1e-5)


def stands_on(thing: int, context: int) -> Tensor:
    """One image: a square of one class in the middle of another."""
    y_HW = torch.full((16, 16), context)
    y_HW[4:12, 4:12] = thing
    return y_HW


def test_every_context_has_an_equal_say() -> None:
    """Nine images of a thing on its usual context and one on another: together both weigh the same."""
    usual, unusual = stands_on(2, 0), stands_on(2, 1)
    rare = RarePairs(3, most=100)
    rare(torch.stack([usual] * 9 + [unusual]))
    rare.eval()
    weights = rare(torch.stack([usual] * 9 + [unusual]))
    thing = weights[:, 8, 8]
    assert thing[0] < thing[9]
    assert float(thing[:9].sum()) == pytest.approx(float(thing[9]), rel=1e-5)


def test_unlabeled_pixels_between_do_not_part() -> None:
    y_BHW = stands_on(1, 0).unsqueeze(0).clone()
    y_BHW[0, 3], y_BHW[0, 12], y_BHW[0, :, 3], y_BHW[0, :, 12] = 255, 255, 255, 255
    near, far = RarePairs(2, reach=0.04), RarePairs(2, reach=0.1)
    near(y_BHW), far(y_BHW)
    assert near.seen_KK.sum() == 0
    assert far.seen_KK[1, 0] == 1


def test_counts_are_saved_and_stand_still_in_eval() -> None:
    rare, again = RarePairs(3), RarePairs(3)
    y_BHW = torch.stack([stands_on(2, 0), stands_on(2, 1)])
    rare(y_BHW)
    again.load_state_dict(rare.state_dict())
    before = again.seen_KK.clone()
    torch.testing.assert_close(again.eval()(y_BHW), rare.eval()(y_BHW))
    torch.testing.assert_close(again.seen_KK, before)


def test_nothing_labeled_and_nothing_touching() -> None:
    rare = RarePairs(3)
    assert not rare(torch.full((1, 8, 8), 255)).any()
    torch.testing.assert_close(rare(torch.ones(1, 8, 8, dtype=torch.int64)), torch.ones(1, 8, 8))
    assert rare(torch.zeros(1, 1, 1, dtype=torch.int64)).shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most": 0.5}, "at least 1"),
        ({"reach": 0}, "above 0"),
        ({"reach": 0.5}, "below 0.5"),
        ({"num_classes": 0}, "1"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RarePairs(**({"num_classes": 3} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(4, 4, dtype=torch.int64), r"labels must be integers and \(B, H, W\)"),
        (torch.zeros(1, 4, 4), "got torch.float32"),
        (torch.full((1, 4, 4), 3), "value 3 at image 0, row 0, column 0"),
        (torch.full((1, 4, 4), -1), "neither a class in"),
    ],
)
def test_bad_labels(labels: Tensor, message: str) -> None:
    rare = RarePairs(3)
    with pytest.raises(ValueError, match=message):
        rare(labels)
    assert not rare.seen_KK.any()
