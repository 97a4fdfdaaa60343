"""Values in texts that are signed or proven: each has exactly one spelling.

What two readers could take differently, or what would be written otherwise than it was
read, is refused.
"""

import base64
import re
from typing import Final

# PostgreSQL's bigint, which numbers the entries; other logs count in it too.
MAX_NUMBER: Final = 2**63 - 1
_DECIMAL = re.compile("0|[1-9][0-9]{0,18}")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")


class NoteError(ValueError):
    """A text is not what its specification says."""


def to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def from_base64(text: str) -> bytes:
    """Read RFC 4648 section 4, of which Python forgives more than the RFC."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NoteError("not base64") from error
    if to_base64(value) != text:
        raise NoteError("base64 with bits or characters to spare")
    return value


def hash_from_base64(text: str) -> bytes:
    value = from_base64(text)
    if len(value) != 32:  # noqa: PLR2004 - SHA-256
        raise NoteError(f"a hash has 32 bytes, not {len(value)}")
    return value


def from_decimal(text: str) -> int:
    """Read ASCII digits without leading zeros, up to MAX_NUMBER."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_NUMBER:
        raise NoteError("not a decimal number without leading zeros, below 2**63")
    return int(text)


def check_number(value: int) -> None:
    if not 0 <= value <= MAX_NUMBER:
        raise NoteError(f"{value} is not from 0 to 2**63 - 1")


def check_characters(text: str) -> None:
    """Refuse control characters other than the newline, and what UTF-8 cannot write."""
    if _CONTROL.search(text):
        raise NoteError("a control character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NoteError("a lone surrogate") from error


def text_from_bytes(raw: bytes, max_bytes: int) -> str:
    """Decode UTF-8 that `check_characters` accepts."""
    if len(raw) > max_bytes:
        raise NoteError(f"{len(raw)} bytes are more than {max_bytes}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("not UTF-8") from error
    check_characters(text)
    return text
