"""What the model is given. All times are aware; all of them are the server's clock's.

A client's `occurred_at` is corrected by the skew of its clock before it comes here,
because it is compared with the times at which reports arrived.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.event_catalogue import EventClass, Severity
from services.proctoring_policy import NO_FACTS, PayloadFacts

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedEvent:
    """An event as it is stored; class and severity were derived when it came.

    `sequence` is None for what the server or a proctor reported. That is what makes a
    detection the statement of a person rather than the opinion of a detector.
    `is_displaced` says that it was seen by a device after its student had gone on with
    another one: it tells nothing of him.
    """

    id: UUID
    code: str
    event_class: EventClass
    severity: Severity
    occurred_at: datetime
    received_at: datetime
    sequence: int | None
    facts: PayloadFacts = NO_FACTS
    is_displaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredQuestion:
    """An answer that is not empty. Unanswered questions are left out.

    `response_digest` is equal for equal answers, whatever order the options had on the
    screen. `is_correct` is None until it is graded. `options_count` is None where there
    are no options to choose from.
    """

    question_id: UUID
    kind: str
    is_correct: bool | None
    response_digest: str
    first_saved_at: datetime
    saved_at: datetime
    options_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInputs:
    """One attempt up to `as_of`.

    `events` holds every event of every class, since coverage counts the sequence
    numbers. `report_times` are the moments at which anything arrived from the client
    that the student worked with.
    """

    attempt_id: UUID
    student_id: UUID
    started_at: datetime
    ended_at: datetime | None
    as_of: datetime
    events: tuple[ObservedEvent, ...] = ()
    answers: tuple[AnsweredQuestion, ...] = ()
    pauses: tuple[Pause, ...] = ()
    report_times: tuple[datetime, ...] = ()

    @property
    def until(self) -> datetime:
        """The end of what is judged: the attempt's end, or now while it runs."""
        return self.as_of if self.ended_at is None else min(self.ended_at, self.as_of)

    def offset(self, moment: datetime) -> int:
        """Microseconds from the start of the attempt to `moment`."""
        return (moment - self.started_at) // MICROSECOND
