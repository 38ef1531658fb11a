"""Resizing with aligned corners: the rule by loops, and windows as parts of the whole."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classaware.resizing import Window, resize_label_window, resize_window

SIDE = st.integers(1, 20)


@given(SIDE, SIDE, SIDE, SIDE)
def test_labels_follow_the_rule_of_aligned_corners(height: int, width: int, new_height: int, new_width: int) -> None:
    label = torch.arange(height * width).view(height, width)
    resized = resize_label_window(label, (new_height, new_width))

    def source(i: int, old: int, new: int) -> int:
        return (2 * i * (old - 1) + new - 1) // (2 * (new - 1)) if new > 1 else 0

    for i in range(new_height):
        for j in range(new_width):
            assert resized[i, j] == label[source(i, height, new_height), source(j, width, new_width)]


@settings(max_examples=30)
@given(SIDE, SIDE, SIDE, SIDE)
def test_images_are_interpolated_with_aligned_corners(h: int, w: int, new_h: int, new_w: int) -> None:
    image = torch.rand(3, h, w, generator=torch.Generator().manual_seed(h * 20 + w))
    resized = resize_window(image, (new_h, new_w))
    for i in range(new_h):
        for j in range(new_w):
            y = i * (h - 1) / (new_h - 1) if new_h > 1 else 0.0
            x = j * (w - 1) / (new_w - 1) if new_w > 1 else 0.0
            top, left = min(int(y), h - 1), min(int(x), w - 1)
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            upper = image[:, top, left] * (left + 1 - x) + image[:, top, right] * (x - left)
            lower = image[:, bottom, left] * (left + 1 - x) + image[:, bottom, right] * (x - left)
            torch.testing.assert_close(resized[:, i, j], upper * (top + 1 - y) + lower * (y - top), atol=1e-5, rtol=0)


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], Window]:
    """The size that comes in, the size of the whole result, and a part of it."""
    old, new = draw(st.tuples(SIDE, SIDE)), draw(st.tuples(st.integers(1, 50), st.integers(1, 50)))
    top, left = draw(st.integers(0, new[0] - 1)), draw(st.integers(0, new[1] - 1))
    height, width = draw(st.integers(1, new[0] - top)), draw(st.integers(1, new[1] - left))
    return old, new, Window(top, left, height, width)


def cut(x: Tensor, window: Window) -> Tensor:
    return x[..., window.top : window.top + window.height, window.left : window.left + window.width]


@settings(max_examples=200)
@given(windows())
def test_a_window_is_a_part_of_the_whole(case: tuple[tuple[int, int], tuple[int, int], Window]) -> None:
    old, new, window = case
    x = torch.rand(2, 3, *old, dtype=torch.float64, generator=torch.Generator().manual_seed(old[0] * 20 + old[1]))
    whole = F.interpolate(x, new, mode="bilinear", align_corners=True)
    torch.testing.assert_close(resize_window(x, new, window).double(), cut(whole, window), atol=1e-6, rtol=0)
    label = torch.arange(old[0] * old[1]).view(old)
    assert torch.equal(resize_label_window(label, new, window), cut(resize_label_window(label, new), window))


def test_types_and_leading_dimensions() -> None:
    image = torch.randint(0, 256, (2, 3, 8, 9), dtype=torch.uint8)
    for window in (None, Window(1, 2, 3, 4)):
        shape = (5, 7) if window is None else (3, 4)
        assert resize_window(image, (5, 7), window).shape == (2, 3, *shape)
        assert resize_window(image[0, 0], (5, 7), window).dtype == torch.float32
        assert resize_window(image, (8, 9)).dtype == torch.float32
        torch.testing.assert_close(resize_window(image[1], (5, 7), window), resize_window(image, (5, 7), window)[1])
    assert resize_label_window(image[0, 0], (5, 7)).dtype == torch.uint8


def test_positions_of_large_maps_are_exact() -> None:
    """A float32 position of column 199,999 of 200,001 would be off by a hundredth."""
    x = torch.arange(100_001, dtype=torch.float64).view(1, -1)
    window = Window(0, 199_990, 1, 11)
    assert resize_window(x, (1, 200_001), window).flatten().tolist() == [99_995 + i / 2 for i in range(11)]


def test_index_maps_computed_by_hand() -> None:
    """Half positions go up; corners stay corners; the seven scales of a side of 5."""
    expected = {
        (5, 2): [0, 4],
        (5, 3): [0, 2, 4],
        (5, 5): [0, 1, 2, 3, 4],
        (5, 6): [0, 1, 2, 2, 3, 4],
        (5, 7): [0, 1, 1, 2, 3, 3, 4],
        (5, 8): [0, 1, 1, 2, 2, 3, 3, 4],
        (5, 10): [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
        (3, 5): [0, 1, 1, 2, 2],
        (4, 6): [0, 1, 1, 2, 2, 3],
        (7, 1): [0],
    }
    for (old, new), indices in expected.items():
        assert resize_label_window(torch.arange(old).view(1, -1), (1, new)).flatten().tolist() == indices
    values = resize_window(torch.tensor([[0.0, 10.0, 40.0]]), (1, 5)).flatten().tolist()
    assert values == [0.0, 5.0, 10.0, 25.0, 40.0]
