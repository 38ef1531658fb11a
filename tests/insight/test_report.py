import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from classaware.errors import InputError
from classaware.insight import curves_exhibit, dependency_exhibit, dependency_map, mean_dependency
from classaware.insight.report import Report, render_report, write_report
from classaware.insight.report_blocks import (
    Block,
    Details,
    Facts,
    Figure,
    Heading,
    Legend,
    Link,
    Number,
    Numbers,
    SampleRow,
    Samples,
    Section,
    Table,
    Text,
)

EVIL = "<img src=x onerror=alert(1)>\"'&</style></title><script>alert(2)</script>"
VOID = {"meta", "img"}
ATTRIBUTES = {
    "alt", "aria-label", "charset", "class", "content", "height", "href", "http-equiv", "id", "lang", "name", "role",
    "scope", "src", "style", "tabindex", "width",
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


PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (40, 300, 3), dtype=np.uint8)
LABELS = np.zeros((6, 8, 3), dtype=np.uint8)


def full_report(name: str) -> Report:
    centers = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    maps = {name: dependency_map(centers, torch.tensor([True, True, False]))}
    results = Table(f"Results {name}", ["network", "mIoU", name], [[name, "47.72 ± 0.20", "x"], ["CAR", "–", name]])
    return Report(
        title=f"Report {name}",
        intro=f"About {name}.",
        sections=[
            Section(f"Short {name}", [Numbers([Number(f"+1 {name}", f"of {name}", f"note {name}")]), results]),
            Section("Run", [Facts({name: f"value {name}"}), Details(f"more {name}", [Text(name), Text(name, True)])]),
            Section(
                "Figures",
                [
                    curves_exhibit({name: {name: ([0, 1], [1.0, 2.0])}}),
                    dependency_exhibit(maps, ["grass", name, "cow"]),
                ],
            ),
            Section(
                "Images",
                [
                    Heading(name),
                    Legend([(name, (1, 2, 3)), ("cow", np.array([4, 5, 6]))], [(name, ((7, 8, 9), (0, 0, 0)))]),
                    Samples(["image", name], [SampleRow(f"test: {name}", [PHOTOGRAPH, LABELS])]),
                    Link(name, f"explorer {name}.html", f"what {name} is"),
                ],
            ),
        ],
    )


def page(*blocks: Block) -> Page:
    return Page(render_report(Report("R", sections=[Section("S", blocks)])))


@pytest.fixture(scope="module")
def evil() -> Page:
    return Page(render_report(full_report(EVIL)))


def test_names_are_text_and_nothing_else(evil: Page) -> None:
    assert {tag for tag, _ in evil.elements} == {
        "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "h3", "p", "dl", "dt", "dd",
        "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "span", "img", "ul",
        "li", "nav", "a", "details", "summary", "strong", "small",
    }  # fmt: skip
    assert {name for _, attributes in evil.elements for name in attributes} <= ATTRIBUTES
    assert evil.words("h1") == [f"Report {EVIL}"]
    assert evil.words("dt") == [f"of {EVIL}", EVIL]
    assert evil.words("strong") == [f"+1 {EVIL}"]
    assert evil.words("small") == [f"note {EVIL}"]
    assert evil.words("h2")[0] == f"Short {EVIL}"
    assert evil.words("h3") == [EVIL]
    assert evil.words("summary") == [f"more {EVIL}"]
    assert evil.words("p") == [f"About {EVIL}.", EVIL, EVIL]
    assert evil.words("a") == [f"Short {EVIL}", "Run", "Figures", "Images", EVIL]
    assert evil.words("caption") == [f"Results {EVIL}"]
    assert EVIL in evil.words("li")
    assert EVIL in evil.words("th")
    assert EVIL in evil.words("td")
    assert evil.all("img")[-1]["alt"] == f"{EVIL}: test: {EVIL}"


def test_nothing_is_fetched(evil: Page) -> None:
    sources = [attributes["src"] or "" for attributes in evil.all("img")]
    assert len(sources) == 4
    assert all(re.fullmatch(r"data:image/(png|jpeg|svg\+xml);base64,[A-Za-z0-9+/=]+", source) for source in sources)
    assert {tag for tag, attributes in evil.elements if "href" in attributes} == {"a"}
    own = [f"#{section['id']}" for section in evil.all("section")]
    assert [link["href"] for link in evil.all("a")][:-1] == own
    target = evil.all("a")[-1]["href"] or ""
    assert re.fullmatch(r"[\w./%-]+", target)
    assert unquote(target) == f"explorer {EVIL}.html"
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
    stripes = "background:repeating-linear-gradient(135deg,rgb(7,8,9) 0 25%,rgb(0,0,0) 0 50%)"
    assert swatches == ["background:rgb(1,2,3)", "background:rgb(4,5,6)", stripes]


def test_pictures_come_back(evil: Page) -> None:
    photograph, labels = evil.all("img")[2:]
    shown = Image.open(io.BytesIO(base64.b64decode((labels["src"] or "").split(",")[1]))).convert("RGB")
    assert np.array_equal(np.asarray(shown), LABELS)
    assert labels["class"] == "small"
    assert "class" not in photograph
    assert (photograph["width"], photograph["height"]) == ("300", "40")


def test_exhibit_tells_the_mean_dependency() -> None:
    values = dependency_map(torch.eye(3), torch.ones(3, dtype=torch.bool))
    exhibit = dependency_exhibit({"FCN": values, "CAR": values.numpy()}, ["a", "b", "c"])
    number = f"{100 * mean_dependency(values):.3g} %"
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
    ("block", "words"),
    [
        (Table("T", ["a", "b"], [["1"]]), "table 'T'.*1 cells.*2"),
        (Figure("F", "alt", b"GIF89a"), "'F' is neither PNG nor SVG"),
        (Samples(["a", "b"], [SampleRow("S", [])]), "image 'S' has 0 pictures.*2 column"),
        (Samples(["a", "b"], [SampleRow("S", [np.zeros((2, 2)), np.zeros((2, 2))])]), "float64"),
        (Link("L", "//elsewhere.org/x"), "link 'L' leads to '//elsewhere.org/x'"),
        (Link("L", ""), "link 'L'"),
    ],
)
def test_bad_input_is_named(block: Block, words: str) -> None:
    with pytest.raises(InputError, match=words):
        page(block)
    with pytest.raises(InputError, match=words):
        page(Details("more", [block]))


@pytest.mark.parametrize("target", ["javascript:alert(1)", "data:text/html,x", "https:elsewhere.org", "a b/ü?x#y"])
def test_links_lead_to_files_beside_the_report(target: str) -> None:
    (link,) = page(Link("L", target)).all("a")
    joined = urlsplit(urljoin("file:///folder/report.html", link["href"]))
    assert joined.scheme == "file"
    assert (joined.query, joined.fragment) == ("", "")
    assert unquote(joined.path) == f"/folder/{target}"


@pytest.mark.parametrize(
    "block",
    [
        Text(""), Numbers([]), Facts({}), Table("T", ["a"], []), Samples(["a"], []), Legend([]),
        Details("more", [Text(""), Facts({})]),
    ],
)  # fmt: skip
def test_a_section_of_empty_blocks_is_left_out(block: Block) -> None:
    assert not page(block).all("section")
    assert page(block, Text("x")).words("p") == ["x"]


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        ("-0.73 to +2.72", True), ("1,200", True), ("1.2e-05", True), ("–", True), ("0.1 %", True), ("", True),
        ("1.2 x", False), ("to", False), ("1 to x", False),
    ],
)  # fmt: skip
def test_columns_of_numbers_are_set_to_the_right(cell: str, right: bool) -> None:
    column = page(Table("T", ["run", "value"], [["a", cell], ["b", "1"]])).all("th")[1]
    assert ("class" in column) is right


def test_few_sections_need_no_list_of_them() -> None:
    assert not page(Text("x")).all("nav")
    assert len(Page(render_report(full_report("FCN"))).all("nav")) == 1
