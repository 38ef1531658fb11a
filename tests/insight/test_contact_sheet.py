"""Contact sheets, pixel by pixel."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classaware.errors import InputError
from classaware.insight.contact_sheet import Tile, contact_sheet, make_tile, sheet_png

PALETTE = [(0, 0, 0), (255, 0, 0), (0, 0, 255)]
NAMES = ("sky", "tree", "road")


def tile(name: str = "a", height: int = 90, width: int = 120, value: int = 1) -> Tile:
    image = np.full((height, width, 3), 100, dtype=np.uint8)
    label = np.full((height, width), 255, dtype=np.int64)
    label[:, : width // 2] = value
    return make_tile(name, image, label)


def holds(sheet: NDArray[np.uint8], color: tuple[int, int, int]) -> int:
    return int((sheet == color).all(axis=2).sum())


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(90, 120, (180, 240)), (1000, 500, (180, 90)), (500, 1000, (120, 240)), (1, 4000, (1, 240)), (4000, 1, (180, 1))],
)
def test_tiles_fit_their_box(height: int, width: int, expected: tuple[int, int]) -> None:
    made = tile(height=height, width=width)
    assert made.image_HW3.shape == (*expected, 3)
    assert made.label_HW.shape == expected
    assert made.image_HW3.dtype == np.uint8


def test_labels_keep_their_values() -> None:
    rng = np.random.default_rng(0)
    label = rng.choice([0, 7, 170, 255, 60_000], (333, 517))
    small = make_tile("a", np.zeros((333, 517, 3), dtype=np.uint8), label).label_HW
    assert set(np.unique(small)) == set(np.unique(label))
    # Of every place the pixel whose center is nearest.
    rows = np.floor((np.arange(small.shape[0]) + 0.5) * 333 / small.shape[0]).astype(int)
    columns = np.floor((np.arange(small.shape[1]) + 0.5) * 517 / small.shape[1]).astype(int)
    np.testing.assert_array_equal(small, label[np.ix_(rows, columns)])


def test_a_sheet_shows_the_image_beside_its_mask() -> None:
    sheet = contact_sheet([tile()], NAMES, PALETTE)
    # The image, and the half of the overlay without a class.
    assert holds(sheet, (100, 100, 100)) >= 180 * 240 + 180 * 120
    blend = (round(0.4 * 100 + 0.6 * 255), 40, 40)
    assert holds(sheet, blend) == 180 * 120


def test_the_legend_has_the_classes_that_occur() -> None:
    sheet = contact_sheet([tile(value=2)], NAMES, PALETTE)
    assert holds(sheet, PALETTE[2]) >= 100
    assert holds(sheet, PALETTE[1]) == 0
    none = contact_sheet([tile(value=255)], NAMES, PALETTE)
    assert holds(none, PALETTE[2]) == 0


def test_sheets_grow_with_the_tiles() -> None:
    sizes = [
        contact_sheet([tile(str(i)) for i in range(count)], NAMES, PALETTE).shape[:2] for count in (1, 2, 3, 12, 13)
    ]
    assert [width for _, width in sizes] == sorted(width for _, width in sizes)
    assert sizes[4][0] > sizes[3][0]
    assert sizes[3][1] == sizes[4][1] == 12 + 3 * (2 * 240 + 4 + 12)


@pytest.mark.parametrize("name", ["$x^2$ [red]", "a\nb\x1b[31m", "名前", "\udcff", "x" * 5000, ""])
def test_any_name_can_be_shown(name: str) -> None:
    sheet = contact_sheet([tile(name)], (name, name, name), PALETTE)
    assert sheet.shape[1] == contact_sheet([tile()], NAMES, PALETTE).shape[1]
    assert sheet.shape[0] == contact_sheet([tile()], NAMES, PALETTE).shape[0]


def test_equal_sheets_are_equal_files() -> None:
    files = {sheet_png(contact_sheet([tile("a"), tile("b", 50, 70, 0)], NAMES, PALETTE)) for _ in range(2)}
    assert len(files) == 1
    with Image.open(io.BytesIO(files.pop())) as picture:
        assert (picture.format, picture.mode, picture.info) == ("PNG", "RGB", {})


@pytest.mark.parametrize(("tiles", "palette"), [([], PALETTE), ([tile()], PALETTE[:2])])
def test_what_does_not_fit(tiles: list[Tile], palette: list[tuple[int, int, int]]) -> None:
    with pytest.raises(InputError, match=rf"{len(tiles)} images, 3 names and {len(palette)} colors"):
        contact_sheet(tiles, NAMES, palette)
