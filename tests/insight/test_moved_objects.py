"""The pictures of a counterfactual test."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from staged_scenes import StagedScenes, by_context, by_own_color, familiarity_of

from classaware.errors import InputError
from classaware.evaluation.counterfactual import counterfactual
from classaware.insight.counterfactual_plot import counterfactual_figure
from classaware.insight.figures import COMPARED, REFERENCE, figure_to_png, figure_to_svg, run_color
from classaware.insight.moved_objects import Seen, moved_objects_figure, outline


@given(seed=st.integers(0, 1000), height=st.integers(1, 9), width=st.integers(1, 9))
def test_outline_against_loops(seed: int, height: int, width: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.4
    found = outline(mask)
    for y, x in np.ndindex(height, width):
        beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        near = any(0 <= v < height and 0 <= u < width and mask[v, u] for v, u in beside)
        assert found[y, x] == (near and not mask[y, x])


def seen(title: str, height: int = 40, width: int = 60, networks: int = 1) -> Seen:
    mask = np.zeros((height, width), dtype=bool)
    mask[10:20, 10:20] = True
    image = np.full((height, width, 3), 90, dtype=np.uint8)
    label = np.where(mask, 1, 0).astype(np.int64)
    return Seen(title, image, mask, [label] * networks, ["IoU 50 %"] * networks)


def test_examples_show_outline_and_prediction() -> None:
    names = ("sky", "$x^$ <b>")
    figure = moved_objects_figure(
        [[seen("a $ b"), seen("b", 60, 40)]] * 2, ["net_$1"], names, [(0, 0, 255), (255, 0, 0)]
    )
    assert len(figure.axes) == 2 * 2 * 2
    shown = [axis.images[0].get_array() for axis in figure.axes]
    assert (shown[0] == (255, 0, 255)).all(axis=2).sum() == 40  # around 10 x 10 pixels
    assert (shown[1] == (255, 0, 255)).all(axis=2).sum() == 40
    inside = shown[1][15, 15]
    assert inside[0] > 200 > inside[2]  # the prediction's red
    assert figure_to_png(figure) == figure_to_png(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(names)


def test_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="no moved object"):
        moved_objects_figure([], ["net"], ["a"], [(0, 0, 0)])


def test_figure_of_sensitivities() -> None:
    scenes = StagedScenes(3)
    result = counterfactual(
        {"context $x$": by_context}, scenes, "test", familiarity_of(scenes), {"own": by_own_color}, resamples=50
    )
    figure = counterfactual_figure(result)
    places, classes = figure.axes
    assert [label.get_text() for label in places.get_yticklabels()] == ["context $x$", "own"]
    names = [label.get_text() for label in classes.get_yticklabels()]
    assert names == ["all (6)", "cow (3)", "<img src=x>|$camel$ (3)"]
    points = [line.get_xdata()[0] for line in classes.lines if line.get_marker() == "o"]
    assert points == [100.0, 0.0] * 3
    assert [line.get_color() for line in classes.lines if line.get_marker() == "o"] == [COMPARED, REFERENCE] * 3
    assert Image.open(io.BytesIO(figure_to_png(figure))).width > 500
    assert figure_to_svg(figure) == figure_to_svg(counterfactual_figure(result))


def test_networks_that_are_not_compared_have_their_colors_in_turn() -> None:
    scenes = StagedScenes(3)
    networks = {"one": by_own_color, "other": by_context}
    result = counterfactual(networks, scenes, "test", familiarity_of(scenes), resamples=50)
    lines = counterfactual_figure(result).axes[1].lines
    assert [line.get_color() for line in lines if line.get_marker() == "o"] == [run_color(0), run_color(1)] * 3
