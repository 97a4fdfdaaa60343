"""One student's paper: which question comes where, and with its options in which order.

The order is drawn once, at the start, and stored with the attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from uuid import UUID

from models import answer, attempt, attempt_activity, question
from models.answer import Answer
from models.attempt import Attempt, PlacedQuestion
from models.database import Transaction
from models.exam import Exam
from models.question import OpenQuestion
from models.question_storage import ChoiceBody, EssayBody, Option, parse_body
from models.question_types import QuestionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperQuestion:
    """A question as this student sees it. There is no key in it."""

    id: UUID
    number: int
    kind: QuestionKind
    text: str
    points: Decimal
    options: tuple[Option, ...] | None
    max_characters: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """An attempt with its questions and answers, which are empty once it has ended."""

    attempt: Attempt
    questions: Sequence[PaperQuestion]
    answers: Sequence[Answer]
    # Where a device that lost its counter goes on counting its events.
    next_sequence: int


def read(tx: Transaction, own: Attempt) -> Paper:
    """Read what an attempt's student may see of it."""
    following = attempt_activity.next_sequence(tx, own.id)
    # Who has finished would otherwise carry the questions to those who have not.
    if not own.is_running:
        return Paper(attempt=own, questions=(), answers=(), next_sequence=following)
    layout = attempt.get_layout(tx, own.id)
    questions = question.list_open_by_exam(tx, own.exam_id)
    return Paper(
        attempt=own,
        questions=arrange(layout, questions),
        answers=answer.list_by_attempts(tx, [own.id]),
        next_sequence=following,
    )


def draw_layout(
    exam: Exam, questions: Sequence[OpenQuestion], attempt_id: UUID
) -> list[PlacedQuestion]:
    """Shuffle what the exam wants shuffled; the attempt's id is the seed."""
    # The order is no secret: its owner sees it, and nobody gains by guessing another's.
    random = Random(attempt_id.int)  # noqa: S311
    layout = []
    for asked in questions:
        body = parse_body(asked.kind, asked.body)
        options = body.options if isinstance(body, ChoiceBody) else ()
        option_ids = [option.id for option in options]
        if exam.shuffle_options:
            random.shuffle(option_ids)
        layout.append(
            PlacedQuestion(question_id=asked.id, option_ids=tuple(option_ids))
        )
    if exam.shuffle_questions:
        random.shuffle(layout)
    return layout


def arrange(
    layout: Sequence[PlacedQuestion], questions: Sequence[OpenQuestion]
) -> list[PaperQuestion]:
    """Put the questions into the order of a layout."""
    by_id = {asked.id: asked for asked in questions}
    return [
        _placed(by_id[placed.question_id], placed, number)
        for number, placed in enumerate(layout, start=1)
    ]


def _placed(asked: OpenQuestion, placed: PlacedQuestion, number: int) -> PaperQuestion:
    body = parse_body(asked.kind, asked.body)
    options = None
    if isinstance(body, ChoiceBody):
        by_id = {option.id: option for option in body.options}
        options = tuple(by_id[option_id] for option_id in placed.option_ids)
    return PaperQuestion(
        id=asked.id,
        number=number,
        kind=asked.kind,
        text=asked.text,
        points=asked.points,
        options=options,
        max_characters=body.max_characters if isinstance(body, EssayBody) else None,
    )
