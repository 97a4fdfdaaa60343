r"""The text of a GIFT file, before anything in it has a meaning.

A backslash takes the meaning from one of `~ = # { } :` and from itself, and `\n` is a
line break (Moodle, question/format/gift). Escapes are undone at once, and beside the
text its `shape` is kept: as long, but with every escaped character blotted out. What
looks for structure looks into the shape, so that nobody can confuse the two.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from services.question_import.html_text import html_to_text
from services.question_import.result import Findings, LineProblem, RefusedError

ESCAPE: Final = re.compile(r"\\([~=#{}:\\n])")
BLOT: Final = "x"
FORMAT: Final = re.compile(r"\[(html|markdown|plain|moodle)\]")
WHITE_SPACE: Final = re.compile(r"\s+")
CATEGORY: Final = "$CATEGORY:"
POINTS: Final = re.compile(r"//\s*points\s*:(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """One question as it was written, without comments and escapes."""

    first_line: int
    text: str
    shape: str
    # The value of a `// points:` comment, and its line.
    points: tuple[str, int] | None

    @classmethod
    def of(
        cls, first_line: int, written: str, points: tuple[str, int] | None = None
    ) -> Self:
        text = ESCAPE.sub(lambda e: "\n" if e[1] == "n" else e[1], written)
        return cls(first_line, text, ESCAPE.sub(BLOT, written), points)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a source, which still knows its line."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def shape(self) -> str:
        return self.source.shape[self.start : self.end]

    @property
    def is_blank(self) -> bool:
        return not self.text.strip()

    @property
    def line(self) -> int:
        """The line on which its first visible character stands."""
        skipped = len(self.shape) - len(self.shape.lstrip())
        return self.source.first_line + self.source.shape.count(
            "\n", 0, self.start + skipped
        )

    def cut(self, start: int, end: int | None = None) -> "Span":
        """Return a part of this part, by positions in it."""
        stop = self.end if end is None else self.start + end
        return Span(self.source, self.start + start, stop)

    def split_once(self, mark: str) -> "tuple[Span, Span | None]":
        """Return what is before and after the first unescaped `mark`."""
        position = self.shape.find(mark)
        if position < 0:
            return self, None
        return self.cut(0, position), self.cut(position + len(mark))

    def pieces(self, marks: re.Pattern[str]) -> "Iterator[tuple[str, Span]]":
        """Cut at every unescaped mark: each mark and what follows it.

        The first mark is empty: what stands before any.
        """
        shape = self.shape
        mark, start = "", 0
        for match in marks.finditer(shape):
            yield mark, self.cut(start, match.start())
            mark, start = match[0], match.end()
        yield mark, self.cut(start)

    def format(self, default: str) -> str:
        found = FORMAT.match(self.text.lstrip())
        return found[1] if found else default

    def prose(self, default_format: str = "moodle") -> str:
        r"""Return the text as it is to be read.

        Lines are only the way in which the file is laid out, except in Markdown and in
        a <pre> of HTML: they become spaces, and `\n` a line. Raises RefusedError for
        HTML with a picture.
        """
        text_format = self.format(default_format)
        has_own_lines = text_format in ("markdown", "html")
        text = self.text if has_own_lines else self._in_one_line()
        text = text.strip()
        if found := FORMAT.match(text):
            text = text[found.end() :].strip()
        if text_format == "html":
            try:
                return html_to_text(text)
            except ValueError as error:
                raise RefusedError(self.line, str(error)) from error
        return text

    def _in_one_line(self) -> str:
        text = self.text
        parts: list[str] = []
        position = 0
        for space in WHITE_SPACE.finditer(self.shape):
            if "\n" in space[0]:
                parts += text[position : space.start()], " "
                position = space.end()
        return "".join((*parts, text[position:]))


def read_sources(text: str, findings: Findings) -> Iterator[Source]:
    """Yield the questions, which blank lines part. Categories become notes."""
    block: list[str] = []
    for number, line in enumerate((*text.split("\n"), ""), start=1):
        if line.strip():
            block.append(line)
        elif block:
            source = _source(number - len(block), block, findings)
            if source is not None:
                yield source
            block = []


def _source(first: int, block: Sequence[str], findings: Findings) -> Source | None:
    kept: list[str] = []
    points: tuple[str, int] | None = None
    is_empty = True
    for number, line in enumerate(block, start=first):
        if line.lstrip().startswith("//"):
            # An empty line in its place keeps the count of lines right.
            kept.append("")
            if found := POINTS.match(line.strip()):
                points = found[1].strip(), number
        elif is_empty and line.lstrip().startswith(CATEGORY):
            kept.append("")
            name = line.strip().removeprefix(CATEGORY).strip()[:200]
            findings.note(number, f"The category '{name}' was left out.")
        else:
            kept.append(line)
            is_empty = False
    if not is_empty:
        return Source.of(first, "\n".join(kept), points)
    if points is not None:
        findings.refuse(
            LineProblem(
                points[1],
                "This comment gives points to no question: put it directly above one, "
                "without a blank line.",
            )
        )
    return None
