"""What the page of a bundle says of an attempt as a whole."""

from collections.abc import Mapping
from typing import Final

from models.attempt import RUNNING, AttemptStatus, EndedBy
from models.evidence import AttemptRow
from services.evidence_markup import duration, utc

ENDED_BY: Final[Mapping[str, str]] = {
    EndedBy.STUDENT: "the student's login",
    EndedBy.DEADLINE: "the deadline",
    EndedBy.EXAM_CLOSED: "the closing of the exam",
    EndedBy.PROCTOR: "a proctor",
    EndedBy.ADMIN: "an admin",
}


def facts(found: AttemptRow) -> Mapping[str, str]:
    return {
        "Student": f"{found.student_name} ({found.student_email})",
        "Attempt": f"number {found.attempt_number}, {found.id}",
        "Status": found.status.replace("_", " "),
        "Started": utc(found.started_at),
        "Deadline": utc(found.deadline_at),
        "Pauses": _pauses(found),
        "Time given in addition": duration(found.extended_seconds),
        "Ended": _end(found),
        **_written("Reason of the end", found.end_reason),
        "Score": _score(found),
        "Review": _review(found),
        **_written("Note of the review", found.review_note),
    }


def _written(name: str, words: str | None) -> Mapping[str, str]:
    return {} if words is None else {name: words}


def _pauses(found: AttemptRow) -> str:
    lasted = duration(found.paused_seconds)
    if found.status == AttemptStatus.PAUSED and found.paused_at is not None:
        return f"{lasted}, and paused since {utc(found.paused_at)}"
    return lasted


def _end(found: AttemptRow) -> str:
    if found.ended_at is None or found.ended_by is None:
        return "not yet"
    return f"{utc(found.ended_at)}, by {ENDED_BY.get(found.ended_by, found.ended_by)}"


def _review(found: AttemptRow) -> str:
    status = found.review_status.replace("_", " ")
    if found.reviewed_by is None or found.reviewed_at is None:
        return status
    return f"{status}, by staff, {found.reviewed_by}, at {utc(found.reviewed_at)}"


def _score(found: AttemptRow) -> str:
    if found.status == AttemptStatus.VOIDED:
        return "none: the attempt was declared void"
    if found.score is not None:
        return f"{found.score} of {found.max_score}"
    why = (
        "the attempt has not ended"
        if found.status in RUNNING
        else "a person has yet to grade an answer"
    )
    return f"none yet, of {found.max_score}: {why}"
