"""The explorer in real Chromium: what is drawn, how it is steered, and what it leaves alone."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from chromium import Page, open_page, opened
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from tiny_explorer import (
    CLASSES,
    EVIL_FILE,
    EVIL_NETWORK,
    SIZES,
    Content,
    make_dataset,
    make_explorer,
    make_subjects,
)

from classaware.data import FolderDataset
from classaware.insight.relation import grid_cell, relation_map

NAMES = sorted(SIZES)
SETTLED = "return Boolean(explorer?.loaded) && explorer.loaded.entry.name === arguments[0]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explorer")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> FolderDataset:
    return make_dataset(folder / "data")


@pytest.fixture(scope="module")
def path(folder: Path, dataset: FolderDataset) -> Path:
    path = folder / 'it\'s "an" explorer.html'
    path.write_bytes(make_explorer(dataset, make_subjects()).page)
    return path


@pytest.fixture(scope="module")
def content(path: Path) -> Content:
    return Content(path.read_bytes())


@pytest.fixture(scope="module")
def browser(path: Path) -> Iterator[Page]:
    page = open_page(path)
    yield page
    page.close()


@pytest.fixture
def page(browser: Page, path: Path) -> Page:
    """The page as it opens, on its first image."""
    browser.driver.get("about:blank")
    browser.driver.get(path.as_uri())
    wait(browser, "a")
    return browser


def wait(page: Page, name: str) -> None:
    until(page, SETTLED, name)


def until(page: Page, script: str, *arguments: object) -> None:
    WebDriverWait(page.driver, 10, 0.05).until(lambda _: page.run(script, *arguments))


def picture(page: Page, number: int) -> WebElement:
    """0: image, 1: ground truth, then relation and prediction of every network."""
    return page.driver.find_elements(By.CSS_SELECTOR, ".picture")[number]


def hover(page: Page, x: float, y: float, number: int = 0, click: bool = False) -> None:
    """At a share of a picture's width and height."""
    element = picture(page, number)
    size = element.size
    actions = ActionChains(page.driver, duration=0)
    at = round((x - 0.5) * size["width"]), round((y - 0.5) * size["height"])
    actions = actions.move_to_element_with_offset(element, *at)
    (actions.click() if click else actions).perform()
    page.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def point(page: Page) -> tuple[int, int]:
    found = page.run("return explorer.state.point")
    return found["x"], found["y"]


def drawn(page: Page, number: int) -> np.ndarray:
    """The pixels of a picture's layer, (H, W, 4)."""
    size, values = page.run(
        "const canvas = document.querySelectorAll('.picture canvas')[arguments[0]];"
        "const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "return [[canvas.height, canvas.width], Array.from(pixels.data)]",
        number,
    )
    return np.array(values, dtype=np.uint8).reshape(*size, 4)


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


def test_click_pins_and_escape_lets_go(page: Page) -> None:
    hover(page, 0.25, 0.25)
    free = point(page)
    assert free == pytest.approx((16, 12), abs=1)
    hover(page, 0.5, 0.5, number=3, click=True)
    pinned = point(page)
    hover(page, 0.9, 0.9, number=4)
    assert point(page) == pinned != free
    ActionChains(page.driver).send_keys(Keys.ESCAPE).perform()
    hover(page, 0.9, 0.9)
    assert point(page) != pinned


def test_arrow_keys_move_the_crosshair(page: Page) -> None:
    page.run("explorer.showImage(1)")
    wait(page, NAMES[1])
    element = picture(page, 0)
    assert element.get_attribute("role") == "application"
    height, width = SIZES[NAMES[1]]
    start = point(page)
    assert start == (width // 2, height // 2)
    element.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert point(page) == (start[0] + 2, start[1] - 1)
    element.send_keys(Keys.SHIFT, Keys.ARROW_DOWN, Keys.ARROW_LEFT)
    assert point(page) == (start[0] + 2 - 8, start[1] - 1 + 8)
    element.send_keys(Keys.SHIFT, *[Keys.ARROW_DOWN] * 8)
    assert point(page)[1] == height - 1
    before = drawn(page, 4)
    element.send_keys(Keys.SHIFT, *[Keys.ARROW_UP] * 8)
    until(page, "return explorer.frame === null")
    assert point(page)[1] == 0
    assert (drawn(page, 4) != before).any()


def test_steps_grow_with_the_image(page: Page) -> None:
    page.run("explorer.showImage(arguments[0])", NAMES.index("large"))
    wait(page, "large")
    start = point(page)
    picture(page, 0).send_keys(Keys.ARROW_LEFT)
    assert point(page) == (start[0] - 8, start[1])


def test_the_pixel_is_announced(page: Page) -> None:
    announcement = page.driver.find_element(By.ID, "announcement")
    assert announcement.get_attribute("aria-live") == "polite"
    picture(page, 0).send_keys(Keys.ARROW_RIGHT)
    until(page, "return document.getElementById('announcement').textContent.startsWith('x 33, y 24: road')")
    text = page.run("return document.getElementById('announcement').textContent")
    assert "base: " in text
    assert EVIL_NETWORK.split("<")[0] in text


def test_a_tap_pins(page: Page) -> None:
    element = picture(page, 2)
    page.run("arguments[0].scrollIntoView({ block: 'center' })", element)
    box = element.rect
    top = page.run("return scrollY")
    at = {"x": box["x"] + box["width"] * 0.75, "y": box["y"] - top + box["height"] * 0.25}
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    until(page, "return explorer.state.pinned")
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert point(page) == pytest.approx((48, 12), abs=1)


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


def test_switches(page: Page) -> None:
    articles = page.driver.find_elements(By.CSS_SELECTOR, "article")
    first = page.driver.find_element(By.CSS_SELECTOR, "#networks input")
    first.click()
    assert [article.is_displayed() for article in articles] == [True, False, True]
    hover(page, 0.2, 0.2, click=True)
    first.click()
    until(page, "return explorer.frame === null")
    assert [article.is_displayed() for article in articles] == [True, True, True]
    crosses = page.run(
        "return Array.from(document.querySelectorAll('.cross'), (cross) => cross.style.getPropertyValue('--x'))"
    )
    assert len(set(crosses)) == 1
    page.driver.find_element(By.ID, "truth").click()
    assert not picture(page, 1).is_displayed()
    before = drawn(page, 2)
    page.driver.find_element(By.CSS_SELECTOR, "input[value=cosine]").click()
    until(page, "return explorer.frame === null")
    assert (drawn(page, 2) != before).any()
    page.run("const s = document.getElementById('labels'); s.value = 20; s.dispatchEvent(new Event('input'))")
    assert page.driver.find_elements(By.CSS_SELECTOR, ".picture canvas")[3].value_of_css_property("opacity") == "0.2"


def test_images_are_chosen_by_thumbnails_and_by_address(page: Page, path: Path) -> None:
    labels = page.driver.find_elements(By.CSS_SELECTOR, "#images label")
    assert [label.text for label in labels] == NAMES
    labels[2].click()
    wait(page, NAMES[2])
    hover(page, 0.5, 0.5, click=True)
    until(page, "return location.hash.includes('x=')")
    page.driver.refresh()
    wait(page, NAMES[2])
    assert page.run("return explorer.state.pinned")
    page.driver.get(f"{path.as_uri()}#image=a&x=5&y=7")
    wait(page, "a")
    assert point(page) == (5, 7)
    for nonsense in ("#image=nothing&x=1e9&y=0", "#x=&y=a", "#%E0%A4%A"):
        page.driver.get("about:blank")
        page.driver.get(path.as_uri() + nonsense)
        wait(page, "a")
        x, y = point(page)
        assert 0 <= x < 64
        assert 0 <= y < 48


def test_the_matrix_names_and_links(page: Page) -> None:
    matrices = page.driver.find_elements(By.CSS_SELECTOR, ".matrix")
    readout = page.driver.find_element(By.CSS_SELECTOR, ".readout")
    assert len(matrices) == 2
    matrices[1].send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert [e.text for e in readout.find_elements(By.TAG_NAME, "strong")] == [CLASSES[2]]  # row 2, column 2: itself
    matrices[1].send_keys(Keys.ARROW_LEFT)
    assert [e.text for e in readout.find_elements(By.TAG_NAME, "strong")] == [CLASSES[2], CLASSES[1]]
    values = [e.text for e in readout.find_elements(By.TAG_NAME, "dd")]
    assert values == ["0.120", "0.130"]  # row 2, column 1 of 5: (11 + 1 + network) / 100
    buttons = readout.find_elements(By.TAG_NAME, "button")
    assert [button.text for button in buttons] == ["large"]
    buttons[0].click()
    wait(page, "large")
    assert page.run("return document.activeElement === explorer.original.element")
    matrices[0].send_keys(*[Keys.ARROW_DOWN] * 9, *[Keys.ARROW_LEFT] * 9)  # the absent class has no field
    assert readout.find_element(By.TAG_NAME, "strong").text == CLASSES[3]
    assert "No image here holds both." in readout.text


def test_the_matrix_under_the_pointer(page: Page) -> None:
    matrix = page.driver.find_elements(By.CSS_SELECTOR, ".matrix")[0]
    size = matrix.size["width"]
    page.run("arguments[0].scrollIntoView({ block: 'center' })", matrix)

    def at(column: int, row: int, click: bool = False) -> list[str]:
        places = round((column - 1.5) * size / 4), round((row - 1.5) * size / 4)
        actions = ActionChains(page.driver, duration=0).move_to_element_with_offset(matrix, *places)
        (actions.click() if click else actions).perform()
        return [e.text for e in page.driver.find_elements(By.CSS_SELECTOR, ".readout strong")]

    assert at(3, 0) == ["sky", CLASSES[3]]
    assert at(0, 1, click=True) == ["road", "sky"]
    assert at(3, 3) == ["road", "sky"]  # kept
    ActionChains(page.driver).send_keys(Keys.ESCAPE).perform()
    assert at(3, 2) == [CLASSES[2], CLASSES[3]]
    links = [e.text for e in page.driver.find_elements(By.CSS_SELECTOR, ".links button")]
    assert links == []


def test_correlations_are_printed(page: Page, content: Content) -> None:
    rows = page.driver.find_elements(By.CSS_SELECTOR, "#fidelity tbody tr")
    for row, network in zip(rows, content.data["networks"], strict=True):
        cells = [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "td")]
        assert cells[:2] == [str(network["channels"]), str(network["components"])]
        numbers = [network["correlation"][f][k] for f in ("dot", "cosine") for k in ("mean", "minimum")]
        assert [float(cell) for cell in cells[3:]] == pytest.approx(numbers, abs=1e-5)
        assert all(float(cell) <= number for cell, number in zip(cells[3:], numbers, strict=True))


def test_everything_that_takes_the_focus_has_a_name_and_shows_it(page: Page) -> None:
    page.driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    focusable = [
        node
        for node in nodes
        if not node.get("ignored")
        and node["role"]["value"] != "RootWebArea"
        and any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", []))
    ]
    assert len(focusable) > 15
    unnamed = [node["role"]["value"] for node in focusable if not node.get("name", {}).get("value", "").strip()]
    assert unnamed == []
    seen = set()
    page.run("document.activeElement.blur()")
    for _ in range(len(focusable)):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        outlines = page.run(
            "const e = document.activeElement, around = [e, e.closest('label')].filter(Boolean);"
            "return [e.id || e.className || e.name || e.tagName, around.map((x) => getComputedStyle(x).outlineStyle)]"
        )
        if outlines[0] == "BODY":
            break
        seen.add(outlines[0])
        assert "solid" in outlines[1], outlines
    assert {"picture", "matrix", "theme", "truth", "errors", "heat", "labels"} <= {s.split(" ")[0] for s in seen}


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (768, 1024), (390, 844), (320, 600)])
def test_no_text_overlaps_and_nothing_sticks_out(path: Path, width: int, height: int) -> None:
    with opened(path, width, height, "#image=large&x=900&y=40") as page:
        wait(page, "large")
        assert page.run("return document.documentElement.scrollWidth") <= width
        problems = page.run(
            """
            const texts = [];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
              const parent = node.parentElement;
              if (!node.data.trim() || parent.closest(".unseen, script, noscript, option, .axis, #images")) continue;
              const range = document.createRange();
              range.selectNodeContents(node);
              const cut = parent.closest(".name"); // its text goes on where it cannot be seen
              for (const box of cut ? [cut.getBoundingClientRect()] : range.getClientRects()) {
                if (box.width > 0) texts.push({ text: node.data.slice(0, 30), box });
              }
            }
            const found = texts.length < 30 ? ["too few texts"] : [];
            for (let i = 0; i < texts.length; i++) {
              for (let j = i + 1; j < texts.length; j++) {
                const a = texts[i].box, b = texts[j].box;
                const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                if (across > 1 && down > 4) found.push([texts[i].text, texts[j].text]);
              }
            }
            return found;
            """
        )
        assert problems == []


def test_light_and_dark(page: Page) -> None:
    def paper() -> tuple[int, ...]:
        color = page.run("return getComputedStyle(document.body).backgroundColor")
        return tuple(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))

    page.prefer(prefers_color_scheme="dark")
    assert max(paper()) < 60
    page.run("const s = document.getElementById('theme'); s.value = 'light'; s.dispatchEvent(new Event('change'))")
    assert min(paper()) > 200
    page.prefer(prefers_color_scheme="light")
    page.run("const s = document.getElementById('theme'); s.value = 'dark'; s.dispatchEvent(new Event('change'))")
    assert max(paper()) < 60


def test_motion_can_be_turned_off(page: Page) -> None:
    script = "return getComputedStyle(document.querySelector('#images img')).transitionDuration"
    page.prefer(prefers_reduced_motion="no-preference")
    assert page.run(script) != "0s"
    page.prefer(prefers_reduced_motion="reduce")
    assert page.run(script) == "0s"


def test_an_old_browser_is_told(path: Path) -> None:
    with opened(path) as page:
        source = {"source": "delete window.DecompressionStream"}
        page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
        page.driver.refresh()
        assert "cannot unpack" in page.driver.find_element(By.ID, "problem").text
