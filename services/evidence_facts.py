"""What the page of a bundle says of an attempt as a whole."""

from collections.abc import Mapping
from typing import Final

from models.attempt import AttemptStatus
from models.evidence import AttemptRow
from services.evidence_markup import time

RUNNING: Final = frozenset({AttemptStatus.IN_PROGRESS, AttemptStatus.PAUSED})


def facts(found: AttemptRow) -> Mapping[str, str]:
    return {
        "Student": f"{found.student_name} ({found.student_email})",
        "Attempt": f"number {found.attempt_number}, {found.id}",
        "Status": found.status.replace("_", " "),
        "Started": time(found.started_at),
        "Deadline": time(found.deadline_at),
        "Ended": f"{time(found.ended_at)}, by {found.ended_by}"
        if found.ended_at
        else "not yet",
        "Score": _score(found),
        "Review": found.review_status.replace("_", " "),
    }


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
