"""The small world's page, and a browser that shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page, open_page
from explorer_actions import wait
from tiny_explorer import Content, make_dataset, make_explorer, make_subjects

from classaware.data import FolderDataset


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explorer")


@pytest.fixture(scope="package")
def dataset(folder: Path) -> FolderDataset:
    return make_dataset(folder / "data")


@pytest.fixture(scope="package")
def path(folder: Path, dataset: FolderDataset) -> Path:
    path = folder / 'it\'s "an" explorer.html'
    path.write_bytes(make_explorer(dataset, make_subjects()).page)
    return path


@pytest.fixture(scope="package")
def content(path: Path) -> Content:
    return Content(path.read_bytes())


@pytest.fixture(scope="package")
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
