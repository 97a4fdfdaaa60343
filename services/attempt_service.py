"""What a student does with an attempt: start, go on, save, submit."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Final, Literal
from uuid import UUID

from pydantic import JsonValue

from models import answer, attempt, attempt_activity, attempt_receipt, question
from models.answer import NewAnswer, SavedVersion, StoredVersion
from models.attempt import NETWORK_LEEWAY, Attempt, AttemptStatus, EndedBy
from models.attempt_activity import Refused
from models.audit_event import AuditEvent
from models.database import Database
from models.page import Page, paged
from models.principal import Principal
from models.question import OpenQuestion
from models.question_response import (
    ResponseMismatchError,
    parse_response,
    response_to_json,
)
from models.transaction import Transaction
from services import attempt_ending, attempt_start, audit, paper
from services.attempt_errors import (
    AnswersInvalidError,
    AnswerVersionReusedError,
    AttemptHeldElsewhereError,
    AttemptNotFoundError,
    AttemptOverError,
    AttemptPausedError,
    DeadlineNotReachedError,
    ExamClosedMeanwhileError,
    NoReceiptError,
)
from services.attempt_start import Started
from services.errors import in_our_words
from services.event_intake import CONCURRENT_CODE
from services.exam_session_security import require_hold
from services.open_questions import OpenQuestions
from services.paper import Paper, Sheet
from services.server_events import record_server_event
from services.tokens import InvalidTokenError


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAnswer:
    """An answer as it came: nobody has looked at the response yet."""

    question_id: UUID
    response: JsonValue
    client_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is stored now for each question of a save, in the order of the request."""

    attempt: Attempt
    saved: Sequence[SavedVersion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What proves a submission: an audit entry, and the score as it was then."""

    attempt: Attempt
    score: Decimal | None
    # None once the answers were erased.
    answers_digest: str | None
    receipt_hash: str
    audit_seq: int


NO_START: Final = {
    "attempts_student_active": InvalidTokenError,
    "attempts_deadline_check": ExamClosedMeanwhileError,
}


class AttemptService:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._questions = OpenQuestions()

    def start_attempt(
        self, student: Principal, exam_id: UUID, *, take_over: bool
    ) -> Started:
        """Start an attempt, or give the running one again to the login that holds it.

        Raises what `attempt_start.start` raises, and InvalidTokenError if the account
        has been erased or disabled meanwhile.
        """
        with in_our_words(NO_START), self._database.transaction() as tx:
            return attempt_start.start(
                tx, student, exam_id, self._questions, take_over=take_over
            )

    def read_attempt(self, student: Principal, attempt_id: UUID) -> Paper:
        """Return what the student needs in order to go on where he was.

        Raises AttemptNotFoundError, and AttemptHeldElsewhereError while it runs: who
        could read the paper from a second device could have it solved there.
        """
        with self._database.read() as tx:
            own = _own(attempt.get(tx, attempt_id), student, attempt_id)
            if own.is_running:
                require_hold(own, student.session_id)
            return paper.read(tx, own, self._questions)

    def read_sheet(self, student: Principal, attempt_id: UUID) -> Sheet:
        """Return the questions alone, which stay as they are while the attempt runs.

        Raises AttemptNotFoundError, AttemptHeldElsewhereError, and AttemptOverError
        once it has ended.
        """
        with self._database.read() as tx:
            own = _own(attempt.get(tx, attempt_id), student, attempt_id)
            if not own.is_running:
                raise AttemptOverError(own)
            require_hold(own, student.session_id)
            return paper.read_sheet(tx, own, self._questions)

    def list_attempts(
        self,
        student: Principal,
        *,
        exam_id: UUID | None,
        before: UUID | None,
        limit: int,
    ) -> Page[Attempt]:
        with self._database.read() as tx:
            rows = attempt.list_of_student(
                tx, student.id, exam_id=exam_id, before=before, limit=limit + 1
            )
        return paged(rows, limit, lambda row: (row.id,))

    def save_answers(
        self, student: Principal, attempt_id: UUID, sent: Sequence[SentAnswer]
    ) -> Saved:
        """Store all answers or none. An older client_version changes nothing.

        Raises AttemptNotFoundError, AttemptOverError, AttemptHeldElsewhereError,
        AttemptPausedError, AnswersInvalidError and AnswerVersionReusedError.
        """
        hearing = self._hearing(student, attempt_id, sent)
        with hearing, self._database.transaction() as tx:
            # An end or a pause waits for us, or we for it: no answer comes too late.
            held = _own(attempt.get_for_share(tx, attempt_id), student, attempt_id)
            _require_writable(held, student)
            ids = [each.question_id for each in sent]
            checked = _check(sent, question.list_open(tx, held.exam_id, ids))
            newer = answer.save(tx, held.id, held.exam_id, checked)
            if newer:
                attempt_activity.touch(tx, held.id)
                _record_save(tx, held, checked, newer)
            by_id = {each.question_id: each for each in newer}
            if len(newer) < len(sent):
                stored = answer.list_versions(tx, held.id, checked)
                _require_same(ids, stored)
                by_id = {each.question_id: each for each in stored}
            saved = [by_id[question_id] for question_id in ids]
            return Saved(attempt=held, saved=saved)

    def submit_attempt(
        self,
        student: Principal,
        attempt_id: UUID,
        ended_by: Literal[EndedBy.STUDENT, EndedBy.DEADLINE] = EndedBy.STUDENT,
    ) -> Receipt:
        """End the attempt and return its receipt; again, the same one.

        An attempt whose time is over is ended by the deadline, not by the student. By
        DEADLINE a program submits because its clock says so; ours decides.
        Raises AttemptNotFoundError, AttemptHeldElsewhereError, AttemptOverError for one
        that staff has terminated or voided, NoReceiptError if it is reopened meanwhile,
        and by DEADLINE AttemptPausedError and DeadlineNotReachedError.
        """
        with self._database.transaction() as tx:
            own = _own(attempt.get_for_update(tx, attempt_id), student, attempt_id)
            if own.is_overdue:
                attempt_ending.end_overdue(tx, [own])
            elif own.is_running:
                require_hold(own, student.session_id)
                if ended_by is EndedBy.DEADLINE:
                    _require_deadline(own)
                if ended_by is EndedBy.DEADLINE or own.is_time_up:
                    attempt_ending.end(tx, [own], EndedBy.DEADLINE, audit.SYSTEM)
                else:
                    attempt_ending.end(tx, [own], EndedBy.STUDENT, student.id)
            elif own.status is not AttemptStatus.SUBMITTED:
                raise AttemptOverError(own)
        # The entry has its hash since the commit.
        with self._database.read() as tx:
            ended = _own(attempt.get(tx, attempt_id), student, attempt_id)
            entry = attempt_receipt.get(tx, attempt_id)
        if entry is None:
            # It was reopened at this very moment.
            raise NoReceiptError(ended)
        return Receipt(
            attempt=ended,
            score=entry.score,
            answers_digest=entry.answers_digest,
            receipt_hash=entry.receipt_hash,
            audit_seq=entry.audit_seq,
        )

    @contextmanager
    def _hearing(
        self, student: Principal, attempt_id: UUID, sent: Sequence[SentAnswer]
    ) -> Iterator[None]:
        """Note if a device that was displaced, and knows it, goes on answering.

        A submission tells nothing: a program makes it by itself when the time is over.
        """
        try:
            yield
        except AttemptHeldElsewhereError:
            refused = Refused(
                attempt_id=attempt_id,
                session_id=student.session_id,
                digest=_content_digest(sent),
            )
            with self._database.transaction(is_aside=True) as tx:
                # In the order in which all others lock: the attempt first.
                attempt.get_for_share(tx, attempt_id)
                if attempt_activity.forget_displaced(tx, refused):
                    record_server_event(tx, attempt_id, CONCURRENT_CODE, {})
            with self._database.bookkeeping() as tx:
                attempt_activity.tell_displaced(tx, refused)
            raise


def _require_same(ids: Sequence[UUID], stored: Sequence[StoredVersion]) -> None:
    """Raise AnswerVersionReusedError if a version that is stored was sent anew.

    Its reply got lost, and the student has changed his mind since: to say that it is
    saved would lose what he thinks now.
    """
    others = {each.question_id: each for each in stored if each.is_other}
    if others:
        raise AnswerVersionReusedError(
            [
                (f"#/answers/{index}/client_version", others[each].client_version)
                for index, each in enumerate(ids)
                if each in others
            ]
        )


def _content_digest(sent: Sequence[SentAnswer]) -> bytes:
    """Return what tells one set of responses from another, whatever their versions."""
    responses = sorted(
        (str(each.question_id), json.dumps(each.response)) for each in sent
    )
    return sha256(json.dumps(responses).encode()).digest()


def _own(found: Attempt | None, student: Principal, attempt_id: UUID) -> Attempt:
    if found is None or found.student_id != student.id:
        raise AttemptNotFoundError(attempt_id)
    return found


def _require_writable(own: Attempt, student: Principal) -> None:
    if not own.is_running or own.is_overdue:
        raise AttemptOverError(own)
    require_hold(own, student.session_id)
    if own.status is AttemptStatus.PAUSED:
        raise AttemptPausedError(own)


def _require_deadline(own: Attempt) -> None:
    """Let a program end an attempt by itself only when its time really is over.

    The clocks of the two may differ by as much as what is sent may be under way.
    """
    if own.status is AttemptStatus.PAUSED:
        raise AttemptPausedError(own)
    if own.read_at < own.deadline_at - NETWORK_LEEWAY:
        raise DeadlineNotReachedError(own)


def _check(
    sent: Sequence[SentAnswer], questions: Sequence[OpenQuestion]
) -> list[NewAnswer]:
    """Return the answers in the form that is stored. Raises AnswersInvalidError."""
    asked = {each.id: each for each in questions}
    checked: dict[UUID, NewAnswer] = {}
    problems = []
    for index, each in enumerate(sent):
        pointer = f"#/answers/{index}"
        found = asked.get(each.question_id)
        if found is None:
            problems.append(
                (f"{pointer}/question_id", "The exam has no such question.")
            )
            continue
        if each.question_id in checked:
            problems.append((f"{pointer}/question_id", "The question came before."))
            continue
        try:
            response = parse_response(found.kind, found.body, each.response)
        except ResponseMismatchError as error:
            problems.append((f"{pointer}/response", str(error)))
            continue
        checked[each.question_id] = NewAnswer(
            question_id=each.question_id,
            response=response_to_json(response),
            client_version=each.client_version,
        )
    if problems:
        raise AnswersInvalidError(problems)
    return list(checked.values())


def _record_save(
    tx: Transaction,
    held: Attempt,
    answers: Sequence[NewAnswer],
    newer: Sequence[SavedVersion],
) -> None:
    saved_ids = {each.question_id for each in newer}
    audit.append_of_attempt(
        tx,
        AuditEvent.ATTEMPT_ANSWERS_SAVED,
        held.id,
        actor=held.student_id,
        payload={
            "answers": [each for each in answers if each.question_id in saved_ids],
        },
    )
