"""Attempts for the risk model, told in seconds from their start."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from services.event_catalogue import resolve
from services.proctoring_policy import PayloadFacts, ProctoringPolicy, classify
from services.risk import AttemptInputs, Cohort, CohortMember, ObservedEvent, Pause

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
POLICY = ProctoringPolicy()
STUDENT = UUID(int=1)
ids = count(1000)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def event(
    code: str,
    seconds: float,
    duration_seconds: float = 0,
    *,
    sequence: int | None = 1,
    confidence: float | None = None,
    times: int = 1,
    policy: ProctoringPolicy = POLICY,
) -> ObservedEvent:
    duration_ms = round(duration_seconds * 1000)
    classified = classify(resolve(code), {"duration_ms": duration_ms}, policy)
    return ObservedEvent(
        id=UUID(int=next(ids)),
        code=code,
        event_class=classified.event_class,
        severity=classified.severity,
        occurred_at=at(seconds),
        received_at=at(seconds),
        sequence=sequence,
        facts=PayloadFacts(duration_ms=duration_ms, confidence=confidence, count=times),
    )


def attempt(
    *events: ObservedEvent,
    report_times: Sequence[datetime] | None = None,
    pauses: tuple[Pause, ...] = (),
) -> AttemptInputs:
    """An hour, with a report every quarter of a minute unless told otherwise."""
    beats = [at(each) for each in range(0, 3601, 15)]
    return AttemptInputs(
        attempt_id=UUID(int=2),
        student_id=STUDENT,
        started_at=START,
        ended_at=at(3600),
        as_of=at(3600),
        events=events,
        pauses=pauses,
        report_times=tuple(beats if report_times is None else report_times),
    )


def cohort_of(*exposures: float, factor: str = "navigation") -> Cohort:
    return Cohort(
        members=tuple(
            CohortMember(
                attempt_id=UUID(int=100 + index),
                student_id=UUID(int=200 + index),
                exposures={factor: each} if each else {},
                answers=(),
            )
            for index, each in enumerate(exposures)
        )
    )
