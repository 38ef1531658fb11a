"""What the explorer draws in real Chromium: Python's maps, probabilities and errors, and names as text."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from chromium import Page, opened
from explorer_actions import drawn, hover, point, wait
from selenium.webdriver.common.by import By
from tiny_explorer import CLASSES, EVIL_FILE, SIZES, Content, make_subjects

from classaware.data import FolderDataset
from classaware.insight.relation import grid_cell, relation_map

NAMES = sorted(SIZES)


def test_nothing_is_requested_and_nothing_complains(path: Path) -> None:
    with opened(path) as page:
        for name in NAMES:
            page.run("explorer.showImage(arguments[0])", NAMES.index(name))
            wait(page, name)
            hover(page, 0.3, 0.4, click=True)
        page.driver.find_element(By.CSS_SELECTOR, ".matrix").click()
        page.driver.find_element(By.CSS_SELECTOR, ".links button").click()
        outside = [address for address in page.requests() if not address.startswith("data:image/")]
        assert [address.split("#")[0] for address in outside] == [path.as_uri()]
        assert page.console() == []


def test_names_show_and_do_nothing(page: Page) -> None:
    text = page.run("return document.body.innerText")
    for name in (*CLASSES[:4], EVIL_FILE, "net</script><!--"):
        assert name in text
    sources = page.run("return Array.from(document.images, (image) => image.getAttribute('src').slice(0, 11))")
    assert set(sources) == {"data:image/"}
    assert (
        page.run("return Array.from(document.querySelectorAll('main b, main img[onerror], main a').values()).length")
        == 6
    )  # the crosshairs' rings


def test_hover_changes_the_map_and_the_probabilities(page: Page) -> None:
    hover(page, 0.1, 0.1)
    before, bars = drawn(page, 2), page.run("return explorer.cards[0].bars.innerText")
    hover(page, 0.9, 0.9)
    after = drawn(page, 2)
    assert (before != after).mean() > 0.2
    assert page.run("return explorer.cards[0].bars.innerText") != bars
    assert after.shape[:2] == SIZES["a"]


@pytest.mark.parametrize("form", ["dot", "cosine"])
def test_maps_equal_those_of_python(page: Page, dataset: FolderDataset, content: Content, form: Any) -> None:
    """Recomputed in Python: exactly, from what the page holds; and from the exact features, as the page promises."""
    rng = np.random.default_rng(0)
    for i, sample in enumerate(dataset.samples("test")):
        page.run("return explorer.showImage(arguments[0])", i)
        wait(page, sample.name)
        size, shown = SIZES[sample.name], content.data["images"][i]["shown"]
        for n, subject in enumerate(make_subjects()):
            promised = content.data["networks"][n]["correlation"][form]["minimum"]
            exact = subject.look(dataset.read(sample)[0]).features_CHW
            values = content.features(i, n)
            grid = values.shape[:2]
            for y, x in [(0, 0), (size[0] - 1, size[1] - 1), *rng.integers(0, size, (4, 2)).tolist()]:
                got, big = page.run(
                    "const [n, point, form] = arguments, { entry, views } = explorer.loaded;"
                    "const cell = cellOf(point, entry.size, views[n].grid);"
                    "const map = relationMap(views[n], cell, form, explorer.content.networks[n].channels);"
                    "return [Array.from(map), Array.from(enlarge(map, views[n].grid, entry.shown))]",
                    n, {"x": x, "y": y}, form,
                )  # fmt: skip
                cell = grid_cell((y, x), size, (grid[0], grid[1]))
                wide = values.astype(np.float64)
                expected = wide @ wide[cell]
                lengths = np.linalg.norm(wide, axis=2)
                expected /= lengths * lengths[cell] if form == "cosine" else math.sqrt(len(exact))
                scale = np.abs(expected).max()
                np.testing.assert_allclose(np.reshape(got, grid), expected, rtol=2e-7, atol=2e-7 * scale)
                whole = F.interpolate(torch.tensor(expected)[None, None], shown, mode="bilinear", align_corners=True)
                np.testing.assert_allclose(np.reshape(big, shown), whole[0, 0], rtol=0, atol=1e-5 * scale)
                direct = relation_map(exact, cell, form).numpy()
                assert np.corrcoef(direct.ravel(), got)[0, 1] > promised - 0.005


def test_the_canvas_shows_the_map(page: Page, content: Content) -> None:
    """Bright where the relation is high: the colors' brightness rises with the values."""
    hover(page, 0.7, 0.3, number=2)
    expected = np.reshape(
        page.run(
            "const { entry, views: [view] } = explorer.loaded;"
            "const map = relationMap(view, cellOf(explorer.state.point, entry.size, view.grid), 'dot', 12);"
            "return Array.from(enlarge(map, view.grid, entry.shown))"
        ),
        SIZES["a"],
    )
    picture = drawn(page, 2)
    brightness = picture[..., :3].astype(float) @ [0.2126, 0.7152, 0.0722]
    order = np.argsort(expected.ravel())
    assert np.diff(brightness.ravel()[order]).min() > -3
    assert picture[..., 3].min() == 255
    ends = page.driver.find_elements(By.CSS_SELECTOR, ".scale span")[:2]
    printed = [float(end.text.replace("−", "-")) for end in ends]
    assert printed == pytest.approx([expected.min(), expected.max()], rel=0.01, abs=0.01)


def test_the_probabilities_are_those_of_the_cell(page: Page, dataset: FolderDataset) -> None:
    hover(page, 0.6, 0.8, click=True)
    x, y = point(page)
    sample = dataset.samples("test")[0]
    image, label = dataset.read(sample)
    for n, subject in enumerate(make_subjects()):
        look = subject.look(image)
        row, column = grid_cell((y, x), SIZES["a"], tuple(look.logits_KHW.shape[1:]))
        found = torch.softmax(look.logits_KHW[:, row, column].double(), 0).sort(descending=True)
        card = page.driver.find_elements(By.CSS_SELECTOR, "article")[n + 1]
        shares = [float(e.text.removesuffix(" %")) for e in card.find_elements(By.CSS_SELECTOR, ".share")]
        names = [e.get_attribute("title") for e in card.find_elements(By.CSS_SELECTOR, ".bars .name")]
        widths = [
            float(e.value_of_css_property("width")[:-2]) for e in card.find_elements(By.CSS_SELECTOR, ".bars i i")
        ]
        room = float(card.find_element(By.CSS_SELECTOR, ".bars li > i").value_of_css_property("width")[:-2])
        assert names == [CLASSES[k] for k in found.indices.tolist()]
        assert shares == pytest.approx([100 * value for value in found.values.tolist()], abs=0.06)
        assert widths == pytest.approx([room * value for value in found.values.tolist()], abs=1)
        predicted = int(subject.predict(image)[y, x])
        right = "right" if predicted == int(label[y, x]) else "wrong"
        assert card.find_element(By.CSS_SELECTOR, ".verdict").text == f"predicts {CLASSES[predicted]}{right}"


def test_errors_only(page: Page, content: Content) -> None:
    """Clear where the prediction is right, and where there is no label."""
    entry = content.data["images"][0]
    truth = content.array(entry["truth"])
    assert (drawn(page, 1)[..., 3] > 0).tolist() == (truth < 5).tolist()
    page.driver.find_element(By.ID, "errors").click()
    counts: list[int] = []
    for n, view in enumerate(entry["views"]):
        prediction = content.array(view["prediction"])
        wrong = (truth < 5) & (prediction != truth)
        counts.append(int(wrong.sum()))
        painted = drawn(page, 3 + 2 * n)
        assert (painted[..., 3] > 0).tolist() == wrong.tolist()
        colors = np.array([c["color"] for c in content.data["classes"]])
        np.testing.assert_array_equal(painted[wrong][:, :3], colors[prediction[wrong]])
        share = 100 * wrong.sum() / (truth < 5).sum()
        caption = page.driver.find_elements(By.CSS_SELECTOR, ".caption")[n + 1].text
        assert caption == f"prediction, errors only: {share:.1f} % of the labeled pixels wrong"
    assert 0 < min(counts) < (truth < 5).sum()


def test_correlations_are_printed(page: Page, content: Content) -> None:
    rows = page.driver.find_elements(By.CSS_SELECTOR, "#fidelity tbody tr")
    for row, network in zip(rows, content.data["networks"], strict=True):
        cells = [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "td")]
        assert cells[:2] == [str(network["channels"]), str(network["components"])]
        numbers = [network["correlation"][f][k] for f in ("dot", "cosine") for k in ("mean", "minimum")]
        assert [float(cell) for cell in cells[3:]] == pytest.approx(numbers, abs=1e-5)
        assert all(float(cell) <= number for cell, number in zip(cells[3:], numbers, strict=True))
