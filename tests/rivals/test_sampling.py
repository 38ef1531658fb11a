"""Draws of pixels: what may be drawn, how many, how evenly, and that the same arguments draw the same."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.rivals.sampling import random_keys, sample_pixels


def by_hand(y: Tensor, valid: Tensor, keys: Tensor, per_class: int, limit: int, hard: Tensor | None) -> list[int]:
    """The chosen pixels in order: lists per class and image, hard and other pixels in turn, dealt out in rounds."""
    pixels = y.shape[1]
    hands: dict[tuple[int, int], list[int]] = {}
    for image in range(len(y)):
        for label in set(y[image][valid[image]].tolist()):
            own = [n for n in range(pixels) if valid[image, n] and y[image, n] == label]
            own.sort(key=lambda n: int(keys[image * pixels + n]))
            first = [n for n in own if hard is not None and hard[image, n]]
            second = [n for n in own if n not in first]
            hand: list[int] = []
            while first or second:
                hand += [image * pixels + kind.pop(0) for kind in (first, second) if kind]
            hands[image, label] = hand[:per_class]
    rounds = [
        sorted((hand[r] for hand in hands.values() if r < len(hand)), key=lambda n: int(keys[n]))
        for r in range(per_class)
    ]
    return [n for one in rounds for n in one][:limit]


def case(seed: int, images: int, pixels: int, classes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (images, pixels), generator=generator)
    valid = torch.rand(y.shape, generator=generator) < 0.7
    hard = torch.rand(y.shape, generator=generator) < 0.4
    return y.where(valid, 0), valid, hard, random_keys(y.numel(), seed, torch.tensor(3), 0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 3),
    st.integers(1, 20),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 70),
    st.booleans(),
)
def test_equals_dealing_by_hand(
    seed: int, images: int, pixels: int, classes: int, per_class: int, limit: int, with_hard: bool
) -> None:
    y, valid, hard, keys = case(seed, images, pixels, classes)
    preferred = hard if with_hard else None
    index, chosen = sample_pixels(y, valid, keys, classes, per_class, limit, preferred)
    assert len(index) == len(set(index.tolist())) == min(limit, images * pixels)
    assert index[chosen].tolist() == by_hand(y, valid, keys, per_class, limit, preferred)


def test_half_of_a_class_is_hard_where_there_are_enough() -> None:
    y, valid = torch.zeros(1, 100, dtype=torch.int64), torch.ones(1, 100, dtype=torch.bool)
    keys = random_keys(100, 0, torch.tensor(0), 0)
    for hard_pixels, expected in ((50, 10), (10, 10), (4, 4), (0, 0), (95, 15), (100, 20)):
        hard = (torch.arange(100) < hard_pixels).unsqueeze(0)
        index, chosen = sample_pixels(y, valid, keys, 1, 20, 1000, hard)
        assert int(chosen.sum()) == 20
        assert int((index[chosen] < hard_pixels).sum()) == expected


def test_no_pixel_is_labeled() -> None:
    y, valid = torch.zeros(2, 9, dtype=torch.int64), torch.zeros(2, 9, dtype=torch.bool)
    index, chosen = sample_pixels(y, valid, random_keys(18, 0, torch.tensor(0), 0), 3, 4, 10)
    assert len(index) == 10
    assert not chosen.any()


def test_every_pixel_is_drawn_equally_often() -> None:
    """A chi-square of 64 cells over 1000 draws of 8: 63 degrees of freedom, of which 1 in 10^6 exceeds 130."""
    y, valid = torch.zeros(1, 64, dtype=torch.int64), torch.ones(1, 64, dtype=torch.bool)
    counts, pairs = torch.zeros(64), torch.zeros(64)
    for step in range(1000):
        index, chosen = sample_pixels(y, valid, random_keys(64, 5, torch.tensor(step), 0), 1, 8, 1000)
        drawn = index[chosen]
        assert len(drawn) == 8
        counts[drawn] += 1
        pairs[(drawn[0] - drawn[1]) % 64] += 1
    assert float(((counts - 125) ** 2 / 125).sum()) < 130
    assert pairs[0] == 0
    assert float(((pairs[1:] - 1000 / 63) ** 2 / (1000 / 63)).sum()) < 130  # neighbors are drawn independently


@pytest.mark.parametrize("seed", [0, 1, -7, 2**40])
def test_keys_are_spread_and_depend_on_every_argument(seed: int) -> None:
    keys = random_keys(100_000, seed, torch.tensor(11), 0)
    assert int(keys.min()) >= 0
    assert int(keys.max()) < 2**32
    assert len(keys.unique()) == len(keys)
    for shift in (0, 8, 16, 24):  # every byte: 255 degrees of freedom, 1 in 10^6 exceeds 375
        counts = torch.bincount(keys >> shift & 255, minlength=256).double()
        assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 375
    assert torch.equal(keys, random_keys(100_000, seed, torch.tensor(11), 0))
    for other in (
        random_keys(100_000, seed + 1, torch.tensor(11), 0),
        random_keys(100_000, seed, torch.tensor(12), 0),
        random_keys(100_000, seed, torch.tensor(11), 1),
    ):
        assert abs(float(torch.corrcoef(torch.stack([keys, other]).double())[0, 1])) < 0.02


def test_the_same_word_for_word_forever() -> None:
    """Runs that are resumed under another version must draw what they would have drawn."""

    def mix(x: int) -> int:
        for _ in range(2):
            x = ((x >> 16) ^ x) * 0x45D9F3B % 2**32
        return (x >> 16) ^ x

    state = mix((mix((7 + 3 * 0x9E3779B9) % 2**32) + 2 * 0x7F4A7C15 + 1) % 2**32)
    expected = [mix(mix(n) ^ state) for n in range(50)]
    assert random_keys(50, 3, torch.tensor(7), 2).tolist() == expected
