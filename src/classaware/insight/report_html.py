"""The blocks of a report as HTML. Every text is escaped: class and file names come from outside."""

import base64
import re
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from classaware.errors import InputError
from classaware.insight.images import compact_bytes
from classaware.insight.report_blocks import (
    Block,
    Details,
    Facts,
    Figure,
    Heading,
    Legend,
    Link,
    Numbers,
    SampleRow,
    Samples,
    Table,
    Text,
)

_VALUE = r"[-+−]?[\d.,]+(e[-+]\d+)?(\s*±\s*[\d.,]+)?\s*%?"
_NUMBER = re.compile(rf"{_VALUE}(\s+to\s+{_VALUE})?|–|nan|")
_SMALL = 200  # a picture of fewer columns is enlarged in the page: with hard pixels, not blurred


def blocks_html(blocks: Sequence[Block]) -> str:
    """The blocks one after the other; nothing for those that are empty.

    Raises:
        InputError: a table or sample row of another length than its titles, a figure that is neither PNG nor SVG, a
            link to somewhere else than beside the report.
    """
    return "".join(map(_block, blocks))


def _block(block: Block) -> str:
    match block:
        case Text():
            kind = ' class="quiet"' if block.quiet else ""
            return f"<p{kind}>{escape(block.text)}</p>\n" if block.text else ""
        case Heading():
            return f"<h3>{escape(block.text)}</h3>\n"
        case Numbers():
            return _numbers(block)
        case Facts():
            facts = "".join(
                f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in block.entries.items()
            )
            return f'<dl class="facts">\n{facts}</dl>\n' if facts else ""
        case Table():
            return _table(block) if block.rows else ""
        case Figure():
            return _figure(block)
        case Samples():
            return "".join(_sample(row, block.columns) for row in block.rows)
        case Legend():
            return _legend(block)
        case Link():
            return _link(block)
        case Details():
            content = blocks_html(block.blocks)
            folded = f"<details>\n<summary>{escape(block.summary)}</summary>\n{content}</details>\n"
            return folded if content else ""


def _numbers(numbers: Numbers) -> str:
    tiles = ""
    for entry in numbers.entries:
        note = f"<small>{escape(entry.note)}</small>" if entry.note else ""
        tiles += f"<div><dt>{escape(entry.label)}</dt><dd><strong>{escape(entry.value)}</strong>{note}</dd></div>\n"
    return f'<dl class="numbers">\n{tiles}</dl>\n' if tiles else ""


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
            f"The image '{row.caption}' has {len(row.images)} pictures, there are {len(columns)} column titles. "
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


def _legend(legend: Legend) -> str:
    swatches = [(name, _rgb(color)) for name, color in legend.entries]
    for name, (one, other) in legend.striped:
        stripes = f"{_rgb(one)} 0 25%,{_rgb(other)} 0 50%"
        swatches.append((name, f"repeating-linear-gradient(135deg,{stripes})"))
    items = "".join(
        f'<li><span class="swatch" style="background:{background}"></span>{escape(name)}</li>\n'
        for name, background in swatches
    )
    return f'<ul class="legend" aria-label="colors of the classes">\n{items}</ul>\n' if items else ""


def _rgb(color: Sequence[int]) -> str:
    return f"rgb({','.join(str(int(value)) for value in color)})"


def _link(link: Link) -> str:
    if not link.target or link.target.startswith("/"):
        raise InputError(f"The link '{link.text}' leads to {link.target!r}. Give the path of a file beside the report.")
    note = f" <span>{escape(link.note)}</span>" if link.note else ""
    # Quoted, a ":" names no scheme: what it leads to is always a file.
    return f'<p class="link"><a href="{quote(link.target)}">{escape(link.text)}</a>{note}</p>\n'


def _image(kind: str, data: bytes, alt: str, more: str = "") -> str:
    return f'<img src="data:{kind};base64,{base64.b64encode(data).decode()}" alt="{escape(alt)}"{more}>'
