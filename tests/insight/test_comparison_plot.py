import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from classaware.errors import InputError
from classaware.insight.comparison_plot import _UNSURE, Difference, comparison_figure
from classaware.insight.figures import COMPARED, REFERENCE, figure_to_png

SIDES = {"with $CAR$": (0.5, 0.52), "_plain": (0.47,)}
FEW: list[Difference] = [
    ("grass", 0.01, (-0.01, 0.02)),
    ("$cow_$", -0.03, (-0.05, -0.01)),
    ("_hidden\n", 0.04, (0.02, 0.06)),
    ("alone", 0.0, None),
]


def many(count: int) -> list[Difference]:
    values = np.random.default_rng(0).normal(0.01, 0.02, count)
    return [(f"class number {i}", float(x), (float(x) - 0.02, float(x) + 0.02)) for i, x in enumerate(values)]


def test_bytes_are_always_the_same() -> None:
    one, other = comparison_figure(FEW, SIDES), comparison_figure(FEW, SIDES)
    assert figure_to_png(one) == figure_to_png(other) == figure_to_png(one)
    assert "Software" not in Image.open(io.BytesIO(figure_to_png(one))).info


def test_sorted_colored_and_within_the_limits() -> None:
    runs, classes = comparison_figure(FEW, SIDES).axes
    assert [text.get_text() for text in classes.get_yticklabels()] == ["mean", "_hidden", "grass", "alone", "$cow_$"]
    dots = [line for line in classes.lines if line.get_marker() == "o"]
    mean, *dots = dots
    assert float(mean.get_xdata()[0]) == pytest.approx(4.0)
    assert [float(line.get_xdata()[0]) for line in dots] == [4.0, 1.0, 0.0, -3.0]
    assert [line.get_color() for line in dots] == [COMPARED, _UNSURE, _UNSURE, REFERENCE]
    low, high = classes.get_xlim()
    assert low < -5
    assert high > 6
    assert [list(line.get_xdata()) for line in runs.lines if line.get_marker() == "o"] == [[50.0, 52.0], [47.0]]
    assert [line.get_color() for line in runs.lines if line.get_marker() == "o"] == [COMPARED, REFERENCE]
    assert [text.get_text() for text in runs.get_yticklabels()] == list(SIDES)


def overlapping(figure: Figure) -> int:
    """Pairs of labels of classes, one under the other, that touch."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    count = 0
    for axis in figure.axes[1:]:
        boxes = [text.get_window_extent(renderer) for text in axis.get_yticklabels()]
        count += sum(above.y0 < below.y1 - 0.5 for above, below in pairwise(boxes))
    return count


@pytest.mark.parametrize("count", [1, 59, 60, 61, 171])
def test_every_class_is_readable(count: int) -> None:
    figure = comparison_figure(many(count), SIDES)
    labels = [text.get_text() for axis in figure.axes[1:] for text in axis.get_yticklabels()]
    assert labels[0] == "mean"
    assert sorted(labels[1:]) == sorted(name for name, _, _ in many(count))
    assert overlapping(figure) == 0
    assert len(figure.axes) == 1 + -(-count // 60)
    width, height = figure.get_size_inches()
    assert width < 14
    assert height < 14
    limits = {axis.get_xlim() for axis in figure.axes[1:]}
    assert len(limits) == 1


def test_the_mean_has_its_interval_and_stands_apart() -> None:
    axis = comparison_figure(FEW, SIDES, (-0.2, -0.1)).axes[1]
    spans = [list(line.get_xdata()) for line in axis.lines if line.get_marker() != "o"]
    assert [-20.0, -10.0] in spans
    assert axis.get_xlim()[0] < -20
    steps = np.diff(axis.get_yticks())
    assert steps[0] > 1.5
    assert steps[1:].tolist() == [1, 1, 1]


def test_what_is_drawn_is_said() -> None:
    text = comparison_figure(FEW, SIDES).get_supxlabel()
    assert "95 % interval over images for these networks (seeds not included)" in text
    assert "in the color of what scores more: this interval leaves zero out" in text


def test_names_are_no_formulas() -> None:
    for text in comparison_figure(FEW, SIDES).findobj(Text):
        assert isinstance(text, Text)
        if "$" in text.get_text():
            assert not text.get_parse_math()


def test_equal_sides_are_drawn() -> None:
    figure = comparison_figure([("a", 0.0, (0.0, 0.0))], {"one": (0.5,), "other": (0.5,)})
    low, high = figure.axes[1].get_xlim()
    assert low < 0 < high


@pytest.mark.parametrize(("differences", "sides"), [([], SIDES), (FEW, {"one": (0.5,)})])
def test_nothing_to_draw_is_named(differences: list[Difference], sides: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(InputError, match="no difference to draw"):
        comparison_figure(differences, sides)
