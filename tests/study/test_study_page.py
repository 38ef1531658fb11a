import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from chromium import find_browser, opened

from classaware.commands.studies.writing import write_results
from classaware.insight.report import render_report
from classaware.study.page import study_page
from classaware.study.plan import Cell, Study
from classaware.study.results import collect

Make = Callable[..., tuple[Study, Path]]
KINDS = ["json", "md", "html", "png", "svg"]


def cell(variant: str, seed: int) -> Cell:
    return Cell("scenes", "default", variant, seed)


def test_files_are_the_same_again(make_study: Make) -> None:
    study, folder = make_study()
    results = collect(study, folder)
    paths = write_results(folder, results)
    assert [path.name for path in paths] == [f"study.{kind}" for kind in KINDS]
    first = [path.read_bytes() for path in paths]
    again = write_results(folder, collect(study, folder))
    assert [path.read_bytes() for path in again] == first
    assert json.loads(first[0])["format"] == "classaware-study"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["cells", *(path.name for path in paths)])


def test_a_figure_of_an_earlier_state_goes(make_study: Make) -> None:
    study, folder = make_study()
    write_results(folder, collect(study, folder))
    for seed in range(3):
        (folder / "cells" / cell("plain", seed).folder / "cell.json").unlink()
    paths = write_results(folder, collect(study, folder))
    assert [path.suffix for path in paths] == [".json", ".md", ".html"]
    assert not (folder / "study.png").exists()
    assert "study.png" not in (folder / "study.md").read_text()


def test_nothing_done_is_written_as_that(make_study: Make) -> None:
    study, folder = make_study(lost=[cell(name, seed) for name in ("plain", "car") for seed in range(3)])
    paths = write_results(folder, collect(study, folder))
    assert "0 of 6 trainings are done" in paths[2].read_text()


def test_sections_and_escaping(make_study: Make) -> None:
    lost = cell("car", 2)
    study, folder = make_study(lost=[lost])
    html = render_report(study_page(collect(study, folder, {lost: "<script>alert(1)</script>"})))
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    assert titles == ["In short", "Mean IoU", "Combinations of classes", "Classes", "Not done", "What was trained"]
    assert html.count("<details>") == 2 + 1  # classes of either split, and the versions
    folded = html[html.index("<details>") : html.rindex("</details>")]
    assert "sky" in folded
    assert "sky" not in html.replace(folded, "")


def test_no_section_of_what_is_not_there(make_study: Make) -> None:
    study, folder = make_study()
    html = render_report(study_page(collect(study, folder)))
    assert "<h2>Not done</h2>" not in html
    assert "<figure" not in html


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(make_study: Make, width: int) -> None:
    find_browser()
    study, folder = make_study(lost=[cell("car", 2)])
    write_results(folder, collect(study, folder))
    page_path = folder / "study.html"
    with opened(page_path, width) as page:
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert page.run("return document.images[0].naturalWidth") > 300
        assert page.console() == []
        assert [url for url in page.requests() if not url.startswith(("data:", page_path.as_uri()))] == []
