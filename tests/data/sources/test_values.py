import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.data.sources.rle import decode_runs
from classaware.data.sources.values import ColorTable, ValueTable
from classaware.errors import InputError

numbers = st.integers(0, 300)


@given(st.dictionaries(numbers, st.integers(0, 255), min_size=1), st.lists(st.integers(-3, 305), min_size=1))
def test_values_go_through_the_table_one_by_one(classes: dict[int, int], values: list[int]) -> None:
    label = np.array([values], dtype=np.int64)
    bad = [value for value in values if value not in classes]
    if bad:
        with pytest.raises(InputError, match=rf"x\.png holds the value {bad[0]} \({len(bad)} such"):
            ValueTable(classes)(label, "x.png")
        return
    found = ValueTable(classes)(label, "x.png")
    assert found.dtype == np.uint8
    assert found.tolist() == [[classes[value] for value in values]]


channel = st.integers(0, 255)
colors = st.tuples(channel, channel, channel)


@given(st.dictionaries(colors, st.integers(0, 255), min_size=1), st.data())
def test_colors_go_through_the_table_one_by_one(classes: dict[tuple[int, int, int], int], data: st.DataObject) -> None:
    pixels = data.draw(st.lists(st.sampled_from(sorted(classes)), min_size=1))
    found = ColorTable(classes)(np.array([pixels], dtype=np.uint8), "x.bmp")
    assert found.tolist() == [[classes[color] for color in pixels]]


@given(st.dictionaries(colors, st.integers(0, 255), min_size=1), colors)
def test_a_color_that_is_not_in_the_table_is_named(classes: dict[tuple[int, int, int], int], other: object) -> None:
    if other in classes:
        return
    pixels = np.array([[other, next(iter(classes))]], dtype=np.uint8)
    with pytest.raises(InputError, match=r"x\.bmp holds the color \(.*\(1 such"):
        ColorTable(classes)(pixels, "x.bmp")


def pack(counts: list[int]) -> str:
    """COCO's text of run lengths, number by number: 5 bits a character, lowest first, until only the sign is left."""
    text = io.StringIO()
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text.write(chr(bits + (0x20 if more else 0) + 48))
    return text.getvalue()


@settings(max_examples=200)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12), st.integers(1, 5))
def test_runs_are_columns_of_zeros_and_ones_by_turns(counts: list[int], height: int) -> None:
    counts[-1] += -sum(counts) % height
    if not sum(counts):
        return
    flat = [index % 2 for index, count in enumerate(counts) for _ in range(count)]
    width = len(flat) // height
    expected = [[bool(flat[column * height + row]) for column in range(width)] for row in range(height)]
    assert decode_runs(pack(counts), (height, width), "x").tolist() == expected
    assert decode_runs(counts, (height, width), "x").tolist() == expected


@pytest.mark.parametrize(
    ("counts", "size", "rows", "columns"),
    [
        ("01\\:000000000fdP5", (333, 500), (0, 0), (0, 5)),
        ("`U\\21f;00000000000k[X3", (375, 500), (0, 0), (208, 214)),
    ],
)
def test_texts_that_cocos_own_code_wrote(
    counts: str, size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    expected = np.zeros(size, dtype=bool)
    expected[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
    np.testing.assert_array_equal(decode_runs(counts, size, "x"), expected)


@pytest.mark.parametrize(
    "counts", ["", "0P", "0\x7f", "05é", [5, -1, 8], [3, 4], [[12]], "o" * 12 + "0", [12, None], [2**70]]
)
def test_damaged_runs(counts: str | list[int]) -> None:
    with pytest.raises(InputError, match="x: a run length code"):
        decode_runs(counts, (3, 4), "x")
