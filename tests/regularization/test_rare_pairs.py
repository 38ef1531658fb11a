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


def weights_by_loops(batches: list[Tensor], classes: int, reach: int, most: float) -> list[float]:
    """Of the last of some batches, pixel by pixel."""
    seen = [[0.0] * classes for _ in range(classes)]
    counted, pixels = [0.0] * classes, [0] * classes
    for batch in batches:
        shares = shares_by_loops(batch, classes, reach)
        for image in shares:
            for one in range(classes):
                for other in range(classes):
                    seen[one][other] += image[one][other]
        usual = [[n / sum(row) if sum(row) else 0.0 for n in row] for row in seen]
        counts = []
        for y_HW, image in zip(batch.tolist(), shares, strict=True):
            for y in (y for row in y_HW for y in row):
                if y >= classes:
                    counts.append(0.0)
                    continue
                counts.append(1.0)
                if sum(image[y]):
                    familiar = sum(a * b for a, b in zip(image[y], usual[y], strict=True))
                    counts[-1] = min(max(sum(p * p for p in usual[y]) / familiar, 1 / most), most)
                counted[y] += counts[-1]
                pixels[y] += 1
    last = batches[-1].flatten().tolist()
    return [n * pixels[y] / counted[y] if y < classes else 0.0 for y, n in zip(last, counts, strict=True)]


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
    torch.testing.assert_close(rare.eval()(batches[-1]), found)


@given(seed=st.integers(0, 10_000))
def test_a_class_keeps_its_say(seed: int) -> None:
    """Over what was counted so far: here over one batch."""
    generator = torch.Generator().manual_seed(seed)
    y_BHW = torch.randint(0, 4, (3, 3, 4), generator=generator).repeat_interleave(3, 1)
    y_BHW[torch.rand(y_BHW.shape, generator=generator) < 0.2] = 255
    weights_BHW = RarePairs(4, reach=0.2)(y_BHW)
    for k in y_BHW.unique().tolist():
        assert weights_BHW[y_BHW == k].mean() == pytest.approx(0 if k == 255 else 1, abs=1e-5)


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


def test_a_class_that_touched_nothing_so_far_weighs_1() -> None:
    rare = RarePairs(3)
    rare(stands_on(2, 0).unsqueeze(0))
    weights = rare.eval()(stands_on(1, 0).unsqueeze(0))
    assert weights[0, 8, 8] == 1


def test_counts_go_on_in_a_model_of_lower_precision() -> None:
    rare = RarePairs(3).bfloat16()
    for _ in range(600):
        rare(stands_on(2, 0).unsqueeze(0))
    assert rare.seen_KK[2, 0] == 600


def test_maps_thinner_than_the_reach_touch_along_it() -> None:
    rare = RarePairs(2, reach=0.4)
    rare(torch.tensor([0, 0, 1]).view(1, 3, 1).repeat(1, 1, 40))
    assert rare.seen_KK[0, 1] == 1


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
