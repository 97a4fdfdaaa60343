"""How JSON is read that lies in the database.

What we have written is plain. Whoever owns the database can put there what PostgreSQL
stores and nobody else can hold: numbers of a thousand digits, lists in lists in lists.
It is no secret and no reason to answer nothing: its own text stands in its place.
"""

import json
import re
from contextlib import suppress
from typing import Final

import jiter
from pydantic import JsonValue

# Above this a double is no longer every whole number, and RFC 8785 has no text for it.
LARGEST_NUMBER: Final = 2**53 - 1
# A longer number is read as text at once: Python refuses thousands of digits.
MAX_DIGITS: Final = 400
# Many times what we write; whatever validates or writes JSON goes down further.
MAX_DEPTH: Final = 100
# Where in the text of a jsonb a number may be too large: it has no exponents, and each
# number but that of a whole document comes after one of these.
_LONG: Final = (re.compile(r" -?[0-9]{16}"), re.compile(r"\[-?[0-9]{16}"))
_NUMBER: Final = re.compile(r"-?[0-9]")
_PARTS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')


def read_binary(document: str) -> JsonValue:
    """Return what a column of type jsonb holds, as `read` does, and faster.

    A paper is read at each start. What is deeper than 200 jiter refuses.
    """
    if not (_NUMBER.match(document) or any(each.search(document) for each in _LONG)):
        with suppress(ValueError):
            found: JsonValue = jiter.from_json(document.encode())
            return found
    return read(document)


def read(document: str) -> JsonValue:
    """Return the document; what is too large or too deep in it, as a string."""
    if document.count("[") + document.count("{") > MAX_DEPTH:
        document = _flattened(document)
    found: JsonValue = _DECODER.decode(document)
    return found


def _integer(digits: str) -> int | str:
    return int(digits) if _is_small(digits) else digits


def _fraction(digits: str) -> float | str:
    return float(digits) if _is_small(digits) else digits


def _is_small(digits: str) -> bool:
    return len(digits) <= MAX_DIGITS and abs(float(digits)) <= LARGEST_NUMBER


def _flattened(document: str) -> str:
    """Write whatever lies below MAX_DEPTH as a string."""
    kept = []
    depth = position = 0
    for part in _PARTS.finditer(document):
        if part[0] in {"[", "{"}:
            if depth == MAX_DEPTH:
                kept.append(document[position : part.start()])
                position = part.start()
            depth += 1
        elif part[0] in {"]", "}"}:
            depth -= 1
            if depth == MAX_DEPTH:
                kept.append(json.dumps(document[position : part.end()]))
                position = part.end()
    return "".join([*kept, document[position:]])


_DECODER: Final = json.JSONDecoder(parse_int=_integer, parse_float=_fraction)
