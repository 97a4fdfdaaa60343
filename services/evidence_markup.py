"""The words, tables and times of the page in a bundle, as HTML."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

ERASED: Final = "(not on record: it was erased)"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose cells are HTML already."""
    lines = [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
    if not lines:
        return "<p>None.</p>"
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = "\n".join(lines)
    return f"<table><thead><tr>{titles}</tr></thead>\n<tbody>{body}</tbody></table>"


def bullets(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{text(each)}</li>' for each in sentences)}</ul>"


def paragraphs(sentences: Iterable[str]) -> str:
    return "".join(f"<p>{text(each)}</p>" for each in sentences)


def text(value: object) -> str:
    """Escape what somebody wrote, and keep its direction of writing to itself."""
    return f"<bdi>{escape(str(value))}</bdi>"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def utc(moment: datetime) -> str:
    return f"{time(moment)} UTC"


def time(moment: datetime) -> str:
    """Return a time for a column whose title names the zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
