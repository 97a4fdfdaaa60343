"""What stands between a GIFT question's braces, and the kind that follows from it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import partial
from typing import Final

from models.question_types import (
    MAX_ACCEPTED_ANSWERS,
    Essay,
    MultipleChoice,
    NewOption,
    NewQuestion,
    Numeric,
    QuestionKind,
    ShortText,
    SingleChoice,
    TrueFalse,
)
from services.question_import.gift_source import Span
from services.question_import.result import (
    Findings,
    RefusedError,
    checked,
    parse_number,
)

TRUE: Final = frozenset(("T", "TRUE"))
FALSE: Final = frozenset(("F", "FALSE"))
MARKS: Final = re.compile(r"[~=]")
WEIGHT: Final = re.compile(r"\s*%(-?\d{1,3}(?:\.\d{1,10})?)%", re.ASCII)
# To take it for a part of the answer would make a right one wrong in silence.
LIKE_A_WEIGHT: Final = re.compile(r"\s*%\s*-?\d[\d.,\s]*%", re.ASCII)
ALL: Final = Decimal(100)
# In a short answer Moodle takes a bare asterisk for "anything".
WILDCARD: Final = re.compile(r"(?<!\\)\*")
# Enough for the exact middle of any two numbers that `parse_number` lets through.
EXACT: Final = Context(prec=1_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """What a question has whatever its kind, and the line on which it begins."""

    line: int
    text: str
    text_format: str
    points: Decimal
    feedback: str

    def feedback_with(self, comments: Iterable[tuple[str, str]]) -> str:
        """Return the general feedback and each answer's own, labelled by the answer.

        A question of ours has one feedback, which staff reads beside an answer.
        """
        lines = [f"{label}: {comment}" for label, comment in comments if comment]
        return "\n".join(([self.feedback] if self.feedback else []) + lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    line: int
    mark: str
    weight: Decimal | None
    # What is to be read, and the same with its `:` still known to be one.
    text: str
    span: Span
    comment: str


def read_by_kind(stem: Stem, answers: Span, findings: Findings) -> NewQuestion:
    """Return the question. Raises RefusedError, and pydantic's ValidationError."""
    shape = answers.shape.strip()
    verdict = shape.partition("#")[0]
    if not shape:
        return Essay(
            kind=QuestionKind.ESSAY,
            text=stem.text,
            points=stem.points,
            feedback=stem.feedback,
        )
    if not verdict:
        return _numeric(stem, answers.cut(answers.shape.index("#") + 1))
    if "~" in shape:
        return _choice(stem, _read_answers(answers, stem, stem.text_format), findings)
    if "=" in shape and "->" in shape:
        raise RefusedError(
            answers.line,
            "Matching questions (with ->) are not supported. Ask one single choice "
            "question for each pair.",
        )
    if verdict.strip().upper() in TRUE | FALSE:
        return _true_false(stem, answers, is_true=verdict.strip().upper() in TRUE)
    # Moodle has no HTML in what is typed: List<String> is all of it.
    return _short_text(stem, _read_answers(answers, stem, "plain"))


def _read_answers(answers: Span, stem: Stem, text_format: str) -> list[Answer]:
    if len(MARKS.findall(answers.shape)) > MAX_ACCEPTED_ANSWERS:
        raise RefusedError(
            answers.line,
            f"There are more than {MAX_ACCEPTED_ANSWERS} answers. Write \\= or \\~ "
            "where you mean the character.",
        )
    (_, stray), *pieces = answers.pieces(MARKS)
    if not stray.is_blank:
        raise RefusedError(
            stray.line,
            "Text stands before the first answer. Begin a right answer with = and a "
            "wrong one with ~.",
        )
    return [_read_answer(mark, piece, stem, text_format) for mark, piece in pieces]


def _read_answer(mark: str, piece: Span, stem: Stem, text_format: str) -> Answer:
    weight: Decimal | None = None
    if found := WEIGHT.match(piece.text):
        weight = Decimal(found[1])
        piece = piece.cut(found.end())
    elif LIKE_A_WEIGHT.match(piece.text):
        raise RefusedError(
            piece.line,
            "What stands between % and % is no weight: write it as 50 or 33.333, with "
            "a point and without spaces.",
        )
    span, comment = piece.split_once("#")
    answer = Answer(
        line=span.line,
        mark=mark,
        weight=weight,
        text=span.prose(text_format),
        span=span,
        comment=comment.prose(stem.text_format) if comment else "",
    )
    if not answer.text:
        raise RefusedError(
            answer.line, f"An answer is empty. Write something after the {mark}."
        )
    return answer


def _comments(answers: Sequence[Answer]) -> list[tuple[str, str]]:
    return [(answer.text, answer.comment) for answer in answers]


def _choice(stem: Stem, answers: Sequence[Answer], findings: Findings) -> NewQuestion:
    marked = [answer for answer in answers if answer.mark == "="]
    positive = [a for a in answers if a.mark == "~" and a.weight and a.weight > 0]
    if not marked and not positive:
        raise RefusedError(stem.line, "No answer is right. Put = before the right one.")
    if len(marked) > 1:
        raise RefusedError(
            marked[1].line,
            f"{len(marked)} answers are marked right with =. Write \\= where you mean "
            "the character. If the student is to tick several, put ~%50% and the like "
            "before the right ones.",
        )
    for answer in marked:
        if answer.weight not in (None, ALL):
            raise RefusedError(
                answer.line,
                "The answer marked with = earns all points: take out its %.",
            )
    feedback = stem.feedback_with(_comments(answers))
    if not marked:
        return MultipleChoice(
            kind=QuestionKind.MULTIPLE_CHOICE,
            text=stem.text,
            points=stem.points,
            feedback=feedback,
            options=tuple(_option(a, is_correct=a in positive) for a in answers),
        )
    for answer in positive:
        if answer.weight == ALL:
            raise RefusedError(
                answer.line,
                "Two answers earn all points, one by = and one by %100%. Leave one.",
            )
        findings.note(
            answer.line,
            f"Part marks are not supported: '{answer.text[:80]}' counts as wrong.",
        )
    return SingleChoice(
        kind=QuestionKind.SINGLE_CHOICE,
        text=stem.text,
        points=stem.points,
        feedback=feedback,
        options=tuple(_option(a, is_correct=a.mark == "=") for a in answers),
    )


def _option(answer: Answer, *, is_correct: bool) -> NewOption:
    make = partial(NewOption, text=answer.text, is_correct=is_correct)
    return checked(answer.line, make, what="The answer")


def _true_false(stem: Stem, answers: Span, *, is_true: bool) -> NewQuestion:
    # {T#for who answered wrongly#for who answered rightly}
    _, comments = answers.split_once("#")
    wrong, right = comments.split_once("#") if comments else (None, None)
    for_right = right.prose(stem.text_format) if right else ""
    for_wrong = wrong.prose(stem.text_format) if wrong else ""
    by_answer = (for_right, for_wrong) if is_true else (for_wrong, for_right)
    return TrueFalse(
        kind=QuestionKind.TRUE_FALSE,
        text=stem.text,
        points=stem.points,
        feedback=stem.feedback_with(zip(("True", "False"), by_answer, strict=True)),
        correct=is_true,
    )


def _short_text(stem: Stem, answers: Sequence[Answer]) -> NewQuestion:
    for answer in answers:
        if answer.weight not in (None, ALL, Decimal(0)):
            raise RefusedError(
                answer.line,
                "Part marks for a short answer (=%50%) are not supported. Take out the "
                "answer, or its %.",
            )
        if WILDCARD.search(answer.text):
            raise RefusedError(
                answer.line,
                "The * of a short answer, for any text, is not supported. List the "
                "answers, or write \\* where you mean the character.",
            )
    # What earns nothing stands there for the sake of its comment.
    accepted = [answer for answer in answers if answer.weight != 0]
    return ShortText(
        kind=QuestionKind.SHORT_TEXT,
        text=stem.text,
        points=stem.points,
        feedback=stem.feedback_with(_comments(answers)),
        accepted_answers=tuple(a.text.replace("\\*", "*") for a in accepted),
    )


def _numeric(stem: Stem, answers: Span) -> NewQuestion:
    right, wrong = answers.split_once("~")
    (_, single), *marked = right.pieces(re.compile("="))
    if len(marked) > 1 or (marked and not single.is_blank):
        raise RefusedError(
            answers.line,
            "Several numeric answers to one question are not supported. Leave one, "
            "with a tolerance (3.14:0.01) or as a range (3.13..3.15).",
        )
    answer = _read_answer("#", marked[0][1] if marked else single, stem, "plain")
    if answer.weight not in (None, ALL):
        raise RefusedError(
            answer.line, "Part marks for a number (=%50%) are not supported."
        )
    comments = _comments([answer])
    if wrong is not None:
        _, otherwise = wrong.split_once("#")
        comments.append(
            ("Otherwise", otherwise.prose(stem.text_format) if otherwise else "")
        )
    value, tolerance = _value_and_tolerance(answer)
    return Numeric(
        kind=QuestionKind.NUMERIC,
        text=stem.text,
        points=stem.points,
        feedback=stem.feedback_with(comments),
        answer=value,
        tolerance=tolerance,
    )


def _value_and_tolerance(answer: Answer) -> tuple[Decimal, Decimal]:
    low, high = answer.span.split_once("..")
    if high is not None:
        lowest = parse_number(low.text.strip(), answer.line)
        highest = parse_number(high.text.strip(), answer.line)
        if lowest > highest:
            raise RefusedError(
                answer.line, "The range is upside down: write the smaller number first."
            )
        middle = EXACT.divide(EXACT.add(lowest, highest), Decimal(2))
        return middle, EXACT.subtract(highest, middle)
    value, tolerance = answer.span.split_once(":")
    number = parse_number(value.text.strip(), answer.line)
    if tolerance is None:
        return number, Decimal(0)
    margin = parse_number(tolerance.text.strip(), answer.line)
    if margin < 0:
        raise RefusedError(answer.line, "The tolerance after the : is below 0.")
    return number, margin
