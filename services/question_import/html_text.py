"""Plain text from the HTML that Moodle's editor writes.

A parser would do more than is needed and raises on some broken input; questions are
stored and shown as plain text, so what looks like a tag only has to go.
"""

import html
import re
from typing import Final

# No branch runs past the next "<", so a page of them is still read in linear time.
TAG: Final = re.compile(
    r"<(/?)([a-zA-Z][a-zA-Z0-9]*)(?:[\s/][^<>]*)?>|<!--[^<]*?-->", re.ASCII
)
# int() refuses more digits than these, and there is no such character anyway.
ENDLESS_REFERENCE: Final = re.compile(r"&#[0-9]{20}")
LINES: Final = re.compile(
    r"br|p|div|li|[uo]l|d[ldt]|pre|blockquote|hr|h[1-6]|section|article"
)
# Programs are written in it, where lines and what stands before them mean something.
PREFORMATTED: Final = re.compile(r"</?pre(?:\s[^<>]*)?>", re.ASCII | re.IGNORECASE)
# Their meaning is not in the text between the tags.
REFUSED: Final = re.compile(
    r"img|picture|svg|canvas|audio|video|source|iframe|object|embed|table|math|script"
    r"|style|input|select|form"
)
# What is raised or lowered, until all of it is there. No text has these characters.
BEGINS: Final = "\x0e"
ENDS: Final = "\x0f"
# What reads as raised or lowered without parentheses: a number, or one letter.
PLAIN: Final = re.compile(
    rf"{BEGINS}([+\-\u2212]?\d+(?!{ENDS}\d)|[^\W\d_](?!{ENDS}\w)){ENDS}"
)


def html_to_text(written: str) -> str:
    """Return the text, with a line for each block but <pre>, which keeps its own.

    x<sup>2</sup> becomes x^2, and x<sup>n+1</sup> x^(n+1).

    Raises ValueError for what can't be said in plain text: pictures, tables, scripts.
    """
    if ENDLESS_REFERENCE.search(written):
        raise ValueError("The HTML contains a character reference that is too long.")
    lines: list[str] = []
    # Every second piece stands between <pre> and </pre>.
    for number, piece in enumerate(PREFORMATTED.split(written)):
        if number % 2:
            lines += (line.rstrip() for line in _plain(piece).split("\n"))
        else:
            text = _plain(piece.replace("\n", " "))
            lines += (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _plain(written: str) -> str:
    text = html.unescape(TAG.sub(_replace, written)).replace("\xa0", " ")
    text = PLAIN.sub(r"\1", text)
    return text.replace(BEGINS, "(").replace(ENDS, ")")


def _replace(tag: re.Match[str]) -> str:
    name = (tag[2] or "").lower()
    if REFUSED.fullmatch(name):
        raise ValueError(
            f"The HTML contains <{name}>, and questions are plain text: take it out, "
            "or ask the question without it."
        )
    if LINES.fullmatch(name):
        return "\n"
    if name in ("sup", "sub"):
        mark = "^" if name == "sup" else "_"
        return ENDS if tag[1] else f"{mark}{BEGINS}"
    return ""
