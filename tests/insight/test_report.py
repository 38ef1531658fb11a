import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classaware.errors import InputError
from classaware.insight import (
    Figure,
    Report,
    SampleRow,
    Table,
    curves_exhibit,
    dependency_exhibit,
    dependency_map,
    mean_dependency,
    render_report,
    write_report,
)

EVIL = "<img src=x onerror=alert(1)>\"'&</style></title><script>alert(2)</script>"
VOID = {"meta", "img"}
ATTRIBUTES = {
    "alt", "aria-label", "charset", "class", "content", "height", "http-equiv", "lang", "name", "role", "scope", "src",
    "style", "tabindex", "width",
}  # fmt: skip


class Page(HTMLParser):
    """Parses strictly: every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def full_report(name: str) -> Report:
    centers = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    maps = {name: dependency_map(centers, torch.tensor([True, True, False]))}
    labels = np.zeros((6, 8, 3), dtype=np.uint8)
    photograph = np.random.default_rng(0).integers(0, 256, (40, 300, 3), dtype=np.uint8)
    return Report(
        title=f"Report {name}",
        intro=f"About {name}.",
        facts={name: f"value {name}"},
        tables=[Table(f"Results {name}", ["network", "mIoU", name], [[name, "47.72 ± 0.20", "x"], ["CAR", "–", name]])],
        figures=[
            curves_exhibit({name: {name: ([0, 1], [1.0, 2.0])}}),
            dependency_exhibit(maps, ["grass", name, "cow"]),
        ],
        samples=[SampleRow(f"test: {name}", [photograph, labels])],
        sample_columns=["image", name],
        legend=[(name, (1, 2, 3)), ("cow", np.array([4, 5, 6]))],
    )


@pytest.fixture(scope="module")
def evil() -> Page:
    return Page(render_report(full_report(EVIL)))


def test_names_are_text_and_nothing_else(evil: Page) -> None:
    assert {tag for tag, _ in evil.elements} == {
        "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p", "dl", "dt", "dd", "div",
        "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "span", "img", "ul", "li",
    }  # fmt: skip
    assert {name for _, attributes in evil.elements for name in attributes} <= ATTRIBUTES
    assert evil.words("h1") == [f"Report {EVIL}"]
    assert evil.words("dt") == [EVIL]
    assert evil.words("caption") == [f"Results {EVIL}"]
    assert EVIL in evil.words("li")
    assert EVIL in evil.words("th")
    assert EVIL in evil.words("td")
    assert evil.all("img")[-1]["alt"] == f"{EVIL}: test: {EVIL}"


def test_nothing_is_fetched(evil: Page) -> None:
    sources = [attributes["src"] or "" for attributes in evil.all("img")]
    assert len(sources) == 4
    assert all(re.fullmatch(r"data:image/(png|jpeg|svg\+xml);base64,[A-Za-z0-9+/=]+", source) for source in sources)
    assert not any("href" in attributes for _, attributes in evil.elements)
    style = "".join(evil.words("style"))
    assert "url(" not in style
    assert "@import" not in style
    policy = [meta["content"] for meta in evil.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_accessible_and_for_every_screen(evil: Page) -> None:
    assert evil.all("html") == [{"lang": "en"}]
    assert all(attributes["alt"] for attributes in evil.all("img"))
    assert {attributes["scope"] for attributes in evil.all("th")} == {"col", "row"}
    assert evil.all("th")[1]["class"] == "number"  # numbers stand right
    assert "class" not in evil.all("th")[2]
    assert any(meta.get("name") == "viewport" for meta in evil.all("meta"))
    style = "".join(evil.words("style"))
    assert "prefers-color-scheme: dark" in style
    swatches = [span["style"] for span in evil.all("span") if span.get("class") == "swatch"]
    assert swatches == ["background:rgb(1,2,3)", "background:rgb(4,5,6)"]


def test_pictures_come_back(evil: Page) -> None:
    photograph, labels = evil.all("img")[2:]
    report = full_report(EVIL)
    shown = Image.open(io.BytesIO(base64.b64decode((labels["src"] or "").split(",")[1]))).convert("RGB")
    assert np.array_equal(np.asarray(shown), report.samples[0].images[1])
    assert labels["class"] == "small"
    assert "class" not in photograph
    assert (photograph["width"], photograph["height"]) == ("300", "40")


def test_exhibit_tells_the_mean_dependency() -> None:
    values = dependency_map(torch.eye(3), torch.ones(3, dtype=torch.bool))
    exhibit = dependency_exhibit({"FCN": values, "CAR": values.numpy()}, ["a", "b", "c"])
    number = f"{mean_dependency(values):.3g}"
    assert f"FCN {number}, CAR {number}" in exhibit.caption
    assert f"FCN {number}, CAR {number}" in exhibit.alt


def test_what_is_empty_is_left_out() -> None:
    page = Page(render_report(Report(title="Only a title")))
    assert page.words("title") == page.words("h1") == ["Only a title"]
    assert not page.all("section")


def test_file_is_whole_and_always_the_same(tmp_path: Path) -> None:
    path = write_report(tmp_path / "new" / "report.html", full_report("FCN"))
    first = path.read_bytes()
    assert first.decode() == render_report(full_report("FCN"))
    assert write_report(path, full_report("FCN")).read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_names_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    path = write_report(tmp_path / "report.html", Report(title="scene \udcff.jpg"))
    assert "scene ?.jpg" in path.read_text("utf-8")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_report(tmp_path / "report.html", Report(title="old"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match=r"report\.html.*No space left"):
        write_report(path, Report(title="new"))
    assert "old" in path.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_bad_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "report.html"):
        with pytest.raises(InputError, match=re.escape(str(path))):
            write_report(path, Report(title="x"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tables": [Table("T", ["a", "b"], [["1"]])]}, "table 'T'.*1 cells.*2"),
        ({"figures": [Figure("F", "alt", b"GIF89a")]}, "'F' is neither PNG nor SVG"),
        ({"samples": [SampleRow("S", [])]}, "scene 'S' has 0 pictures.*2 column"),
        ({"samples": [SampleRow("S", [np.zeros((2, 2)), np.zeros((2, 2))])]}, "float64"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        render_report(dataclasses.replace(full_report("FCN"), **change))  # type: ignore[arg-type]
