"""What the server notes of a bad network: it is on record, and weighs nothing."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import connection

from models.database import Database
from models.principal import Principal
from services.analysis_job import AnalysisJob
from services.attempt_service import AttemptService
from services.event_catalogue import resolve
from services.proctoring_policy import ProctoringPolicy, classify, read_facts
from services.risk import AttemptInputs, Cohort, ObservedEvent, analyse, measure
from tests.audit_trail import run, scalar
from tests.exam_room import ExamRoom
from tests.exams import Json
from tests.reports import deliver, observed

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
POLICY = ProctoringPolicy(minimum_cohort_size=3)
NOTES: list[tuple[str, Json]] = [
    ("client.event_gap", {"missing_events": 40, "highest_sequence": 90}),
    ("client.heartbeat_missed", {"longest_gap_seconds": 900.0}),
    ("session.ip_changed", {"is_other_network": True}),
    ("session.ip_changed", {"is_other_network": False}),
    ("session.milestone", {"milestone": "event_limit_reached"}),
]


def noted(number: int, seconds: float, code: str, payload: Json) -> ObservedEvent:
    """Return an event of the server (number above 100) or of a client."""
    classified = classify(resolve(code), payload, POLICY)
    return ObservedEvent(
        id=UUID(int=number),
        code=code,
        event_class=classified.event_class,
        severity=classified.severity,
        occurred_at=START + timedelta(seconds=seconds),
        received_at=START + timedelta(seconds=seconds),
        sequence=number if number <= 100 else None,
        facts=read_facts(payload),
    )


def sat(number: int, events: list[ObservedEvent]) -> AttemptInputs:
    return AttemptInputs(
        attempt_id=UUID(int=number),
        student_id=UUID(int=number),
        started_at=START,
        ended_at=START + timedelta(seconds=1800),
        as_of=START + timedelta(seconds=1800),
        events=tuple(events),
        report_times=tuple(
            event.received_at for event in events if event.sequence is not None
        ),
    )


SECONDS = st.floats(0, 1800)
REPORTED = st.tuples(
    SECONDS,
    st.sampled_from(["focus.lost", "client.disconnected", "face.not_visible"]),
    st.integers(0, 60_000).map(lambda milliseconds: {"duration_ms": milliseconds}),
)
OBSERVED_BY_SERVER = st.tuples(SECONDS, st.sampled_from(NOTES))


@given(
    st.lists(REPORTED, max_size=20),
    st.lists(OBSERVED_BY_SERVER, min_size=1, max_size=8),
)
def test_a_bad_network_leaves_the_score_as_it_is(
    reported: list[tuple[float, str, Json]],
    observed_by_server: list[tuple[float, tuple[str, Json]]],
) -> None:
    plain = [noted(number, *each) for number, each in enumerate(reported, 1)]
    trouble = [
        noted(number, seconds, *note)
        for number, (seconds, note) in enumerate(observed_by_server, 101)
    ]
    others = Cohort(
        members=tuple(
            measure(sat(number, plain[: number % 3]), POLICY) for number in range(2, 9)
        )
    )

    without = analyse(sat(1, plain), others, POLICY)
    with_them = analyse(sat(1, plain + trouble), others, POLICY)

    assert with_them.risk_score == without.risk_score
    assert with_them.confidence == without.confidence
    assert with_them.coverage == without.coverage


def start(attempts: AttemptService, room: ExamRoom, student: Principal) -> UUID:
    return attempts.start_attempt(
        student, room.exam_id, take_over=False
    ).paper.attempt.id


def events(sql: connection, attempt_id: UUID, code: str) -> list[Json]:
    rows = run(
        sql,
        "SELECT event_class, severity, payload FROM proctoring_events"
        " WHERE attempt_id = %s AND event_type = %s",
        str(attempt_id),
        code,
    )
    return [{"class": row[0], "severity": row[1], **row[2]} for row in rows]


def report(
    database: Database, student: Principal, attempt_id: UUID, *sequences: int
) -> None:
    sent = [observed(number, "env.noise") for number in sequences]
    deliver(database, student, attempt_id, *sent)


def test_what_never_arrived_is_noted_at_the_end(
    room: ExamRoom, attempts: AttemptService, database: Database, sql: connection
) -> None:
    student = room.new_student()
    own = start(attempts, room, student)
    report(database, student, own, 1, 2, 5, 9)
    before = events(sql, own, "client.event_gap")

    attempts.submit_attempt(student, own)
    attempts.submit_attempt(student, own)

    assert before == []
    (gap,) = events(sql, own, "client.event_gap")
    assert (gap["class"], gap["severity"]) == ("technical", "low")
    assert (gap["missing_events"], gap["highest_sequence"]) == (5, 9)


@pytest.mark.parametrize("sequences", [(), (1, 2, 3), (3, 1, 2)])
def test_what_has_arrived_leaves_no_gap(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    sql: connection,
    sequences: tuple[int, ...],
) -> None:
    student = room.new_student()
    own = start(attempts, room, student)
    for number in sequences:
        report(database, student, own, number)

    attempts.submit_attempt(student, own)

    assert events(sql, own, "client.event_gap") == []


def analyse_all(database: Database) -> None:
    AnalysisJob(database, spacing=timedelta()).run()


def test_a_long_silence_is_noted_once_after_the_end(
    room: ExamRoom, attempts: AttemptService, database: Database, sql: connection
) -> None:
    student = room.new_student()
    own = start(attempts, room, student)
    room.let_time_pass(own, 600)
    analyse_all(database)
    while_it_ran = events(sql, own, "client.heartbeat_missed")
    attempts.submit_attempt(student, own)
    before = run(sql, "SELECT * FROM attempts")

    for _ in range(2):
        analyse_all(database)
        run(sql, "UPDATE attempt_activity SET analysis_due_since = clock_timestamp()")
    analyse_all(database)

    assert while_it_ran == []
    (silence,) = events(sql, own, "client.heartbeat_missed")
    assert (silence["class"], silence["severity"]) == ("technical", "info")
    assert silence["longest_gap_seconds"] >= 600
    assert run(sql, "SELECT * FROM attempts") == before
    risk = scalar(
        sql, "SELECT risk_score FROM attempt_risk WHERE attempt_id = %s", str(own)
    )
    assert risk == 0


def test_who_is_heard_of_misses_nothing(
    room: ExamRoom, attempts: AttemptService, database: Database, sql: connection
) -> None:
    student = room.new_student()
    own = start(attempts, room, student)
    report(database, student, own, 1)
    attempts.submit_attempt(student, own)

    analyse_all(database)

    assert events(sql, own, "client.heartbeat_missed") == []
