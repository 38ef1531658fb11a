"""Tables for the terminal: names give way to numbers."""

import io
import re
from contextlib import redirect_stdout
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.commands.output import fitted_table, paragraphs, print_parts

ROWS = [["a very long name of class 1", "-12.34..+5.67"], ["short", "–"]]


def printed(head: list[str], rows: list[list[str]], **options: Any) -> list[str]:
    out = io.StringIO()
    with redirect_stdout(out):
        print_parts(fitted_table(head, rows, **options))
    return out.getvalue().splitlines()


def test_names_are_shortened_in_their_middle_and_no_more_than_needed() -> None:
    assert printed(["class", "95 %"], ROWS, width=30) == [
        " class                   95 %",
        " a very…lass 1  -12.34..+5.67",
        " short                      –",
    ]
    assert "a very l…class 1  -12" in printed(["class", "95 %"], ROWS, width=33)[1]
    assert printed(["class", "95 %"], ROWS, width=44) == printed(["class", "95 %"], ROWS, width=1000)


def test_what_cannot_fit_is_printed_at_its_width() -> None:
    whole = printed(["class", "95 %"], ROWS, width=1000)
    assert "a very long name of class 1  -12.34..+5.67" in whole[1]
    assert printed(["class", "95 %"], ROWS, width=20) == whole
    # These would be alike.
    alike = [["network one of seed 1", "1"], ["network two of seed 1", "2"]]
    assert printed(["", "mean"], alike, width=18) == printed(["", "mean"], alike, width=1000)


def test_heads_of_numbers_are_shortened_too() -> None:
    lines = printed(["class", "baseline without CAR", "95 %"], [["cow", "12.34", "1.00..2.00"]], width=30)
    assert re.fullmatch(r" class  b\w*….* CAR +95 %", lines[0])
    assert len(lines[0]) <= 30


names = st.text(st.characters(categories=("Lu", "Ll", "Lo", "P")), min_size=1, max_size=40)
numbers = st.from_regex(r"[+-][0-9]{1,3}\.[0-9]{2}(\.\.[+-][0-9]{1,2}\.[0-9]{2})?", fullmatch=True)


@settings(deadline=None)
@given(st.lists(st.tuples(names, names, numbers, numbers), min_size=1, max_size=6), st.integers(20, 120))
def test_no_number_is_ever_cut_and_no_row_lost(rows: list[tuple[str, ...]], width: int) -> None:
    head = ["class", "partner", "value", "95 %"]
    lines = printed(head, [list(row) for row in rows], texts=2, width=width)
    assert len(lines) == 1 + len(rows)
    for line, row in zip(lines[1:], rows, strict=True):
        assert line.split()[-2:] == list(row[2:])
        for cell, name in zip(line.split()[:2], row[:2], strict=True):
            start, dots, end = cell.partition("…")
            assert cell == name or (dots and name.startswith(start) and name.endswith(end) and len(cell) >= 7)
    if width >= 2 * (7 + 2) + 2 * (14 + 2) and all(len(set(part)) == len(part) for part in zip(*rows, strict=True)):
        natural = printed(head, [list(row) for row in rows], texts=2, width=1000)
        assert lines == natural or max(map(len, lines)) <= width


def test_names_say_nothing_to_the_terminal() -> None:
    (line,) = printed(["a", "b"], [["[red]x\x1b[31m\n", "1"]])[1:]
    assert line == " [red]x\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}  1"


def test_paragraphs_break_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = "/a-very-long/path/" + 90 * "x"
    text = paragraphs([f"The file {path} is one of many that are " + 30 * "here ", "Another."])
    lines = text.splitlines()
    assert path in lines
    assert all(len(line) <= 80 for line in lines if line != path)
    assert lines[-1] == "Another."
