"""CSV as RFC 4180 has it, and safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Sequence
from typing import Final

# A cell that begins like this is a formula to a spreadsheet (OWASP, CSV injection).
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_line(cells: Sequence[str]) -> str:
    """Return one line with its CRLF. What would be a formula gets an apostrophe."""
    line = io.StringIO()
    csv.writer(line).writerow([_harmless(cell) for cell in cells])
    return line.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
