"""Legends: what is named, in which colors, and that the picture stays what it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from classaware.errors import InputError
from classaware.insight import legend
from classaware.insight.legend import add_legend, class_shares

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199]])
NAMES = ["road", "car", "tree", "sky"]


def colors_in(picture: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(color) for color in np.unique(picture.reshape(-1, 3), axis=0).tolist()}


def beyond(sheet: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The pixels of a sheet that are not the picture's, in one row."""
    outside = np.ones(sheet.shape[:2], bool)
    outside[:height, :width] = False
    return sheet[outside][None]


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_the_picture_is_in_the_corner_and_the_colors_are_those_of_its_classes(h: int, w: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.choice(rng.integers(0, 5, 3), (h, w))  # 4 is no class
    picture = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    sheet = add_legend(picture, label, NAMES, PALETTE)
    present = {int(k) for k in np.unique(label)} - {4}
    assert np.array_equal(sheet[:h, :w], picture)
    if not present:
        assert sheet.shape == picture.shape
        return
    shown = colors_in(beyond(sheet, h, w))
    for k in range(4):
        assert (tuple(PALETTE[k].tolist()) in shown) == (k in present)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.sampled_from([np.uint16, np.int64, np.int8]))
def test_shares_are_of_all_pixels_and_the_largest_is_first(values: list[int], kind: type) -> None:
    label = np.array([values, values[::-1]]).astype(kind)
    counted = {k: values.count(k) / len(values) for k in range(3) if k in values}
    shares = class_shares(label, 3)
    assert dict(shares) == pytest.approx(counted)
    assert shares == sorted(shares, key=lambda share: (-share[1], share[0]))


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (1500, 2000), (2000, 1500), (5, 900), (900, 5)])
def test_letters_and_colors_are_large_enough_to_be_seen(size: tuple[int, int]) -> None:
    label = np.zeros(size, np.uint8)
    sheet = add_legend(np.full((*size, 3), 255, np.uint8), label, NAMES, PALETTE)
    swatch = np.argwhere((sheet == PALETTE[0]).all(-1))
    side = swatch.max(0) - swatch.min(0) + 1
    assert side.min() >= max(10, 0.02 * np.sqrt(size[0] * size[1]))
    # Shrunk until the longer side of a picture is 1000 pixels, a legend must still be readable.
    if max(size) == 2000:
        assert side.min() / (max(sheet.shape) / 1000) >= 10
    ink = np.argwhere(sheet.max(-1) < 90)  # neither paper nor frame nor red
    assert len(ink) > 50
    assert np.ptp(ink[:, 0]) >= 0.6 * side.min()


def texts(names: list[str], monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int] = (20, 20)) -> list[str]:
    """What is written beside a picture that shows all classes."""
    written: list[str] = []
    draw = legend.ImageDraw.ImageDraw.text

    def text(self: object, place: object, content: str, *rest: object, **more: object) -> None:
        written.append(content)
        draw(self, place, content, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(legend.ImageDraw.ImageDraw, "text", text)
    label = np.arange(shape[0] * shape[1]).reshape(shape) % len(names)
    add_legend(np.zeros((*shape, 3), np.uint8), label, names, np.zeros((len(names), 3), np.uint8))
    return written


def test_names_of_others_are_shown_on_one_line_or_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["two\nlines\x1b[31m", "машина", "猫", "", "\u202eevil", 5000 * "long ", "\ud800", "<b>&"]
    names_and_shares = texts(names, monkeypatch)
    shown, shares = names_and_shares[::2], names_and_shares[1::2]
    assert shown[:5] == ["two lines [31m", "машина", "class 2", "class 3", "evil"]
    assert shown[5].startswith("long long")
    assert shown[5].endswith("...")
    assert len(shown[5]) < 60
    assert shown[6:] == ["class 6", "<b>&"]
    assert shares == 8 * ["12.5 %"]


def test_of_many_classes_the_smallest_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    written = texts([f"c{k}" for k in range(50)], monkeypatch, (10, 100))
    assert written[: 2 * 40 : 2] == [f"c{k}" for k in range(40)]
    assert written[80:] == ["10 more", "20.0 %"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100 %"), (0.99999, "99.9 %"), (0.5, "50.0 %"), (0.0005, "0.1 %"), (0.0004999, "<0.1 %"), (1e-9, "<0.1 %")],
)
def test_a_share_is_never_said_to_be_nothing_or_all_when_it_is_not(share: float, text: str) -> None:
    assert legend._percent(share) == text


def test_it_is_drawn_without_scalable_letters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = legend.ImageFont.load_default_imagefont()
    monkeypatch.setattr(legend.ImageFont, "load_default", lambda size: plain)
    legend._fonts.cache_clear()
    try:
        assert texts(["road", "машина"], monkeypatch)[::2] == ["road", "class 1"]
    finally:
        legend._fonts.cache_clear()


def test_what_does_not_fit_is_refused() -> None:
    picture, label = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), int)
    with pytest.raises(InputError, match=r"\(5, 4\)"):
        add_legend(picture, label.T, NAMES, PALETTE)
    with pytest.raises(InputError, match="3 names"):
        add_legend(picture, label, NAMES[:3], PALETTE)
