"""A page in real headless Chromium: what it requests, what it logs, what it looks like."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """A page that is open in a browser of its own."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self._requests: list[str] = []
        self._console: list[str] = []

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns; it may return a promise."""
        return self.driver.execute_script(script, *arguments)

    def requests(self) -> list[str]:
        """Every address asked for so far, the page's own first."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requests.append(message["params"]["request"]["url"])
        return self._requests

    def console(self) -> list[str]:
        """Every error and warning logged so far."""
        self._console += [e["message"] for e in self.driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
        return self._console

    def screenshot(self, path: Path) -> Path:
        """The visible part as PNG."""
        path.write_bytes(self.driver.get_screenshot_as_png())
        return path

    def prefer(self, **features: str) -> None:
        """Set media features, as in ``prefers_color_scheme="dark"``."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()


def open_page(path: Path, width: int = 1280, height: int = 800, fragment: str = "") -> Page:
    """Open a file by its file: address in a window whose inside has this size; close the page when done."""
    options = Options()
    options.binary_location = find_browser()
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # With the driver's path given, selenium looks for none on the network.
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    page = Page(driver)
    try:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get(path.resolve().as_uri() + fragment)
    except BaseException:
        page.close()
        raise
    return page


@contextmanager
def opened(path: Path, width: int = 1280, height: int = 800, fragment: str = "") -> Iterator[Page]:
    """`open_page`, closed at the end."""
    page = open_page(path, width, height, fragment)
    try:
        yield page
    finally:
        page.close()


def find_browser() -> str:
    """Chromium's path; without it the test is skipped, or fails where CI is set."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None or shutil.which("chromedriver") is None:
        message = "chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
