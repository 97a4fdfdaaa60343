"""When an exam may be changed: the rules that all its editors share."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid4

from models import exam, question
from models.assignment import Assignment
from models.exam import NEXT_STATUSES, OPEN_STATUSES, Exam, ExamContent
from models.question import Question
from models.question_storage import QuestionView, from_storage, to_storage
from models.question_types import NewQuestion, QuestionKind
from models.transaction import Transaction, columns_of
from services import errors
from services.access import ExamNotFoundError
from services.grading import CENT
from services.versions import ExpectedVersions
from utils.blockchain_hasher import canonical_json
from utils.uuid7 import uuid7

# What attempts were begun under, and nobody may change behind their backs.
FROZEN_FIELDS: Final = frozenset(
    {
        "duration_minutes",
        "passing_score_percent",
        "shuffle_questions",
        "shuffle_options",
        "proctoring",
    }
)


class ExamClosedError(errors.ConflictError):
    slug = "exam-closed"
    title = "The exam is closed"

    def __init__(self, found: Exam) -> None:
        super().__init__(
            f"The exam is {found.status}, and can not be changed any more.",
            current_status=found.status,
            allowed_actions=["duplicate", *NEXT_STATUSES[found.status]],
        )


class ExamFrozenError(errors.ConflictError):
    slug = "exam-frozen"
    title = "The exam is frozen"

    def __init__(self, found: Exam, what: Sequence[str]) -> None:
        super().__init__(
            "Somebody has begun this exam, so what he was asked and by which rules "
            f"can not change any more: {', '.join(what)}.",
            current_status=found.status,
            allowed_actions=["duplicate"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamDetail(Exam):
    """An exam with its content. Questions come with their keys, so for admins alone."""

    question_count: int
    total_points: Decimal
    allowed_statuses: Sequence[str]
    # None: not for this reader.
    questions: Sequence[QuestionView] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What the log says of a question: enough to prove it, and not what it asks."""

    id: UUID
    position: int
    kind: QuestionKind
    points: Decimal
    sha256: str


def lock_exam(tx: Transaction, exam_id: UUID, expected: ExpectedVersions) -> Exam:
    """Lock an exam for change. Raises ExamNotFoundError and VersionMismatchError."""
    found = exam.get_for_update(tx, exam_id)
    if found is None:
        raise ExamNotFoundError(exam_id)
    expected.check(found.version)
    return found


def share_exam(tx: Transaction, exam_id: UUID) -> Exam:
    """Keep an exam as it is while students start it. Raises ExamNotFoundError."""
    found = exam.get_for_share(tx, exam_id)
    if found is None:
        raise ExamNotFoundError(exam_id)
    return found


def require_open(found: Exam) -> None:
    """Raise ExamClosedError for an exam that is over or was cancelled."""
    if found.status not in OPEN_STATUSES:
        raise ExamClosedError(found)


def require_editable_questions(found: Exam) -> None:
    """Raise ExamClosedError or ExamFrozenError if its questions can not change."""
    require_open(found)
    if found.frozen_at is not None:
        raise ExamFrozenError(found, ["questions"])


def changes(before: ExamContent, after: ExamContent) -> dict[str, dict[str, object]]:
    """Return each field that differs with its two values, for the log."""
    return {
        field.name: {
            "before": getattr(before, field.name),
            "after": getattr(after, field.name),
        }
        for field in fields(ExamContent)
        if getattr(before, field.name) != getattr(after, field.name)
    }


def detail(tx: Transaction, found: Exam, *, with_questions: bool = True) -> ExamDetail:
    columns = columns_of(found)
    if not with_questions:
        extent = question.extent(tx, found.id)
        return ExamDetail(
            **columns,
            question_count=extent.question_count,
            total_points=extent.total_points,
            allowed_statuses=NEXT_STATUSES[found.status],
            questions=None,
        )
    questions = question.list_by_exam(tx, found.id)
    return ExamDetail(
        **columns,
        question_count=len(questions),
        total_points=sum((q.points for q in questions), Decimal(0)),
        allowed_statuses=NEXT_STATUSES[found.status],
        questions=[from_storage(q.id, q.position, q) for q in questions],
    )


def numbered(
    exam_id: UUID, new: Sequence[NewQuestion], *, first: int
) -> list[Question]:
    """Return new questions as rows, in positions that begin with `first`."""
    rows = []
    for position, asked in enumerate(new, start=first):
        # Ids that sort by time would tell in which order the options were written,
        # and often the right one was first.
        stored = to_storage(asked, uuid4)
        rows.append(
            Question(
                id=uuid7(),
                exam_id=exam_id,
                position=position,
                kind=stored.kind,
                text=stored.text,
                points=stored.points,
                body=stored.body,
                answer_key=stored.answer_key,
            )
        )
    return rows


def fingerprint(asked: Question) -> Fingerprint:
    whole = canonical_json(
        {
            "kind": asked.kind,
            "text": asked.text,
            "points": asked.points.quantize(CENT),
            "body": asked.body,
            "answer_key": asked.answer_key,
        }
    )
    return Fingerprint(
        id=asked.id,
        position=asked.position,
        kind=asked.kind,
        points=asked.points.quantize(CENT),
        sha256=sha256(whole.encode()).hexdigest(),
    )


def fingerprints(asked: Sequence[Question]) -> list[Fingerprint]:
    return [fingerprint(one) for one in asked]


def granted(found: Assignment) -> dict[str, object]:
    """Say in an entry who was assigned, and with which accommodation."""
    return {
        "student_id": found.student_id,
        "extra_time_minutes": found.extra_time_minutes,
        "time_multiplier": found.time_multiplier,
    }
