"""Follows the SQL of a dump, so that nothing within quotes is taken for a statement.

Whoever can name and describe the things of a database has pg_dump write what he likes
within quotes, over any number of lines. They are read here as psql reads them.
"""

import re
from typing import Final

from models.copy_text import DumpError

# No possessive quantifiers: those of Python before 3.11.5 find too little.
_LETTER: Final = rb"[A-Za-z_\x80-\xff]"

# What may stand in front of a statement besides a comment of the other kind.
_SPACE = re.compile(rb"\s+|--[^\r\n]*")
# What means something, the longest first: a name is taken as a whole, because it can
# have dollars and end with an E.
_TOKEN = re.compile(
    rb"""--[^\r\n]*
       | (?P<found>/\* | \$(?:%(letter)s[A-Za-z0-9_\x80-\xff]*)?\$ | [Ee]' | ['";\\])
       | [0-9]*%(letter)s[A-Za-z0-9_$\x80-\xff]*"""
    % {b"letter": _LETTER},
    re.VERBOSE,
)
_COMMENT_EDGE = re.compile(rb"/\*|\*/")

# A doubled quote seems to end and to begin again, which comes to the same, unless
# what begins again were of another kind.
_PLAIN_END = re.compile(rb"[^']*'")
_ESCAPED_END = re.compile(rb"(?:[^'\\]|\\.|'')*'(?!')", re.DOTALL)
_NAME_END = re.compile(rb'[^"]*"')

# Others change what psql reads, and pg_dump does not write them.
_META_COMMAND = re.compile(rb"\\(?:restrict|unrestrict|connect) [^\n]*\n?")
_STRING_SETTING = re.compile(rb"SET standard_conforming_strings = (?P<it>on|off);\n")


class Statements:
    """Is told the lines of a dump, save for the rows in it, which are no SQL."""

    def __init__(self) -> None:
        self._is_begun = self._is_copy = False
        # Comments nest, quotes do not.
        self._comments = 0
        self._quote_end: re.Pattern[bytes] | None = None
        self._string_end = _PLAIN_END

    @property
    def is_between(self) -> bool:
        """Whether the next line begins in no statement, quote or comment.

        A semicolon in the unquoted body of a function, or among the actions of a rule,
        seems to end a statement. What can follow it there is no COPY and no SET.
        """
        return not (self._is_begun or self._is_within)

    def read(self, line: bytes) -> bool:
        """Return whether rows follow. Raises DumpError for what is not pg_dump's."""
        if self.is_between:
            if _META_COMMAND.fullmatch(line):
                return False
            if match := _STRING_SETTING.fullmatch(line):
                self._string_end = _PLAIN_END if match["it"] == b"on" else _ESCAPED_END
        place = 0
        while place < len(line):
            if self._is_within:
                place = self._leave(line, place)
                continue
            place, found = self._next(line, place)
            if found == b";" and self._finish(line, place):
                return True
            self._enter(found)
        return False

    def end(self) -> None:
        """Raise DumpError if a quote has not ended."""
        if self._is_within:
            raise DumpError("A quote in it never ends: perhaps the dump was cut off.")

    @property
    def _is_within(self) -> bool:
        return self._quote_end is not None or self._comments > 0

    def _next(self, line: bytes, place: int) -> tuple[int, bytes]:
        """Return what opens or ends something, and the place behind it."""
        if not self._is_begun:
            while (space := _SPACE.match(line, place)) is not None:
                place = space.end()
            if place == len(line):
                return place, b""
            self._is_begun = not line.startswith(b"/*", place)
            self._is_copy = line.startswith(b"COPY", place)
        for token in _TOKEN.finditer(line, place):
            if token["found"] is not None:
                return token.end(), token["found"]
        return len(line), b""

    def _finish(self, line: bytes, place: int) -> bool:
        """End the statement, and return whether it was a COPY."""
        was_copy, self._is_begun, self._is_copy = self._is_copy, False, False
        if was_copy and not (
            line.endswith(b" FROM stdin;", 0, place) and line[place:] in {b"\n", b""}
        ):
            raise DumpError("It has a COPY of another form than pg_dump gives it.")
        return was_copy

    def _enter(self, opening: bytes) -> None:
        match opening[:1]:
            case b"/":
                self._comments = 1
            case b"'":
                self._quote_end = self._string_end
            case b"E" | b"e":
                self._quote_end = _ESCAPED_END
            case b'"':
                self._quote_end = _NAME_END
            case b"$":
                self._quote_end = re.compile(rb".*?" + re.escape(opening), re.DOTALL)
            case b"\\":
                raise DumpError("It has a command that pg_dump does not write.")

    def _leave(self, line: bytes, place: int) -> int:
        """Return the place behind the quote or comment, or what the line has of it."""
        if self._quote_end is None:
            match = _COMMENT_EDGE.search(line, place)
            if match is not None:
                self._comments += 1 if match[0] == b"/*" else -1
        else:
            match = self._quote_end.match(line, place)
            if match is not None:
                self._quote_end = None
        return len(line) if match is None else match.end()
