"""The picture of class co-occurrence."""

from itertools import pairwise

import numpy as np
import pytest

from classaware.data.pairs import PairCounts
from classaware.errors import InputError
from classaware.insight.figures import figure_to_png
from classaware.insight.pairs_plot import pairs_figure


def pairs(size: int, names: tuple[str, ...] | None = None) -> PairCounts:
    rng = np.random.default_rng(0)
    holds = rng.random((40, size)) < 0.3
    holds[:, -1] = False
    counts = holds.astype(np.int64).T @ holds.astype(np.int64)
    return PairCounts(names or tuple(f"class {i}" for i in range(size)), 40, counts)


def test_the_picture_holds_the_shares() -> None:
    counted = pairs(6)
    (axes, _) = pairs_figure(counted).axes
    shown = np.ma.filled(np.ma.masked_invalid(axes.images[0].get_array()), np.nan)
    expected = counted.conditional()
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_array_equal(shown, expected)
    assert np.isnan(shown[-1]).all()
    assert not np.isnan(shown[:-1, -1]).any()
    assert [text.get_text() for text in axes.get_yticklabels()] == list(counted.class_names)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("also hold this class", "images with this class")


def test_171_names_can_be_read() -> None:
    figure = pairs_figure(pairs(171))
    axes = figure.axes[0]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.get_yticklabels()]
    assert axes.get_yticklabels()[0].get_fontsize() >= 7.0
    for above, below in pairwise(boxes):
        assert above.y0 >= below.y0 + 0.6 * below.height  # next to each other, not over each other
    assert max(figure.get_size_inches()) < 40


@pytest.mark.filterwarnings("ignore:Glyph")  # letters that the font lacks are boxes
def test_names_are_no_mathematics() -> None:
    names = ("$\\frac$", "$x", "名" * 100)
    assert figure_to_png(pairs_figure(pairs(3, names))).startswith(b"\x89PNG")


def test_equal_numbers_are_equal_files() -> None:
    assert figure_to_png(pairs_figure(pairs(5))) == figure_to_png(pairs_figure(pairs(5)))


def test_one_class_and_none() -> None:
    assert figure_to_png(pairs_figure(PairCounts(("sky",), 3, np.array([[3]])))).startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no class"):
        pairs_figure(PairCounts((), 0, np.zeros((0, 0), dtype=np.int64)))
