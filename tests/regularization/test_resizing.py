"""Which label a pixel gets: the index rule for labels, the window rule for pooled features."""

from fractions import Fraction

import pytest
import torch
from car_cases import assert_same, values
from car_oracle import PRESETS, source_indices, windows

from classaware import ClassAwareRegularization

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 17, 31, 33, 64, 65, 97, 129]


def nearest(size_in: int, size_out: int) -> list[int]:
    """The source cell nearest to i·(in−1)/(out−1), the later of two equally near ones: a search, no rounding."""
    if size_out == 1:
        return [0]
    picked = []
    for i in range(size_out):
        place = Fraction(i * (size_in - 1), size_out - 1)
        picked.append(min(range(size_in), key=lambda j: (abs(j - place), -j)))
    return picked


def bits(size_in: int, size_out: int, vertical: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Lines of features, and lines of labels that are the binary digits of the position, one digit an image.

    Two classes only, so that a wrong index moves a pixel from one class to the other and the terms show it. (With a
    class of its own for every position it would merely rename the classes, which the terms do not see.)
    """
    digits = max(size_in - 1, 1).bit_length()
    g = torch.Generator().manual_seed(size_in * 1000 + size_out)
    x = torch.randn(digits, 2, 1, size_out, generator=g, dtype=torch.float64)
    y = torch.stack([torch.arange(size_in) >> b & 1 for b in range(digits)])[:, None]
    return (x.mT, y.mT) if vertical else (x, y)


@pytest.mark.parametrize("vertical", [False, True], ids=["width", "height"])
@pytest.mark.parametrize("size_in", SIZES)
def test_label_index_rule(size_in: int, vertical: bool) -> None:
    """Bit-equal to labels picked by the search above, for every pair of sizes."""
    car = ClassAwareRegularization(2, preset="paper", c2c_margin=0.0, c2p_margin=0.0)
    for size_out in SIZES:
        index = nearest(size_in, size_out)
        assert index == source_indices(size_in, size_out)
        x, y = bits(size_in, size_out, vertical)
        picked = y[:, index] if vertical else y[..., index]
        assert values(car(x, y)) == values(car(x, picked)), (size_in, size_out)


@pytest.mark.parametrize("position", range(7))
@pytest.mark.parametrize("shift", [-1, 1])
def test_one_shifted_index_shows(position: int, shift: int) -> None:
    """The comparison above can fail."""
    car = ClassAwareRegularization(2, preset="paper", c2c_margin=0.0, c2p_margin=0.0)
    x, y = bits(33, 7, vertical=False)
    index = nearest(33, 7)
    index[position] = (index[position] + shift) % 33
    assert values(car(x, y)) != values(car(x, y[..., index]))


def test_513_to_65_takes_every_eighth() -> None:
    x = torch.randn(1, 4, 65, 65, generator=torch.Generator().manual_seed(0))
    y = torch.randint(59, (1, 513, 513), generator=torch.Generator().manual_seed(1))
    car = ClassAwareRegularization(59)
    assert values(car(x, y)) == values(car(x, y[:, ::8, ::8]))
    assert values(car(x, y)) != values(car(x, y[:, 4::8, 4::8]))


def test_large_sizes_do_not_round() -> None:
    """Where float32 arithmetic would go wrong: halves at thousands of pixels."""
    size_in, size_out = 4002, 3  # (in − 1) / 2 = 2000.5, upwards
    assert nearest(size_in, size_out) == [0, 2001, 4001]
    x = torch.randn(1, 2, 1, size_out, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    car = ClassAwareRegularization(2, preset="masked", c2c_margin=0.0, c2p_margin=0.0)
    labels = torch.zeros(1, 1, size_in, dtype=torch.long)
    labels[..., 2001] = 1
    picked = torch.tensor([[[0, 1, 0]]])
    assert values(car(x, labels)) == values(car(x, picked))
    assert values(car(x, labels)) != values(car(x, torch.zeros_like(picked)))


@pytest.mark.parametrize(
    ("size", "rate", "cells"),
    [
        (4, 2, [[0, 1], [2, 3]]),
        (5, 2, [[0, 1], [2, 3], [4]]),
        (1, 2, [[0]]),
        (5, 3, [[0, 1, 2], [3, 4]]),
        (4, 3, [[0, 1], [2, 3]]),
        (7, 3, [[0, 1], [2, 3, 4], [5, 6]]),
        (5, 4, [[0, 1, 2], [3, 4]]),
        (6, 4, [[0, 1, 2], [3, 4, 5]]),
        (2, 5, [[0, 1]]),
    ],
)
@pytest.mark.parametrize("preset", PRESETS)
def test_pooling_windows(preset: str, size: int, rate: int, cells: list[list[int]]) -> None:
    """TF's SAME: padding is shared out, the odd cell goes to the end, and it is never averaged."""
    assert [list(w) for w in windows(size, rate)] == cells
    g = torch.Generator().manual_seed(size * 10 + rate)
    x = torch.randn(2, 3, size, size, generator=g, dtype=torch.float64)
    y = torch.randint(4, (2, 3 * size, 2 * size + 1), generator=g)
    pooled = torch.stack([x[..., w].mean(-1) for w in cells], -1)
    pooled = torch.stack([pooled[..., w, :].mean(-2) for w in cells], -2)
    once = y[:, nearest(3 * size, size)][..., nearest(2 * size + 1, size)]
    twice = once[:, nearest(size, len(cells))][..., nearest(size, len(cells))]
    got = ClassAwareRegularization(4, preset=preset, pool=rate)(x, y)
    assert_same(got, ClassAwareRegularization(4, preset=preset)(pooled, twice), rtol=1e-10, atol=1e-14)


def test_pooled_labels_go_through_the_unpooled_size() -> None:
    """Two steps are not one: 6 positions of labels, 8 of features, 4 of pooled features."""
    direct, steps = nearest(6, 4), [nearest(6, 8)[i] for i in nearest(8, 4)]
    assert direct != steps
    x, y = bits(6, 8, vertical=False)
    pooled = torch.nn.functional.avg_pool2d(x, (1, 2))
    car, pooling = (ClassAwareRegularization(2, preset="paper", c2p_margin=0.0, pool=rate) for rate in (1, 2))
    assert_same(pooling(x, y), car(pooled, y[..., steps]))
    assert values(pooling(x, y)) != pytest.approx(values(car(pooled, y[..., direct])))
