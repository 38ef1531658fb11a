import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from classaware.errors import InputError
from classaware.insight.figures import COMPARED, REFERENCE, figure_to_png, figure_to_svg
from classaware.insight.study_plot import _UNSURE, PlotBlock, PlotRow, study_figure

BLOCKS = [
    PlotBlock(
        "animals, $ocr$, test",
        [PlotRow("_better", 0.02, (0.01, 0.03), (0.015, 0.025)), PlotRow("worse\n", -0.03, (-0.05, -0.01), (-0.03,))],
        "(plain: 60.00 %)",
    ),
    PlotBlock("nothing here", []),
    PlotBlock("scenes", [PlotRow("unsure", 0.01, (-0.01, 0.03), (0.0, 0.02)), PlotRow("$one$", 0.005, None, (0.005,))]),
]


def many(count: int) -> list[PlotBlock]:
    pairs = np.random.default_rng(0).normal(0.01, 0.01, (count, 3))
    rows = [
        PlotRow(f"variant {i}", float(p.mean()), (p.mean() - 0.02, p.mean() + 0.02), p) for i, p in enumerate(pairs)
    ]
    return [PlotBlock(f"data set {start}, network, split", rows[start : start + 3]) for start in range(0, count, 3)]


def test_dots_means_and_colors() -> None:
    (axis,) = study_figure(BLOCKS, "plain").axes
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    bars = [line for line in axis.lines if line.get_marker() == "|"]
    assert [list(map(float, line.get_xdata())) for line in dots] == [[1.5, 2.5], [-3.0], [0.0, 2.0], [0.5]]
    assert [float(line.get_xdata()[0]) for line in bars] == [2.0, -3.0, 1.0, 0.5]
    colors = [COMPARED, REFERENCE, _UNSURE, _UNSURE]
    assert [line.get_color() for line in dots] == [line.get_color() for line in bars] == colors
    spans = [list(map(float, line.get_xdata())) for line in axis.lines if line.get_linewidth() == 1.3]
    assert spans == [[1.0, 3.0], [-5.0, -1.0], [-1.0, 3.0]]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["_better", "worse", "unsure", "$one$"]
    numbers = [text.get_text() for text in axis.texts if text.get_text()[0] in "+-"]
    assert numbers == ["+2.00", "-3.00", "+1.00", "+0.50"]
    titles = [text.get_text() for text in axis.texts if text.get_text()[0] not in "+-"]
    assert titles == ["animals, $ocr$, test (plain: 60.00 %)", "scenes"]


def test_names_are_no_formulas() -> None:
    for text in study_figure(BLOCKS, "$plain$").findobj(Text):
        assert isinstance(text, Text)
        if "$" in text.get_text():
            assert not text.get_parse_math()


@pytest.mark.parametrize("count", [1, 3, 30, 60])
def test_every_row_is_readable(count: int) -> None:
    figure = study_figure(many(count), "plain")
    (axis,) = figure.axes
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    labels = [text for text in axis.get_yticklabels() if text.get_text()]
    assert len(labels) == count
    boxes = [text.get_window_extent(renderer) for text in labels]
    assert all(above.y0 >= below.y1 - 0.5 for above, below in pairwise(boxes))
    titles = [text.get_window_extent(renderer) for text in axis.texts if text.get_fontweight() == "bold"]
    assert len(titles) == -(-count // 3)
    assert all(above.y0 > below.y1 for above, below in pairwise(titles))
    assert all(box.y1 <= title.y0 + 0.5 or box.y0 >= title.y1 - 0.5 for box in boxes for title in titles)
    width, height = figure.get_size_inches()
    assert width < 9
    assert height < 21
    inside = figure.get_window_extent()
    for text in [*labels, *axis.texts]:
        box = text.get_window_extent(renderer)
        assert box.x0 >= inside.x0 - 1
        assert box.x1 <= inside.x1 + 1


def test_an_interval_without_end_leaves_the_pairs_apart() -> None:
    wide = PlotRow("two seeds", 0.01, (-0.5, 0.52), (0.005, 0.015))
    (axis,) = study_figure([PlotBlock("scenes", [wide, *BLOCKS[0].rows])], "plain").axes
    low, high = axis.get_xlim()
    assert -15 < low < -3
    assert 2.5 < high < 15
    arrows = {line.get_marker(): float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() in "<>"}
    assert arrows == pytest.approx({"<": low, ">": high})


def test_equal_sides_are_drawn() -> None:
    (axis,) = study_figure([PlotBlock("a", [PlotRow("same", 0.0, None, (0.0, 0.0))])], "plain").axes
    low, high = axis.get_xlim()
    assert low < 0 < high


def test_a_long_title_is_cut_and_its_note_is_not() -> None:
    (axis,) = study_figure([PlotBlock("x" * 200, BLOCKS[0].rows, "(plain: 60.00 %)")], "plain").axes
    title = axis.texts[0].get_text()
    assert title.startswith("xxx")
    assert title.endswith("… (plain: 60.00 %)")
    assert len(title) < 80


def test_bytes_are_always_the_same() -> None:
    one, other = study_figure(BLOCKS, "plain"), study_figure(BLOCKS, "plain")
    assert figure_to_svg(one) == figure_to_svg(other)
    assert figure_to_png(one) == figure_to_png(other)
    assert Image.open(io.BytesIO(figure_to_png(one))).width > 600


@pytest.mark.parametrize("blocks", [[], [PlotBlock("empty", [])]])
def test_nothing_to_draw_is_named(blocks: list[PlotBlock]) -> None:
    with pytest.raises(InputError, match="no difference to draw"):
        study_figure(blocks, "plain")
