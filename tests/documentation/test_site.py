"""The site builds without a warning, asks nothing of other hosts, and shows what it should."""

import html
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

PARTS = (".ci/docs", ".ci/site.py", "zensical.toml", "docs", "src", "examples", "benchmarks", "README.md")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("zensical is not installed: pip install 'classaware[docs]'")
    root = tmp_path_factory.mktemp("site")
    for part in PARTS:
        source = ROOT / part
        (root / part).parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / part)
    done = subprocess.run([root / ".ci" / "docs"], capture_output=True, text=True, env={"PYTHON": sys.executable})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "arning" not in done.stdout + done.stderr
    return root / "build" / "site"


def test_pages_ask_nothing_of_other_hosts(site: Path) -> None:
    for page in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe)[^>]*>", page.read_text()):
            address = re.search(r'(?:src|href)="(https?:)?//', tag)
            assert address is None or 'rel="canonical"' in tag, f"{page}: {tag}"


def test_equations_are_drawn(site: Path) -> None:
    page = (site / "mathematics" / "index.html").read_text()
    assert page.count('<div class="math"><svg') == 14
    assert "softmax" in html.unescape(page)


def test_arguments_are_in_the_reference(site: Path) -> None:
    page = (site / "api" / "attach" / "index.html").read_text()
    for name in ("prefix_tokens", "ignore_index", "identity", "losses", "fold"):
        assert name in page
    assert ":class:" not in page


def test_files_outside_of_the_documentation_have_a_page(site: Path) -> None:
    page = (site / "source" / "src" / "classaware" / "regularization" / "losses.py" / "index.html").read_text()
    assert "inter_c2p" in page
