"""A report of one or several runs as ONE HTML file.

No script, no request to anywhere (the page forbids itself any), pictures inside; light and dark, paper and telephone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from classaware.files import write_atomically
from classaware.insight.report_blocks import Section
from classaware.insight.report_html import blocks_html

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_MANY = 3  # sections, from which on there is a list of them


@dataclass(frozen=True)
class Report:
    """What a report shows, in this order.

    Attributes:
        title: heading, and title of the browser's window.
        intro: one paragraph.
        sections: each a title and its blocks; what is empty is left out.
    """

    title: str
    intro: str = ""
    sections: Sequence[Section] = ()


def write_report(path: str | Path, report: Report) -> Path:
    """Write the report as one HTML file; folders are made, and the file appears only when it is complete.

    Returns:
        The path of the file.

    Raises:
        InputError: a block that contradicts itself (see `blocks_html`), or a path that cannot be written.
    """
    # "replace": a file name may hold bytes that are no text.
    write_atomically(Path(path), render_report(report).encode("utf-8", "replace"))
    return Path(path)


def render_report(report: Report) -> str:
    """Return the page as a string; see `write_report`."""
    style = resources.files("classaware.insight").joinpath("report.css").read_text("utf-8")
    rendered = [(section.title, content) for section in report.sections if (content := blocks_html(section.blocks))]
    intro = f'<p class="intro">{escape(report.intro)}</p>\n' if report.intro else ""
    sections = "".join(
        f'<section id="part-{number}">\n<h2>{escape(title)}</h2>\n{content}</section>\n'
        for number, (title, content) in enumerate(rendered, start=1)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(report.title)}</h1>\n{intro}{_contents([title for title, _ in rendered])}{sections}"
        "</main>\n</body>\n</html>\n"
    )


def _contents(titles: Sequence[str]) -> str:
    if len(titles) < _MANY:
        return ""
    links = "".join(
        f'<li><a href="#part-{number}">{escape(title)}</a></li>\n' for number, title in enumerate(titles, start=1)
    )
    return f'<nav aria-label="sections">\n<ul>\n{links}</ul>\n</nav>\n'
