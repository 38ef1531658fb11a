"""Pixel-relation maps against the definition, and what is said beside them."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from classaware.errors import InputError
from classaware.evaluation import Inference
from classaware.insight.figures import figure_to_png
from classaware.insight.relation import FORMS, Form, Relation, contrast, grid_cell, relate, relation_map
from classaware.insight.relation_plot import relation_figure
from classaware.insight.subject import Subject
from classaware.models import ForeignNetwork
from classaware.regularization.labels import nearest_indices

PALETTE = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
NAMES = ("$sky$", "road", "<b>car</b>", "pole" * 20)


def subject(name: str = "net", seed: int = 0) -> Subject:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 4, 1)).eval()
    return Subject(name, ForeignNetwork(network, "0", 4), Inference(), torch.device("cpu"))


def picture(height: int = 13, width: int = 21) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@given(st.integers(1, 60), st.integers(1, 25), st.data())
def test_cell_is_the_nearest(size: int, grid: int, data: st.DataObject) -> None:
    pixel = data.draw(st.integers(0, size - 1))
    row, column = grid_cell((pixel, 0), (size, 1), (grid, 3))
    place = Fraction(pixel * (grid - 1), max(size - 1, 1))
    distances = [abs(place - cell) for cell in range(grid)]
    assert distances[row] == min(distances)
    if distances.count(min(distances)) > 1:  # halves go up
        assert row == max(cell for cell in range(grid) if distances[cell] == min(distances))
    assert column == 0


@given(st.integers(1, 60), st.data())
def test_cell_is_the_inverse_of_the_labels_resizing(size: int, data: st.DataObject) -> None:
    grid = data.draw(st.integers(1, size))
    for cell, pixel in enumerate(nearest_indices(size, grid, torch.device("cpu")).tolist()):
        assert grid_cell((0, pixel), (4, size), (2, grid))[1] == cell


@pytest.mark.parametrize("form", FORMS)
def test_map_equals_the_definition(form: Form) -> None:
    features = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(0))
    features[:, 3, 5] = 0
    for at in ((0, 0), (2, 4), (3, 5)):
        result = relation_map(features, at, form)
        assert result.dtype == torch.float64
        q = features[:, at[0], at[1]].tolist()
        for i, j in product(range(4), range(6)):
            p = features[:, i, j].tolist()
            dot = math.fsum(a * b for a, b in zip(q, p, strict=True))
            lengths = math.hypot(*q) * math.hypot(*p)
            expected = dot / math.sqrt(5) if form == "dot" else (dot / lengths if lengths else 0.0)
            assert float(result[i, j]) == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_contrast_equals_loops() -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.randint(0, 6, (5, 7), generator=generator).double()  # with ties
    label = torch.randint(0, 3, (5, 7), generator=generator)
    label[0] = 255
    cell = (2, 3)
    true = int(label[cell])
    places = [p for p in product(range(5), range(7)) if p != cell and int(label[p]) != 255]
    inside = [float(values[p]) for p in places if int(label[p]) == true]
    outside = [float(values[p]) for p in places if int(label[p]) != true]
    wins = sum((a > b) + (a == b) / 2 for a in inside for b in outside)
    expected = (np.mean(inside), np.mean(outside), wins / len(inside) / len(outside))
    assert contrast(values, label, cell, true, 255) == pytest.approx(expected)
    assert contrast(values, torch.full((5, 7), true), cell, true, 255)[1:] == (None, None)
    assert contrast(values[:1, :1], torch.zeros(1, 1), (0, 0), 0, 255) == (None, None, None)


def test_everything_about_a_pixel() -> None:
    who, image, pixel = subject(), picture(), (9, 17)
    label = torch.randint(0, 4, (13, 21), generator=torch.Generator().manual_seed(2))
    found = relate(who, image, pixel, "cosine", label)
    look = who.look(image)
    assert look.features_CHW.shape == (6, 7, 11)
    assert found.cell == grid_cell(pixel, (13, 21), (7, 11)) == (5, 9)
    assert torch.equal(found.map_HW, relation_map(look.features_CHW, (5, 9), "cosine"))
    assert torch.equal(found.prediction_HW, who.predict(image))
    assert found.predicted == int(found.prediction_HW[pixel])
    logits = F.interpolate(look.logits_KHW[None], (13, 21), mode="bilinear", align_corners=True)[0, :, 9, 17]
    shares = torch.softmax(logits.double(), 0)
    assert [k for k, _ in found.top] == shares.argsort(descending=True).tolist()
    assert [p for _, p in found.top] == pytest.approx(sorted(shares.tolist(), reverse=True), rel=1e-5)
    assert found.top[0][0] == found.predicted
    assert found.range == (float(found.map_HW.min()), float(found.map_HW.max()))
    small = label[nearest_indices(13, 7, label.device)][:, nearest_indices(21, 11, label.device)]
    expected = contrast(found.map_HW, small, (5, 9), int(label[pixel]), 255)
    assert (found.inside, found.outside, found.order) == expected
    assert found.order is not None


def test_without_a_label_there_is_no_contrast() -> None:
    label = torch.full((13, 21), 255)
    for label_HW in (None, label):
        found = relate(subject(), picture(), (0, 0), "dot", label_HW)
        assert (found.inside, found.outside, found.order) == (None, None, None)
        assert found.to_dict(NAMES)["mean_inside"] is None


def relations(count: int) -> list[Relation]:
    return [relate(subject(f"$net_{i}", i), picture(), (9, 17)) for i in range(count)]


@pytest.mark.parametrize("labeled", [True, False])
def test_figure_shows_maps_and_predictions(labeled: bool) -> None:
    both = relations(2)
    label = torch.full((13, 21), 2) if labeled else None
    image = picture().permute(1, 2, 0).contiguous().numpy()
    figure = relation_figure(image, (9, 17), both, NAMES, PALETTE, label)
    panels = [axis for axis in figure.axes if axis.get_title()]
    titles = [axis.get_title() for axis in panels]
    assert titles[:3] == ["image", "$net_0", "$net_1"]
    assert ("ground truth: <b>car</b>" in titles) is labeled
    assert np.array_equal(panels[0].images[0].get_array(), image)
    for panel, relation in zip(panels[1:3], both, strict=True):
        heat = panel.images[1]
        assert (heat.norm.vmin, heat.norm.vmax) == relation.range
        drawn = np.asarray(heat.get_array())
        assert drawn.shape == (13, 21)
        corners = relation.map_HW[[0, 0, -1, -1], [0, -1, 0, -1]].numpy()
        assert drawn[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(corners, rel=1e-5)
    for panel in panels:
        assert [line.get_xydata().tolist() for line in panel.lines] == [[[17.0, 9.0]]]
    assert figure_to_png(figure, dpi=60) == figure_to_png(figure, dpi=60)


def test_large_images_are_drawn_small_with_the_pixel_in_its_place() -> None:
    image = picture(30, 2000).permute(1, 2, 0).contiguous().numpy()
    one = relate(subject(), picture(30, 2000), (29, 1999))
    figure = relation_figure(image, (29, 1999), [one], NAMES, PALETTE)
    first = figure.axes[0]
    height, width = first.images[0].get_array().shape[:2]
    assert (height, width) == (10, 640)
    assert first.lines[0].get_xydata().tolist() == [[639.0, 9.0]]


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"x=21, y=3 .* 21 wide and 13 high: give x in 0\.\.20 and y in 0\.\.12"):
        relate(subject(), picture(), (3, 21))
    with pytest.raises(InputError, match="outside"):
        relation_map(torch.zeros(2, 3, 3), (3, 0))
    with pytest.raises(InputError, match="channels, height, width"):
        relation_map(torch.zeros(3, 3), (0, 0))
    with pytest.raises(InputError, match="form 'cos' is unknown"):
        relation_map(torch.zeros(2, 3, 3), (0, 0), "cos")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one network"):
        relation_figure(np.zeros((2, 2, 3), dtype=np.uint8), (0, 0), [], NAMES, PALETTE)
