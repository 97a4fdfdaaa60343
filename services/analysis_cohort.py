"""The cohort of an exam, kept between the analyses of one process."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from models import exam, question, risk_subject
from models.question import Question
from models.risk_subject import Subject
from models.transaction import Transaction
from services.access import ExamNotFoundError
from services.analysis_inputs import read_inputs
from services.proctoring_policy import ProctoringPolicy
from services.risk import (
    MODEL_VERSION,
    AttemptInputs,
    Cohort,
    CohortMember,
    measure,
)

# A running attempt of somebody else is measured anew after this long.
STALE_AFTER: Final = timedelta(seconds=60)
# So many attempts are read at once: what a statement returns is held in memory.
CHUNK: Final = 50
# And with so many events, unless one attempt alone has them: while they are measured
# the transaction is idle, for which the database has ten seconds' patience.
EVENTS_OF_CHUNK: Final = 20_000
KEPT_EXAMS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamBasis:
    """What all analyses of an exam share. It is frozen with the first attempt."""

    policy: ProctoringPolicy
    questions: Mapping[UUID, Question]
    # The policy, if it is not the exam's own but one that is tried.
    trial: ProctoringPolicy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A member, and what was known of its attempt when it was measured."""

    member: CohortMember
    subject: Subject
    at: datetime

    def is_outdated(self, subject: Subject, now: datetime) -> bool:
        if subject.row_version != self.subject.row_version:
            return True
        return (
            subject.last_seen_at != self.subject.last_seen_at
            and now - self.at > STALE_AFTER
        )


@dataclass(slots=True)
class _Kept:
    basis: ExamBasis
    members: dict[UUID, _Measured] = field(default_factory=dict)
    cohort: Cohort = field(default_factory=Cohort)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Attempts that are to be analysed, and what they are compared with."""

    basis: ExamBasis
    cohort: Cohort
    inputs: Mapping[UUID, AttemptInputs]
    now: datetime


class Cohorts:
    """The cohorts of the exams that were looked at last. For one thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()

    def prepare(
        self, tx: Transaction, exam_id: UUID, wanted: Sequence[UUID]
    ) -> Prepared:
        """Read the wanted attempts as they are now, and of the others what changed."""
        kept = self._kept.get(exam_id)
        if kept is None:
            kept = self._kept[exam_id] = _Kept(read_basis(tx, exam_id))
        self._kept.move_to_end(exam_id)
        while len(self._kept) > KEPT_EXAMS:
            self._kept.popitem(last=False)
        return _prepare(tx, exam_id, kept, wanted)


def read_basis(
    tx: Transaction, exam_id: UUID, trial: ProctoringPolicy | None = None
) -> ExamBasis:
    """Read an exam's policy, or take the one that is tried, and its questions."""
    found = exam.get(tx, exam_id)
    if found is None:
        raise ExamNotFoundError(exam_id)
    return ExamBasis(
        policy=trial or ProctoringPolicy.model_validate(found.proctoring),
        questions={each.id: each for each in question.list_by_exam(tx, exam_id)},
        trial=trial,
    )


def chunks(subjects: Iterable[Subject]) -> Iterator[list[Subject]]:
    """Part attempts into what is read at once."""
    chunk: list[Subject] = []
    events = 0
    for each in subjects:
        events += each.reported_events
        if chunk and (len(chunk) == CHUNK or events > EVENTS_OF_CHUNK):
            yield chunk
            chunk, events = [], each.reported_events
        chunk.append(each)
    if chunk:
        yield chunk


def prepare_anew(
    tx: Transaction,
    exam_id: UUID,
    attempt_id: UUID,
    trial: ProctoringPolicy | None,
    version: str,
) -> Prepared:
    """Read a whole exam, so that what follows rests on nothing but the database.

    Raises UnknownModelVersionError.
    """
    kept = _Kept(read_basis(tx, exam_id, trial))
    return _prepare(tx, exam_id, kept, [attempt_id], version)


def _prepare(
    tx: Transaction,
    exam_id: UUID,
    kept: _Kept,
    wanted: Sequence[UUID],
    version: str = MODEL_VERSION,
) -> Prepared:
    now = exam.now(tx)
    subjects = risk_subject.list_subjects(tx, exam_id, wanted)
    asked_for = set(wanted)
    outdated = [
        subject
        for subject in subjects
        if subject.attempt_id in asked_for
        or (known := kept.members.get(subject.attempt_id)) is None
        or known.is_outdated(subject, now)
    ]
    inputs: dict[UUID, AttemptInputs] = {}
    for chunk in chunks(outdated):
        read = read_inputs(tx, chunk, kept.basis.questions, kept.basis.trial)
        for subject in chunk:
            kept.members[subject.attempt_id] = _Measured(
                member=measure(read[subject.attempt_id], kept.basis.policy, version),
                subject=subject,
                at=now,
            )
        inputs |= {each: read[each] for each in read if each in asked_for}
    present = [each.attempt_id for each in subjects if not each.is_voided]
    members = tuple(kept.members[attempt_id].member for attempt_id in present)
    # What a cohort derives of its members is kept with it.
    if outdated or members != kept.cohort.members:
        kept.cohort = Cohort(members=members)
    return Prepared(basis=kept.basis, cohort=kept.cohort, inputs=inputs, now=now)
