"""The picture of scores by the familiarity of combinations."""

import io

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from tiny_world import guesses, record_of, striped_maps

from classaware.data.pairs import PairCounts
from classaware.evaluation.combinations import Combinations
from classaware.evaluation.familiarity import Familiarity
from classaware.evaluation.rare_combinations import RareCombinations, rare_combinations
from classaware.insight.combinations_plot import combinations_figure
from classaware.insight.figures import COMPARED, REFERENCE, figure_to_png, figure_to_svg, run_color

K, N = 4, 40


def result(two: bool = True, names: tuple[str, str] = ("with $CAR$", "_plain")) -> RareCombinations:
    labels = striped_maps(0, N, K)
    runs = [record_of(labels, guesses(labels, seed, K, 0.5 + 0.2 * seed), K) for seed in range(2)]
    pixels = runs[0].counts[..., 0] + runs[0].counts[..., 2]
    present = pixels > 0
    rows = [(i, a, b) for i in range(N) for a in range(K) for b in range(a + 1, K) if present[i, a] and present[i, b]]
    found = Combinations(runs[0].names, runs[0].class_names, "test", pixels, present, np.array(rows), 1, "image")
    trained = (np.random.default_rng(0).random((12, K)) < 0.4).astype(np.int64)
    familiarity = Familiarity(PairCounts(runs[0].class_names, 12, trained.T @ trained), 0.9)
    return rare_combinations(runs[:1], runs[1:] if two else None, found, familiarity, names, 50)


def test_the_picture_holds_the_numbers() -> None:
    found = result()
    axes = combinations_figure(found).axes
    assert len(axes) == 4
    for axis, unit in zip(axes[1::2], ("region", "image"), strict=True):
        rows = [row for row in found.curve if row.unit == unit]
        lines = [line for line in axis.lines if line.get_marker() in ("o", "s")]
        assert [line.get_color() for line in lines] == [COMPARED, REFERENCE]
        ours, theirs = ([y / 100 for y in np.asarray(line.get_ydata())] for line in lines)
        assert ours == pytest.approx([row.mean_iou.ours.value for row in rows])
        assert theirs == pytest.approx([row.mean_iou.theirs.value for row in rows if row.mean_iou.theirs])
        labels = [text.get_text() for text in axis.get_xticklabels()]
        assert labels == [f"{row.middle:.2f}\n{row.units}" for row in rows]
    for axis, unit in zip(axes[::2], ("region", "image"), strict=True):
        rows = [row for row in found.groups if row.unit == unit]
        assert [t.get_text() for t in axis.get_xticklabels()] == [f"{row.group}\n{row.units}" for row in rows]
        spans = [tuple(line.get_ydata()) for line in axis.lines if line.get_marker() not in ("o", "s")]
        for row in rows:
            if row.mean_iou.ours.interval is not None:
                low, high = row.mean_iou.ours.interval
                assert any(span == pytest.approx((100 * low, 100 * high)) for span in spans)


def test_a_run_has_its_color() -> None:
    def colors(two: bool, color: str | None) -> list[str]:
        lines = combinations_figure(result(two), color).axes[1].lines
        return [line.get_color() for line in lines if line.get_marker() in ("o", "s")]

    assert colors(False, None) == [REFERENCE]
    assert colors(True, run_color(2)) == [run_color(2), REFERENCE]
    assert run_color(2) not in (COMPARED, REFERENCE)


def test_both_sides_are_named_and_names_are_no_formulas() -> None:
    figure = combinations_figure(result())
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["with $CAR$", "plain"]
    assert not combinations_figure(result(two=False)).legends
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if "$" in text.get_text():
            assert not text.get_parse_math()


@pytest.mark.filterwarnings("ignore:Glyph")
def test_bytes_are_always_the_same() -> None:
    found = result(names=("$\\frac$", "名" * 80))
    one, other = combinations_figure(found), combinations_figure(found)
    assert figure_to_png(one) == figure_to_png(other)
    assert figure_to_svg(one) == figure_to_svg(other)
    assert np.asarray(Image.open(io.BytesIO(figure_to_png(one))).convert("L")).std() > 5


def test_the_gap_is_said() -> None:
    found = result()
    assert found.gap is not None
    assert found.gap.gap.ours.value is not None
    assert f"with $CAR$ {100 * found.gap.gap.ours.value:+.2f}" in combinations_figure(found).get_supxlabel()
