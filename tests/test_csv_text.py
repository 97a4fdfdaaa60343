import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.csv_text import FORMULA_STARTS, csv_line
from utils.like import prefix_pattern


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"))))
def test_what_is_written_is_read_again(cells: list[str]) -> None:
    line = csv_line(["first", *cells])

    assert line.endswith("\r\n")
    ((_, *found),) = csv.reader(io.StringIO(line, newline=""))
    assert [cell.removeprefix("'") for cell in found] == [
        cell.removeprefix("'") for cell in cells
    ]
    assert not any(cell.startswith(FORMULA_STARTS) for cell in found)


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
