"""Blocks say their language, links lead somewhere, the site's pages are all in its navigation, badges are true."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import PAGES, ROOT, anchors, blocks, name_of, prose

from classaware.commands.main import COMMANDS

LANGUAGES = {"python", "sh", "text", "math", "yaml"}
DOCUMENTS = sorted({*ROOT.glob("*.md"), *PAGES})
SITE = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pages_named(navigation: object) -> Iterator[str]:
    if isinstance(navigation, str):
        yield navigation
    elif isinstance(navigation, dict):
        for value in navigation.values():
            yield from pages_named(value)
    elif isinstance(navigation, list):
        for value in navigation:
            yield from pages_named(value)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_have_a_language(page: Path) -> None:
    fences = re.findall(r"^```", page.read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block.page}:{block.line}: {block.language!r}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_yaml_blocks_are_yaml(page: Path) -> None:
    import yaml

    for block in blocks(page):
        if block.language == "yaml":
            yaml.safe_load(block.code)


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scripts_and_commands_in_the_text_exist(page: Path) -> None:
    for script in re.findall(r"`python ((?:benchmarks|examples)/\S+?\.py)\b", prose(page)):
        assert (ROOT / script).is_file(), script
    for command in re.findall(r"`classaware ([a-z]+)\b", prose(page)):
        assert command in COMMANDS, command


def test_errors_in_troubleshooting_are_what_the_program_says() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.py")))
    said = re.sub(r'"\s*\n\s*f?"', "", source)
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    quoted = [part.strip() for heading in headings for part in re.findall(r'"([^"]+)"', heading)]
    parts = [part.strip() for quote in quoted if "Expected" not in quote for part in quote.split("...")]
    assert len(parts) > 8
    for part in parts:
        assert part in said, part


def test_readme_is_short_and_has_a_picture() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 200
    assert re.search(r"!\[[^\]]{20,}\]\(docs/images/[^)]+\.png\)", readme)


def test_all_pages_are_in_the_navigation() -> None:
    named = list(pages_named(SITE["nav"]))
    assert sorted(named) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:])


@pytest.mark.parametrize(
    ("badge", "says"),
    [
        ("license", PROJECT["license"]),
        ("python", PROJECT["requires-python"]),
        ("torch", PROJECT["dependencies"][0].removeprefix("torch")),
        ("typed", "mypy"),
    ],
)
def test_badges_say_what_the_project_says(badge: str, says: str) -> None:
    text = (ROOT / "docs" / "images" / f"badge-{badge}.svg").read_text().replace("&gt;", ">").replace(" ", "")
    assert f"{badge}:{says}".replace(" ", "") in text
    if badge == "typed":
        assert (ROOT / "src" / "classaware" / "py.typed").exists()
        assert "disallow_untyped_defs = true" in (ROOT / "pyproject.toml").read_text()


def test_readme_numbers_are_those_of_the_results() -> None:
    """Every difference stands in the page that its row links to; those of the evidence are in test_evidence.py."""
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(
        r"^\| \[[^\]]+\]\((?!docs/results/evidence\.md)([^)]+)\).*\| ([^|]*) \| ([^|]*) \| [^|]* \|$",
        readme,
        re.MULTILINE,
    )
    assert len(rows) == 6
    for page, *scores in rows:
        text = (ROOT / page).read_text()
        for score in scores:
            assert score.strip() in text, (page, score)
