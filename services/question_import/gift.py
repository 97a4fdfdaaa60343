"""Moodle's GIFT format: where a question's parts are.

Written after https://docs.moodle.org/en/GIFT_format and the behaviour of Moodle's own
importer. Where Moodle guesses, this refuses: an exam must ask what its author meant.
"""

import re
from decimal import Decimal
from functools import partial
from typing import Final

from models.question_types import NewQuestion
from services.question_import.gift_answers import Stem, read_by_kind
from services.question_import.gift_source import Source, Span, read_sources
from services.question_import.result import (
    Findings,
    ImportResult,
    RefusedError,
    checked,
    parse_number,
    prepare,
)

BLANK: Final = "_____"
MAX_POINTS: Final = 1_000


def parse_gift(text: str) -> ImportResult:
    """Read the questions of a GIFT file of at most 1 MB and 500 questions.

    Raises nothing: what can't be imported is in the result's problems.
    """
    findings = Findings()
    try:
        text = prepare(text)
    except RefusedError as error:
        findings.refuse(error.problem)
        return findings.result()
    for source in read_sources(text, findings):
        if findings.is_full:
            break
        findings.add(source.first_line, partial(_read, source, findings))
    return findings.result()


def _read(source: Source, findings: Findings) -> NewQuestion:
    whole = Span(source, 0, len(source.text))
    before, answers, after = _split(_without_title(whole))
    text_format = before.format("moodle")
    text = _text(before, after)
    if not text:
        raise RefusedError(whole.line, "The question has no text before its answers.")
    feedback = ""
    general = answers.shape.rfind("####")
    if general >= 0:
        feedback = answers.cut(general + 4).prose(text_format)
        answers = answers.cut(0, general)
    stem = Stem(
        line=whole.line,
        text=text,
        text_format=text_format,
        points=_points(source),
        feedback=feedback,
    )
    return checked(stem.line, lambda: read_by_kind(stem, answers, findings))


def _without_title(whole: Span) -> Span:
    """Leave out the ::title::, which a question of ours has not."""
    start = len(whole.shape) - len(whole.shape.lstrip())
    if not whole.shape.startswith("::", start):
        return whole
    _, rest = whole.cut(start + 2).split_once("::")
    if rest is None:
        raise RefusedError(
            whole.line, "The title begins with :: and has no :: at its end."
        )
    return rest


def _split(whole: Span) -> tuple[Span, Span, Span]:
    """Return what is before, between and after the braces."""
    before, rest = whole.split_once("{")
    _refuse_braces(before, "Write \\} where you mean the character.")
    if rest is None:
        raise RefusedError(
            whole.line,
            "The question has no answers in braces. Descriptions are not supported; "
            "for an essay, end the text with {}.",
        )
    answers, after = rest.split_once("}")
    if after is None:
        raise RefusedError(
            before.cut(before.end - before.start).line,
            "The { on this line is not closed before the next blank line. Add the }, "
            "and take out blank lines between the braces.",
        )
    for part in (answers, after):
        _refuse_braces(
            part,
            "Leave a blank line between questions, and write \\{ or \\} where you mean "
            "the character.",
        )
    return before, answers, after


def _refuse_braces(part: Span, advice: str) -> None:
    if extra := re.search(r"[{}]", part.shape):
        line = part.cut(extra.start()).line
        raise RefusedError(line, f"This {extra[0]} has no counterpart. {advice}")


def _text(before: Span, after: Span) -> str:
    """Return the question's text, with a gap where answers stand within it."""
    if after.is_blank:
        return before.prose()
    source = Source(
        first_line=before.line,
        text=f"{before.text}{BLANK}{after.text}",
        shape=f"{before.shape}{BLANK}{after.shape}",
        points=None,
    )
    return Span(source, 0, len(source.text)).prose()


def _points(source: Source) -> Decimal:
    if source.points is None:
        return Decimal(1)
    written, line = source.points
    points = parse_number(written, line)
    if not 0 < points <= MAX_POINTS or points != round(points, 2):
        raise RefusedError(
            line,
            f"Points must be above 0 and at most {MAX_POINTS}, with no more than two "
            "decimals.",
        )
    return points
