"""One student's paper: which question comes where, and with its options in which order.

The order is drawn once, at the start, and stored with the attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from random import Random
from uuid import UUID

from models import answer, attempt_activity, attempt_seat
from models.answer import Answer
from models.attempt import Attempt, PlacedQuestion
from models.attempt_seat import Seat
from models.exam import Exam
from models.question_storage import Option
from models.question_types import QuestionKind
from models.transaction import Transaction
from services.health_service import VERSION
from services.open_questions import Asked, AskedQuestion, Edition, OpenQuestions


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The questions of a running attempt in their order, and nothing that changes."""

    attempt_id: UUID
    edition: Edition
    layout: Sequence[PlacedQuestion]
    asked: Asked

    @property
    def questions(self) -> list[PaperQuestion]:
        """Arranged anew each time: who has it already needs none of that."""
        return arrange(self.layout, self.asked)

    @property
    def tag(self) -> str:
        """Name these very bytes. No other attempt, and no other release, has them."""
        names = (self.attempt_id, self.edition.version, self.edition.frozen_at, VERSION)
        return sha256("|".join(map(str, names)).encode()).hexdigest()[:32]


def read(tx: Transaction, own: Attempt, questions: OpenQuestions) -> Paper:
    """Read what an attempt's student may see of it."""
    # Who has finished would otherwise carry the questions to those who have not.
    if not own.is_running:
        following = attempt_activity.next_sequence(tx, own.id)
        return Paper(attempt=own, questions=(), answers=(), next_sequence=following)
    seat = attempt_seat.get(tx, own.id)
    return Paper(
        attempt=own,
        questions=arrange(seat.layout, questions.of(tx, _edition(own, seat))),
        answers=answer.list_by_attempts(tx, [own.id]),
        next_sequence=seat.next_sequence,
    )


def read_sheet(tx: Transaction, own: Attempt, questions: OpenQuestions) -> Sheet:
    """Read the questions of an attempt that runs."""
    seat = attempt_seat.get(tx, own.id)
    edition = _edition(own, seat)
    return Sheet(
        attempt_id=own.id,
        edition=edition,
        layout=seat.layout,
        asked=questions.of(tx, edition),
    )


def _edition(own: Attempt, seat: Seat) -> Edition:
    return Edition(
        exam_id=own.exam_id, version=seat.exam_version, frozen_at=seat.frozen_at
    )


def draw_layout(exam: Exam, asked: Asked, attempt_id: UUID) -> list[PlacedQuestion]:
    """Shuffle what the exam wants shuffled; the attempt's id is the seed."""
    # The order is no secret: its owner sees it, and nobody gains by guessing another's.
    random = Random(attempt_id.int)  # noqa: S311
    layout = []
    for each in asked.values():
        option_ids = list(each.options or ())
        if exam.shuffle_options:
            random.shuffle(option_ids)
        layout.append(PlacedQuestion(question_id=each.id, option_ids=tuple(option_ids)))
    if exam.shuffle_questions:
        random.shuffle(layout)
    return layout


def arrange(layout: Sequence[PlacedQuestion], asked: Asked) -> list[PaperQuestion]:
    """Put the questions into the order of a layout."""
    return [
        _placed(asked[placed.question_id], placed, number)
        for number, placed in enumerate(layout, start=1)
    ]


def _placed(each: AskedQuestion, placed: PlacedQuestion, number: int) -> PaperQuestion:
    options = None
    if each.options is not None:
        options = tuple(each.options[option_id] for option_id in placed.option_ids)
    return PaperQuestion(
        id=each.id,
        number=number,
        kind=each.kind,
        text=each.text,
        points=each.points,
        options=options,
        max_characters=each.max_characters,
    )
