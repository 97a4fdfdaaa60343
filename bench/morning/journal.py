"""What was sent, what was acknowledged, and how long that took."""

from dataclasses import dataclass, field

from bench.morning.timetable import Action


@dataclass(frozen=True, slots=True)
class Sample:
    """One appointment. Times are seconds from the beginning of the morning."""

    action: Action
    due: float
    # When the last attempt at it was sent: the one that was answered.
    sent: float
    done: float
    # What came back, in order; 0 stands for no answer at all.
    statuses: tuple[int, ...]
    is_good: bool


@dataclass(slots=True)
class Journal:
    """One student's own notes. What was sent holds all that was acknowledged."""

    email: str
    samples: list[Sample] = field(default_factory=list)
    attempt_ids: set[str] = field(default_factory=set)
    # client_event_id
    sent_events: set[str] = field(default_factory=set)
    # client_event_id → audit_seq
    events: dict[str, int] = field(default_factory=dict)
    # question_id → client_version
    sent_answers: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    receipt_seq: int | None = None
    # Reports that he did not send when they were due, because the server was busy:
    # their events came with a later one.
    left_out: int = 0
    # Why he got no further, if so.
    failure: str | None = None
