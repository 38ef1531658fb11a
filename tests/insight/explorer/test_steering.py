"""The explorer by pointer, touch, keyboard, switches and address, in real Chromium."""

from pathlib import Path

import pytest
from chromium import Page
from explorer_actions import drawn, hover, picture, point, until, wait
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tiny_explorer import CLASSES, EVIL_NETWORK, SIZES

NAMES = sorted(SIZES)


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


def test_dragging_moves_what_is_pinned(page: Page) -> None:
    hover(page, 0.25, 0.25, click=True)
    element = picture(page, 0)
    size = element.size
    actions = ActionChains(page.driver, duration=0).move_to_element(element).click_and_hold()
    actions.move_to_element_with_offset(element, size["width"] // 4, size["height"] // 4).release().perform()
    assert point(page) == pytest.approx((48, 36), abs=1)
    assert page.run("return explorer.state.pinned")
    hover(page, 0.1, 0.9)
    assert point(page) == pytest.approx((48, 36), abs=1)


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
