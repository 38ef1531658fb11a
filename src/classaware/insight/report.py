"""A report of one or several runs as ONE HTML file.

No script, no request to anywhere (the page forbids itself any), pictures inside; light and dark, paper and telephone.
Every text is escaped: class and file names come from outside.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classaware.errors import InputError
from classaware.files import write_atomically
from classaware.insight.images import compact_bytes

_NUMBER = re.compile(r"[-+−]?[\d.,]+(\s*±\s*[\d.,]+)?\s*%?|–|nan|")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SMALL = 200  # a picture of fewer columns is enlarged in the page: with hard pixels, not blurred


@dataclass(frozen=True)
class Table:
    """A table; the first cell of every row is the row's name. Columns of numbers are set to the right."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A figure: ``data`` is a PNG or SVG file, ``alt`` says what is to be seen for those who cannot see it."""

    caption: str
    alt: str
    data: bytes


@dataclass(frozen=True)
class SampleRow:
    """One scene: (H, W, 3) uint8 pictures, one for every entry of `Report.sample_columns`."""

    caption: str
    images: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class Report:
    """What a report shows, in this order; what is empty is left out.

    Attributes:
        title: heading, and title of the browser's window.
        intro: one paragraph.
        facts: what was run, name -> value.
        tables: results.
        figures: curves, class-dependency maps.
        samples: scenes.
        sample_columns: titles of the pictures of a scene: image, ground truth, one a network.
        legend: class name and its (red, green, blue), 0..255.
    """

    title: str
    intro: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    samples: Sequence[SampleRow] = ()
    sample_columns: Sequence[str] = ()
    legend: Sequence[tuple[str, Sequence[int]]] = ()


def write_report(path: str | Path, report: Report) -> Path:
    """Write the report as one HTML file; folders are made, and the file appears only when it is complete.

    Returns:
        The path of the file.

    Raises:
        InputError: a table or sample row of another length than its titles, a figure that is neither PNG nor SVG, or a
            path that cannot be written.
    """
    # "replace": a file name may hold bytes that are no text.
    write_atomically(Path(path), render_report(report).encode("utf-8", "replace"))
    return Path(path)


def render_report(report: Report) -> str:
    """Return the page as a string; see `write_report`."""
    style = resources.files("classaware.insight").joinpath("report.css").read_text("utf-8")
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts.items())
    sections = [
        _section("What was run", f"<dl>{facts}</dl>" if facts else ""),
        _section("Results", "".join(map(_table, report.tables))),
        _section("Figures", "".join(map(_figure, report.figures))),
        _section("Scenes", _legend(report) + "".join(_sample(row, report.sample_columns) for row in report.samples)),
    ]
    intro = f"<p>{escape(report.intro)}</p>\n" if report.intro else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(report.title)}</h1>\n{intro}{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}</section>\n" if content else ""


def _table(table: Table) -> str:
    for row in table.rows:
        if len(row) != len(table.header):
            raise InputError(
                f"In the table '{table.caption}' the row {list(row)} has {len(row)} cells, "
                f"the header has {len(table.header)}. Give every row as many cells as the header."
            )
    numeric = [i > 0 and all(_NUMBER.fullmatch(row[i].strip()) for row in table.rows) for i in range(len(table.header))]
    kinds = [' class="number"' if n else "" for n in numeric]
    head = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(kinds, table.header, strict=True))
    body = ""
    for row in table.rows:
        cells = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds[1:], row[1:], strict=True))
        body += f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>\n'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.caption)}">\n<table>\n'
        f"<caption>{escape(table.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n"
        "</table>\n</div>\n"
    )


def _figure(figure: Figure) -> str:
    if figure.data.startswith(b"\x89PNG\r\n"):
        kind = "image/png"
    elif b"<svg" in figure.data[:1000]:
        kind = "image/svg+xml"
    else:
        raise InputError(f"The figure '{figure.caption}' is neither PNG nor SVG. Give the bytes of such a file.")
    return (
        f'<figure class="plot">\n<div class="scroll" tabindex="0" role="region" aria-label="figure">'
        f"{_image(kind, figure.data, figure.alt)}</div>\n<figcaption>{escape(figure.caption)}</figcaption>\n</figure>\n"
    )


def _sample(row: SampleRow, columns: Sequence[str]) -> str:
    if len(row.images) != len(columns):
        raise InputError(
            f"The scene '{row.caption}' has {len(row.images)} pictures, there are {len(columns)} column titles. "
            "Give one picture a title."
        )
    views = ""
    for title, picture in zip(columns, row.images, strict=True):
        kind, data = compact_bytes(picture)
        size = f' width="{picture.shape[1]}" height="{picture.shape[0]}"'
        size += ' class="small"' if picture.shape[1] < _SMALL else ""
        views += f"<div><span>{escape(title)}</span>{_image(kind, data, f'{title}: {row.caption}', size)}</div>\n"
    return (
        f'<figure class="sample">\n<figcaption>{escape(row.caption)}</figcaption>\n'
        f'<div class="views">\n{views}</div>\n</figure>\n'
    )


def _legend(report: Report) -> str:
    if not report.legend:
        return ""
    items = ""
    for name, color in report.legend:
        red, green, blue = (int(value) for value in color)
        swatch = f'<span class="swatch" style="background:rgb({red},{green},{blue})"></span>'
        items += f"<li>{swatch}{escape(name)}</li>\n"
    return f'<ul class="legend" aria-label="colors of the classes">\n{items}</ul>\n'


def _image(kind: str, data: bytes, alt: str, more: str = "") -> str:
    return f'<img src="data:{kind};base64,{base64.b64encode(data).decode()}" alt="{escape(alt)}"{more}>'
