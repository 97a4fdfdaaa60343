"""How an attempt ends: what was saved is graded, and nothing is written any more.

The one way for the student's submission, the deadline, the closing of the exam and the
proctor. The functions take locked rows and belong to the caller's transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Final, Literal
from uuid import UUID

from models import answer, attempt, attempt_activity, attempt_steps, exam, question
from models.answer import Answer, Mark
from models.attempt import Attempt, AttemptStatus, EndedBy
from models.attempt_steps import Outcome
from models.audit_event import AuditEvent
from models.exam import Exam
from models.question import Question
from models.question_response import parse_response
from models.transaction import Transaction
from services import audit, grading
from services.attempt_clock import clock_of
from services.server_events import record_server_events
from utils.blockchain_hasher import canonical_json

Actor = UUID | Literal[audit.Actor.SYSTEM]

# So many are ended in one transaction, for which whoever saves in one of them waits.
AT_ONCE: Final = 50


def portions(attempt_ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """Part what has to be ended into what is ended in one transaction."""
    for first in range(0, len(attempt_ids), AT_ONCE):
        yield attempt_ids[first : first + AT_ONCE]


def end(
    tx: Transaction,
    running: Sequence[Attempt],
    ended_by: EndedBy,
    actor: Actor,
    *,
    status: AttemptStatus = AttemptStatus.SUBMITTED,
    reason: str | None = None,
) -> list[Attempt]:
    """Grade and end running attempts of one exam, in as many statements as one."""
    if not running:
        return []
    its_exam = exam.get_of_row(tx, running[0].exam_id)
    questions = {q.id: q for q in question.list_by_exam(tx, its_exam.id)}
    ids = [one.id for one in running]
    answers = _by_attempt(answer.list_by_attempts(tx, ids))
    marks = {
        attempt_id: [_mark(questions[each.question_id], each) for each in given]
        for attempt_id, given in answers.items()
    }
    answer.mark(tx, [mark for each in marks.values() for mark in each])
    outcomes = [outcome(its_exam, one, marks.get(one.id, [])) for one in running]
    ended = attempt_steps.end(tx, outcomes, status, ended_by, reason)
    attempt_activity.request_analysis(tx, ids)
    for one in ended:
        _record(tx, one, answers.get(one.id, []), actor)
    is_terminated = status is AttemptStatus.TERMINATED
    _note_gaps(tx, ids)
    record_server_events(
        tx,
        "session.terminated" if is_terminated else "session.submitted",
        {one.id: {"ended_by": str(ended_by)} for one in ended},
        # Somebody may have come late to note it: the time after it is no sitting.
        occurred_at={one.id: one.ended_at for one in ended if one.ended_at},
    )
    return ended


def end_overdue(tx: Transaction, running: Sequence[Attempt]) -> list[Attempt]:
    """End those of one exam whose time is over, and return the others.

    Whoever decides about running attempts does this first: what becomes of a student
    does not depend on whether the sweeper was there before.
    """
    over = [one for one in running if one.is_overdue]
    end(tx, over, EndedBy.DEADLINE, audit.SYSTEM)
    return [one for one in running if not one.is_overdue]


def lock_running(tx: Transaction, exam_id: UUID) -> list[Attempt]:
    """Lock those who still sit an exam; whose time is over is ended first."""
    return end_overdue(tx, attempt.lock_running_of_exam(tx, exam_id))


def end_all(tx: Transaction, running: Sequence[Attempt], actor: Actor) -> list[Attempt]:
    """Submit locked attempts of a closing exam, which the caller has locked or shares.

    Whose time is over was ended by the deadline.
    """
    return end(tx, end_overdue(tx, running), EndedBy.EXAM_CLOSED, actor)


def void_all(
    tx: Transaction, exam_id: UUID, actor: Actor, reason: str
) -> list[Attempt]:
    """Void all that run of a cancelled exam, which the caller has locked."""
    running = lock_running(tx, exam_id)
    return void(tx, running, EndedBy.EXAM_CLOSED, actor, reason)


def void(
    tx: Transaction,
    attempts: Sequence[Attempt],
    ended_by: EndedBy,
    actor: Actor,
    reason: str,
) -> list[Attempt]:
    """Declare locked attempts worth nothing. A voided attempt uses up no attempt."""
    before = {one.id: one for one in attempts}
    voided = attempt_steps.void(tx, list(before), ended_by, reason)
    for one in voided:
        audit.append_of_attempt(
            tx,
            AuditEvent.ATTEMPT_VOIDED,
            one.id,
            actor=actor,
            payload={
                "previous_status": before[one.id].status,
                "previous_score": before[one.id].score,
                "reason": reason,
                "ended_at": one.ended_at,
                "ended_by": one.ended_by,
            },
        )
    return voided


def outcome(its_exam: Exam, one: Attempt, marks: Iterable[Mark]) -> Outcome:
    """Return what an attempt is worth; an unanswered question is worth nothing."""
    score = grading.total(mark.points for mark in marks)
    return Outcome(
        attempt_id=one.id,
        score=score,
        is_passed=None
        if score is None
        else grading.is_passed(score, one.max_score, its_exam.passing_score_percent),
    )


def answers_digest(answers: Iterable[Answer]) -> str:
    """Return the SHA-256, in hex, of the RFC 8785 form of an attempt's answers.

    `{"answers": [{question_id, response, client_version}, …]}`, by question_id.
    """
    given = [
        {
            "question_id": str(each.question_id),
            "response": each.response,
            "client_version": each.client_version,
        }
        for each in sorted(answers, key=lambda each: each.question_id)
    ]
    return sha256(canonical_json({"answers": given}).encode()).hexdigest()


def _by_attempt(answers: Iterable[Answer]) -> dict[UUID, list[Answer]]:
    # They come ordered by attempt.
    grouped = groupby(answers, key=lambda each: each.attempt_id)
    return {attempt_id: list(group) for attempt_id, group in grouped}


def _mark(asked: Question, given: Answer) -> Mark:
    response = parse_response(asked.kind, asked.body, given.response)
    return Mark(
        attempt_id=given.attempt_id,
        question_id=given.question_id,
        points=grading.grade(asked, response),
    )


def _note_gaps(tx: Transaction, attempt_ids: Sequence[UUID]) -> None:
    """Note what has not arrived by the end. The analysis counts it for itself."""
    record_server_events(
        tx,
        "client.event_gap",
        {
            gap.attempt_id: {
                "missing_events": gap.missing_events,
                "highest_sequence": gap.highest_sequence,
            }
            for gap in attempt_activity.list_gaps(tx, attempt_ids)
        },
    )


def _record(
    tx: Transaction, ended: Attempt, answers: Sequence[Answer], actor: Actor
) -> None:
    if ended.status is AttemptStatus.TERMINATED:
        event_type = AuditEvent.ATTEMPT_TERMINATED
    elif ended.ended_by is EndedBy.STUDENT:
        event_type = AuditEvent.ATTEMPT_SUBMITTED
    else:
        event_type = AuditEvent.ATTEMPT_ENDED
    audit.append_of_attempt(
        tx,
        event_type,
        ended.id,
        actor=actor,
        payload={
            "status": ended.status,
            "ended_by": ended.ended_by,
            "ended_at": ended.ended_at,
            "reason": ended.end_reason,
            "score": ended.score,
            "max_score": ended.max_score,
            "is_passed": ended.is_passed,
            "clock": clock_of(ended),
            "answered": sum(each.response is not None for each in answers),
            "answers_digest": answers_digest(answers),
        },
    )
