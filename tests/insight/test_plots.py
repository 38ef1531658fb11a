import io
import math
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from classaware.errors import InputError
from classaware.insight import curves_figure, dependency_figure, figure_to_png, figure_to_svg
from classaware.insight.figures import COMPARED

NAMES = ["grass", "$cow_$", "_hidden", "<img src=x>"]
CURVES = {
    "loss/total": {"FCN": ([0, 1, 2], [3.0, math.nan, 1.0]), "_FCN + $CAR": ([0, 1, 2], [3.0, 2.0, 1.5])},
    "val/mIoU": {"_FCN + $CAR": ([2], [0.4])},
}


def some_map(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).dirichlet(np.ones(4), 4)
    values[2] = values[:, 2] = np.nan
    return values


def dependency() -> Figure:
    return dependency_figure({"FCN": some_map(0), "FCN + CAR $": some_map(1)}, NAMES)


@pytest.mark.parametrize("make", [dependency, lambda: curves_figure(CURVES)])
def test_bytes_are_always_the_same(make) -> None:  # type: ignore[no-untyped-def]
    one, other = make(), make()
    assert figure_to_png(one) == figure_to_png(other) == figure_to_png(one)
    assert figure_to_svg(one) == figure_to_svg(other) == figure_to_svg(one)
    picture = Image.open(io.BytesIO(figure_to_png(one)))
    assert "Software" not in picture.info
    assert np.asarray(picture.convert("L")).std() > 5
    assert ElementTree.fromstring(figure_to_svg(one)).tag.endswith("svg")
    assert b"<dc:date>" not in figure_to_svg(one)


def test_maps_share_one_scale_and_name_their_classes() -> None:
    maps = {"FCN": some_map(0), "FCN + CAR": some_map(1) / 2}
    figure = dependency_figure(maps, NAMES)
    panels = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in panels] == list(maps)
    assert len(figure.axes) == 3  # two maps, one color bar
    scales = {(axis.images[0].norm.vmin, axis.images[0].norm.vmax) for axis in panels}
    assert scales == {(0.0, float(np.nanmax(maps["FCN"])))}
    for axis, values in zip(panels, maps.values(), strict=True):
        assert [text.get_text() for text in axis.get_xticklabels()] == NAMES
        drawn = np.ma.filled(axis.images[0].get_array(), np.nan)
        assert np.array_equal(drawn, values, equal_nan=True)
    assert [text.get_text() for text in panels[0].get_yticklabels()] == NAMES


def test_cosines_are_drawn_around_zero() -> None:
    values = np.array([[1.0, -0.2], [-0.2, 1.0]])
    figure = dependency_figure({"FCN": values}, ["a", "b"], "cosine")
    picture = figure.axes[0].images[0]
    assert (picture.norm.vmin, picture.norm.vmax) == (-1.0, 1.0)
    assert picture.cmap(picture.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.04)
    assert figure.axes[-1].get_ylabel() == "cosine of class centers"


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (4, 2), (5, 3)])
def test_several_networks_go_in_rows(count: int, columns: int) -> None:
    figure = dependency_figure({f"network {i}": some_map(i) for i in range(count)}, NAMES)
    panels = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in panels] == [f"network {i}" for i in range(count)]
    assert len({round(axis.get_position().x0, 3) for axis in panels}) == columns
    below = panels[max(0, count - columns) :]
    assert all(axis.get_xlabel() == "on this class" for axis in below)
    for axis in below:  # nothing stands under these: they name the columns
        assert axis.xaxis.get_major_ticks()[0].label1.get_visible()


def test_one_panel_a_quantity_one_color_a_network() -> None:
    figure = curves_figure(CURVES)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(CURVES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["FCN", "_FCN + $CAR"]
    first, second = figure.axes
    assert len({line.get_color() for line in first.lines}) == 2
    assert second.lines[0].get_color() == first.lines[1].get_color()
    assert np.isnan(first.lines[0].get_ydata()[1])
    assert first.lines[1].get_ydata().tolist() == [3.0, 2.0, 1.5]


def test_a_point_that_stands_alone_is_a_dot() -> None:
    values = [math.nan, *[1.0] * 5, math.nan, 2.0, math.nan, *[1.0] * 10, math.nan, 3.0]
    (axis,) = curves_figure({"val/mIoU": {"FCN": (range(len(values)), values)}}).axes
    dots = axis.lines[0].get_markevery()
    assert [value for value, dot in zip(values, dots, strict=True) if dot] == [2.0, 3.0]
    (axis,) = curves_figure({"val/mIoU": {"FCN": ([5], [0.5])}}).axes
    assert axis.lines[0].get_marker() == "o"
    assert axis.lines[0].get_markevery().tolist() == [True]


def test_a_network_without_a_log_keeps_its_color_for_itself() -> None:
    figure = curves_figure({"loss": {"silent": ([], []), "FCN": ([0, 1], [1.0, 0.5])}})
    assert figure.axes[0].lines[1].get_color() == COMPARED
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["FCN"]


def test_many_classes_and_an_empty_map_can_be_drawn() -> None:
    names = [f"class {index}" for index in range(171)]
    figure = dependency_figure({"all absent": np.full((171, 171), np.nan)}, names)
    width, height = Image.open(io.BytesIO(figure_to_png(figure, dpi=40))).size
    assert width < 1000
    assert height < 1000


@pytest.mark.filterwarnings("error")
def test_long_names_are_shortened() -> None:
    long = "x" * 200
    for figure in (dependency_figure({long: [[1.0]]}, [long]), curves_figure({long: {long: ([0], [1.0])}})):
        texts = [text.get_text() for text in figure.findobj(Text) if "x" in text.get_text()]
        assert texts
        assert "x" * 31 + "…" in texts
        assert long not in texts


def test_no_global_figure_state() -> None:
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"'FCN'.*\(4, 4\).*3 class names"):
        dependency_figure({"FCN": some_map(0)}, NAMES[:3])
    with pytest.raises(InputError, match="no dependency map"):
        dependency_figure({}, NAMES)
    with pytest.raises(InputError, match="no curve"):
        curves_figure({"loss": {}})
    with pytest.raises(InputError, match="'loss' of 'FCN' has 2 steps and 1 values"):
        curves_figure({"loss": {"FCN": ([0, 1], [1.0])}})
