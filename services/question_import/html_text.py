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
LINES: Final = re.compile(r"br|p|div|li|[uo]l|pre|blockquote|hr|h[1-6]")
# Their meaning is not in the text between the tags.
REFUSED: Final = re.compile(
    r"img|picture|svg|canvas|audio|video|source|iframe|object|embed|table|math|script"
    r"|style|input|select|form"
)


def html_to_text(written: str) -> str:
    """Return the text, with a line for each block; x<sup>2</sup> becomes x^2.

    Raises ValueError for what can't be said in plain text: pictures, tables, scripts.
    """
    if ENDLESS_REFERENCE.search(written):
        raise ValueError("The HTML contains a character reference that is too long.")
    without_tags = TAG.sub(_replace, written.replace("\n", " "))
    text = html.unescape(without_tags).replace("\xa0", " ")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _replace(tag: re.Match[str]) -> str:
    name = (tag[2] or "").lower()
    if REFUSED.fullmatch(name):
        raise ValueError(
            f"The HTML contains <{name}>, and questions are plain text: take it out, "
            "or ask the question without it."
        )
    if LINES.fullmatch(name):
        return "\n"
    is_opening = not tag[1]
    if name in ("sup", "sub") and is_opening:
        return "^" if name == "sup" else "_"
    return ""
