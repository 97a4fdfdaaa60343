import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.csv_text import csv_line
from utils.like import prefix_pattern

FORMULAS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"))))
def test_what_is_written_is_read_again(cells: list[str]) -> None:
    line = csv_line(["first", *cells])

    assert line.endswith("\r\n")
    ((_, *found),) = csv.reader(io.StringIO(line, newline=""))
    assert [cell.replace("'", "") for cell in found] == [
        cell.replace("'", "") for cell in cells
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@given(st.lists(st.text(st.sampled_from("a=-@\uff0b;,|\t\r\n\"' "))))
def test_no_reader_meets_a_formula(separator: str, cells: list[str]) -> None:
    line = csv_line(["first", *cells])

    rows = csv.reader(io.StringIO(line, newline=""), delimiter=separator)
    met = [cell for row in rows for cell in row if cell.lstrip(' "')[:1] in FORMULAS]
    assert met == []


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a,b", '"a,b"'),
        ('say "x"', '"say ""x"""'),
        ("two\nlines", '"two\nlines"'),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("Alice;=1+1", "Alice;'=1+1"),
        ("Alice; @SUM(A1);-1", "Alice;' @SUM(A1);'-1"),
        ("Alice|+1\t=1", "Alice|'+1\t'=1"),
        ("Alice, =1", '"Alice,\' =1"'),
        ("a;b, c-d", '"a;b, c-d"'),
        ("1-1", "1-1"),
    ],
)
def test_a_cell_is_quoted_and_harmless(cell: str, written: str) -> None:
    assert csv_line(["", cell]) == f",{written}\r\n"


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("a", "a%"), ("100%", r"100\%%"), ("a_b", r"a\_b%"), ("\\", r"\\%")],
)
def test_a_prefix_means_itself(text: str, pattern: str) -> None:
    assert prefix_pattern(text) == pattern
