"""Time given back to everybody who sits an exam, after something went wrong for all.

Every attempt gets it once for each incident, whatever is sent again and whoever comes
late: that it was given is an event of the attempt, and its row is locked meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, Literal
from uuid import UUID

from pydantic import JsonValue

from models import attempt, attempt_steps, exam, proctoring
from models.attempt import Attempt, EndedBy
from models.audit_event import AuditEvent
from models.database import Database
from models.principal import Principal
from models.transaction import Transaction
from services import attempt_ending, audit, errors
from services.attempt_clock import moved
from services.attempt_errors import (
    MAX_EXTENDED_SECONDS,
    AttemptStepError,
    EvidenceErasedError,
    ExamNotOpenError,
    ExtensionTooLongError,
    NoTimeLeftError,
    OwnAttemptError,
    StudentSitsAnotherError,
)
from services.attempt_reopening import NO_REOPENING, lock_for_reopening, reopen
from services.deadlines import end_overdue_of_exam
from services.errors import in_our_words
from services.exam_editing import share_exam
from services.server_events import record_server_event, record_server_events

LONGEST_INCIDENT: Final = timedelta(hours=24)


class IncidentTooOldError(errors.UnprocessableError):
    slug = "incident-too-old"
    title = "Incident too long ago"

    def __init__(self) -> None:
        super().__init__(
            "Attempts are reopened for what happened within the last 24 hours.",
            [("#/since", "Must be a time within the last 24 hours.")],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What went wrong. `name` tells it from others of the same exam.

    `since`, if given, is when it began: whose time ran out after that goes on with what
    he had left then, at most `minutes`.
    """

    name: str
    reason: str
    minutes: int
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Whom the incident was made good to now, and whom before."""

    extended: Sequence[UUID]
    reopened: Sequence[UUID]
    already_granted: Sequence[UUID]
    # Ended by the deadline, and now sitting something else, of an archived exam,
    # erased, or the admin's own.
    not_reopened: Sequence[UUID]


Outcome = Literal["reopened", "already_granted", "not_reopened"]


class ExtraTime:
    def __init__(self, database: Database) -> None:
        self._database = database

    def grant(self, incident: Incident, admin: Principal, exam_id: UUID) -> Granted:
        """Extend all that run, in one transaction; then reopen, each in its own.

        Whose time is over is ended before, whether or not the sweeper is late. When it
        is interrupted, the same again does the rest. The admin's own attempt is left to
        another admin, who sends the same. Raises ExamNotFoundError,
        ExtensionTooLongError and IncidentTooOldError.
        """
        end_overdue_of_exam(self._database, exam_id)
        with self._database.transaction() as tx:
            share_exam(tx, exam_id)
            _check_time(tx, incident)
            running = attempt_ending.lock_running(tx, exam_id)
            before = _granted_before(tx, running, incident)
            due = [
                one
                for one in running
                if one.id not in before and one.student_id != admin.id
            ]
            _extend(tx, due, incident, admin, exam_id)
        found: dict[Outcome, list[UUID]] = {
            "reopened": [],
            "already_granted": sorted(before),
            "not_reopened": [],
        }
        for attempt_id in self._ended_since(exam_id, incident):
            found[self._reopen(incident, admin, attempt_id)].append(attempt_id)
        return Granted(extended=[one.id for one in due], **found)

    def _ended_since(self, exam_id: UUID, incident: Incident) -> list[UUID]:
        if incident.since is None:
            return []
        with self._database.read() as tx:
            return attempt.list_ended_by_deadline(tx, exam_id, incident.since)

    def _reopen(
        self, incident: Incident, admin: Principal, attempt_id: UUID
    ) -> Outcome:
        try:
            with in_our_words(NO_REOPENING), self._database.transaction() as tx:
                ended = lock_for_reopening(tx, admin, attempt_id)
                if ended.ended_by is not EndedBy.DEADLINE:
                    # Somebody else has done something about it just now.
                    return "not_reopened"
                if _granted_before(tx, [ended], incident):
                    return "already_granted"
                lost = _seconds_lost(ended, incident)
                if ended.extended_seconds + lost > MAX_EXTENDED_SECONDS:
                    return "not_reopened"
                reopen(tx, admin, ended, incident.reason, lost)
                note = _note(incident, lost)
                record_server_event(tx, ended.id, "session.extended", note)
        except (
            AttemptStepError,
            EvidenceErasedError,
            ExamNotOpenError,
            NoTimeLeftError,
            OwnAttemptError,
            StudentSitsAnotherError,
        ):
            # One that can not go on does not keep the others from it.
            return "not_reopened"
        return "reopened"


def _check_time(tx: Transaction, incident: Incident) -> None:
    """Raise IncidentTooOldError unless it began within the last 24 hours."""
    if incident.since is None:
        return
    age = exam.now(tx) - incident.since
    if not timedelta() <= age <= LONGEST_INCIDENT:
        raise IncidentTooOldError


def _granted_before(
    tx: Transaction, locked: Sequence[Attempt], incident: Incident
) -> frozenset[UUID]:
    """Return those that have it. The locks keep others from giving it meanwhile."""
    extended = [one.id for one in locked if one.extended_seconds > 0]
    return proctoring.list_compensated(tx, extended, incident.name)


def _seconds_lost(ended: Attempt, incident: Incident) -> int:
    """Return what was left when it began. The pause since the end counts by itself."""
    if ended.ended_at is None or incident.since is None:
        raise LookupError("nothing was lost")
    left = (ended.ended_at - incident.since).total_seconds()
    return min(60 * incident.minutes, ceil(left))


def _extend(
    tx: Transaction,
    due: Sequence[Attempt],
    incident: Incident,
    admin: Principal,
    exam_id: UUID,
) -> None:
    if not due:
        return
    seconds = 60 * incident.minutes
    if any(one.extended_seconds + seconds > MAX_EXTENDED_SECONDS for one in due):
        raise ExtensionTooLongError("minutes")
    deadlines = {one.id: one.deadline_at for one in due}
    after = attempt_steps.extend_many(tx, list(deadlines), seconds)
    audit.append(
        tx,
        AuditEvent.EXAM_EXTRA_TIME_GRANTED,
        "exam",
        exam_id,
        actor=admin.id,
        payload={
            "incident": incident.name,
            "reason": incident.reason,
            "minutes": incident.minutes,
            "since": incident.since,
            "attempts": len(after),
        },
    )
    for one in after:
        audit.append_of_attempt(
            tx,
            AuditEvent.ATTEMPT_EXTENDED,
            one.id,
            actor=admin.id,
            payload={
                "reason": incident.reason,
                "incident": incident.name,
                **moved(deadlines[one.id], one),
            },
        )
    note = _note(incident, seconds)
    record_server_events(tx, "session.extended", {one.id: note for one in after})


def _note(incident: Incident, seconds: int) -> dict[str, JsonValue]:
    return {
        "incident": incident.name,
        "reason": incident.reason,
        "seconds": seconds,
    }
