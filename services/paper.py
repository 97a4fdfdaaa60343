"""One student's paper: which question comes where, and with its options in which order.

The order is drawn once, at the start, and stored with the attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from uuid import UUID

from models.attempt import PlacedQuestion
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


def draw_layout(
    exam: Exam, questions: Sequence[OpenQuestion], attempt_id: UUID
) -> list[PlacedQuestion]:
    """Shuffle what the exam wants shuffled; the attempt's id is the seed."""
    # The order is no secret: its owner sees it, and nobody gains by guessing another's.
    random = Random(attempt_id.int)  # noqa: S311
    layout = []
    for question in questions:
        option_ids = [option.id for option in _options(question) or ()]
        if exam.shuffle_options:
            random.shuffle(option_ids)
        layout.append(
            PlacedQuestion(question_id=question.id, option_ids=tuple(option_ids))
        )
    if exam.shuffle_questions:
        random.shuffle(layout)
    return layout


def arrange(
    layout: Sequence[PlacedQuestion], questions: Sequence[OpenQuestion]
) -> list[PaperQuestion]:
    """Put the questions into the order of a layout."""
    by_id = {question.id: question for question in questions}
    return [
        _placed(by_id[placed.question_id], placed, number)
        for number, placed in enumerate(layout, start=1)
    ]


def _placed(
    question: OpenQuestion, placed: PlacedQuestion, number: int
) -> PaperQuestion:
    body = parse_body(question.kind, question.body)
    options = None
    if isinstance(body, ChoiceBody):
        by_id = {option.id: option for option in body.options}
        options = tuple(by_id[option_id] for option_id in placed.option_ids)
    return PaperQuestion(
        id=question.id,
        number=number,
        kind=question.kind,
        text=question.text,
        points=question.points,
        options=options,
        max_characters=body.max_characters if isinstance(body, EssayBody) else None,
    )


def _options(question: OpenQuestion) -> tuple[Option, ...] | None:
    body = parse_body(question.kind, question.body)
    return body.options if isinstance(body, ChoiceBody) else None
