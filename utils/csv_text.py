"""CSV as RFC 4180 has it, and safe to open in a spreadsheet."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Final

# What begins like this is a formula to a spreadsheet (OWASP, CSV injection), also in
# full width, and behind spaces or the quotes that another reader takes for its own.
# What parts cells depends on the reader: a German Excel splits at semicolons.
FORMULA_START: Final = re.compile(
    r"^(?=[\t\r\n])|(?:^|(?<=[;,\t|\r\n]))"
    r'(?=[ \xa0\u3000"]*[=+\-@\uff1d\uff0b\uff0d\uff20])'
)


def csv_line(cells: Sequence[str]) -> str:
    """Return one line with its CRLF.

    What would be a formula gets an apostrophe, whichever separator the reader takes.
    """
    line = io.StringIO()
    csv.writer(line).writerow([FORMULA_START.sub("'", cell) for cell in cells])
    return line.getvalue()
