"""What a report is made of: blocks of text, numbers and pictures. Plain values; `report_html` makes a page of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Text:
    """A paragraph; ``quiet``: a remark on what stands above it."""

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Heading:
    """The title of what follows within a section."""

    text: str


@dataclass(frozen=True)
class Number:
    """A number to be seen first: the number itself, what it is, and how sure it is."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Numbers:
    """A few numbers side by side."""

    entries: Sequence[Number]


@dataclass(frozen=True)
class Facts:
    """Name and value, one a line."""

    entries: Mapping[str, str]


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
    """One image: (H, W, 3) uint8 pictures, one for every column of its `Samples`."""

    caption: str
    images: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class Samples:
    """Images, each as a row of pictures under the same titles: image, ground truth, one a network."""

    columns: Sequence[str]
    rows: Sequence[SampleRow]


@dataclass(frozen=True)
class Legend:
    """Class name and its (red, green, blue), 0..255; ``striped``: what is painted in stripes of two colors."""

    entries: Sequence[tuple[str, Sequence[int]]]
    striped: Sequence[tuple[str, Sequence[Sequence[int]]]] = ()


@dataclass(frozen=True)
class Link:
    """A link to a file that lies beside the report: ``target`` is its path from there; ``note`` says what it is."""

    text: str
    target: str
    note: str = ""


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away under one line until they are asked for."""

    summary: str
    blocks: Sequence["Block"]


Block = Text | Heading | Numbers | Facts | Table | Figure | Samples | Legend | Link | Details


@dataclass(frozen=True)
class Section:
    """Blocks under a title; left out where all of them are empty."""

    title: str
    blocks: Sequence[Block]
