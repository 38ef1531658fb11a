"""The pages of the documentation, their blocks of code and the command lines in these."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
_FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1[ ]*$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One fenced block: where it begins, its language, what is in it."""

    page: str
    line: int
    language: str
    code: str


class Line(NamedTuple):
    """One command line of a page, as written but joined to one line and without its comment."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    def is_quoted(self, word: str) -> bool:
        return word not in self.text.split()


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(name_of(page), text[: match.start()].count("\n") + 1, match[2].strip(), match[3])
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _FENCE.sub("", page.read_text())


def command_lines(page: Path) -> list[Line]:
    found = []
    for block in blocks(page):
        if block.language == "sh":
            for line in block.code.replace("\\\n", " ").splitlines():
                text = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
                if text:
                    found.append(Line(block.page, text))
    return found


def slug(heading: str) -> str:
    """The anchor of a heading, on GitHub and on the site, for headings on which both agree."""
    words = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).lower()
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", words).strip())


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)}
