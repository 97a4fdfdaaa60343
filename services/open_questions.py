"""The questions of frozen exams, kept in memory: the same for all who sit an exam.

What makes a paper one student's own, its order and his answers, is never kept.
docs/decisions/0017-start-rush.md
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Lock
from typing import Final, TypeAlias
from uuid import UUID

from models import question
from models.question import OpenQuestion
from models.question_storage import ChoiceBody, EssayBody, Option, parse_body
from models.question_types import QuestionKind
from models.transaction import Transaction

# More exams than begin in the same morning. One has at most a mebibyte of questions.
MAX_EXAMS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """A question without its key. `options` is None for a kind that has none."""

    id: UUID
    kind: QuestionKind
    text: str
    points: Decimal
    options: Mapping[UUID, Option] | None
    max_characters: int | None


# By id, in the exam's order.
Asked: TypeAlias = Mapping[UUID, AskedQuestion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """An exam as it was at one moment. With `frozen_at` its questions never change.

    The version alone would not do: a start that froze the exam and was rolled back
    gives its number back, and another edit may take it. No two freezes have the same
    moment.
    """

    exam_id: UUID
    version: int
    frozen_at: datetime | None


class OpenQuestions:
    """Reads the questions of an edition once for this process. Safe for threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Edition, Asked] = OrderedDict()
        self._lock = Lock()

    def of(self, tx: Transaction, edition: Edition) -> Asked:
        """Return the questions of the edition that `tx` sees."""
        with self._lock:
            kept = self._kept.get(edition)
            if kept is not None:
                self._kept.move_to_end(edition)
                return kept
        # Those who come at once read it at once; nobody waits for another's database.
        rows = question.list_open_by_exam(tx, edition.exam_id)
        asked = {row.id: _parsed(row) for row in rows}
        if edition.frozen_at is not None:
            with self._lock:
                self._kept[edition] = asked
                if len(self._kept) > MAX_EXAMS:
                    self._kept.popitem(last=False)
        return asked


def _parsed(row: OpenQuestion) -> AskedQuestion:
    body = parse_body(row.kind, row.body)
    return AskedQuestion(
        id=row.id,
        kind=row.kind,
        text=row.text,
        points=row.points,
        options={option.id: option for option in body.options}
        if isinstance(body, ChoiceBody)
        else None,
        max_characters=body.max_characters if isinstance(body, EssayBody) else None,
    )
