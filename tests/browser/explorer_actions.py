"""What is done with the explorer, and what is seen there."""

import numpy as np
from chromium import Page
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SETTLED = "return Boolean(explorer?.loaded) && explorer.loaded.entry.name === arguments[0]"


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
