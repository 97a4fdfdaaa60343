"""What a device saw while its student sat at another one tells nothing of him."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from psycopg2.extensions import connection

from models import question, risk_subject
from models.attempt import Attempt
from models.database import Database
from models.principal import Principal
from services.analysis_inputs import read_inputs
from services.analysis_job import AnalysisJob
from services.attempt_holds import Hold, Holds
from services.attempt_service import AttemptService
from services.proctoring_service import RefusedEvent
from services.risk import AttemptInputs
from tests.audit_trail import scalar
from tests.exam_room import ExamRoom
from tests.exams import Json
from tests.reports import deliver, moment, observed
from tests.risk_inputs import at

LAPTOP, SPARE = UUID(int=1), UUID(int=2)


def holds(*moves: tuple[float, UUID]) -> Holds:
    return Holds([Hold(at(seconds), login) for seconds, login in moves])


@pytest.mark.parametrize(
    ("login", "seen", "delivered", "is_displaced"),
    [
        (LAPTOP, 99, 99, False),
        # Kept from before, and delivered when its network was back.
        (LAPTOP, 99, 150, False),
        (LAPTOP, 100, 100, True),
        (LAPTOP, 150, 150, True),
        # What it kept while it was displaced, delivered when it had the attempt again.
        (LAPTOP, 199, 259, True),
        # Long after: a clock that was put back hides nothing.
        (LAPTOP, 199, 260, False),
        (LAPTOP, 200, 200, False),
        # A clock that is behind does not make the device in use a displaced one.
        (SPARE, 50, 150, False),
        (SPARE, 150, 150, False),
        (SPARE, 150, 500, False),
        (SPARE, 200, 200, True),
        (SPARE, 250, 9000, True),
        (UUID(int=3), 150, 150, False),
    ],
)
def test_a_login_is_displaced_from_when_it_loses_the_attempt_until_it_has_it_again(
    login: UUID, seen: float, delivered: float, *, is_displaced: bool
) -> None:
    moved = holds((0, LAPTOP), (100, SPARE), (200, LAPTOP))

    assert moved.is_displaced(login, at(seen), at(delivered)) is is_displaced


def test_a_login_loses_the_attempt_to_another_one_alone() -> None:
    moved = holds((0, LAPTOP), (50, LAPTOP), (100, SPARE), (200, LAPTOP), (300, SPARE))

    assert moved.lost_after(LAPTOP, at(0)) == at(100)
    assert moved.lost_after(LAPTOP, at(100)) == at(300)
    assert moved.lost_after(LAPTOP, at(300)) is None
    assert moved.lost_after(SPARE, at(0)) == at(200)
    assert moved.has_moved
    assert not holds((0, LAPTOP), (50, LAPTOP)).has_moved
    assert not holds().has_moved


@pytest.fixture
def laptop(room: ExamRoom) -> Principal:
    return room.new_student()


@pytest.fixture
def own(room: ExamRoom, attempts: AttemptService, laptop: Principal) -> Attempt:
    """An attempt that the laptop has started ten minutes ago."""
    own = attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 600)
    return own


@pytest.fixture
def spare(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> Principal:
    """The device with which the student goes on."""
    other = room.login(laptop.id)
    attempts.start_attempt(other, own.exam_id, take_over=True)
    return other


def report(
    database: Database, device: Principal, attempt_id: UUID, *events: Json
) -> None:
    answer = deliver(database, device, attempt_id, *events)
    assert not any(isinstance(each, RefusedEvent) for each in answer.results)


def inputs(database: Database, own: Attempt) -> AttemptInputs:
    with database.read() as tx:
        questions = {each.id: each for each in question.list_by_exam(tx, own.exam_id)}
        subjects = risk_subject.list_subjects(tx, own.exam_id)
        return read_inputs(tx, subjects, questions)[own.id]


COUNTER = "SELECT ARRAY[contiguous_sequence, highest_sequence] FROM attempt_activity"
AWAY = {"payload": {"duration_ms": 60_000}}
EMPTY_ROOM = [
    observed(number, code, **AWAY)
    for number, code in enumerate(["face.not_visible", "focus.lost"] * 4, 1)
]


@pytest.mark.parametrize("is_displaced", [True, False])
def test_an_empty_room_is_scored_at_the_device_in_use_alone(
    room: ExamRoom,
    database: Database,
    sql: connection,
    laptop: Principal,
    spare: Principal,
    own: Attempt,
    *,
    is_displaced: bool,
) -> None:
    device = laptop if is_displaced else spare
    now = [each | {"occurred_at": moment()} for each in EMPTY_ROOM]

    report(database, device, own.id, *now)
    AnalysisJob(database, spacing=timedelta()).run()

    score = scalar(sql, "SELECT risk_score FROM ai_analyses")
    assert (score == 0) is is_displaced
    # It remains on record whatever it counts.
    assert len(room.observed(own.id)) == len(EMPTY_ROOM) + 2


@pytest.mark.usefixtures("spare")
def test_a_displaced_device_does_not_show_that_its_student_was_watched(
    database: Database, laptop: Principal, own: Attempt
) -> None:
    before = inputs(database, own).report_times

    report(database, laptop, own.id, observed(1, "session.milestone"))

    found = inputs(database, own)
    assert found.report_times == before
    assert [event.is_displaced for event in found.events] == [False, False, True]


@pytest.mark.usefixtures("spare")
def test_what_began_before_the_hand_over_ends_with_it(
    database: Database, laptop: Principal, own: Attempt
) -> None:
    """So the other device's reports do not contradict an outage that was real."""
    payload = {"duration_ms": 900_000}
    lost = moment(seconds=30)
    outage = observed(1, "client.disconnected", occurred_at=lost, payload=payload)

    report(database, laptop, own.id, outage)

    (event,) = [e for e in inputs(database, own).events if e.sequence is not None]
    assert not event.is_displaced
    assert 25_000 < event.facts.duration_ms <= 30_500


def test_an_entry_says_which_login_reported(
    database: Database,
    sql: connection,
    laptop: Principal,
    spare: Principal,
    own: Attempt,
) -> None:
    events = [observed(number) for number in (1, 2, 3)]

    report(database, laptop, own.id, *events[:2])
    # The answer was lost, and another login delivers the rest.
    report(database, spare, own.id, *events)

    found = (
        "SELECT array_agg((payload::json ->> 'session_id')::uuid::text || ' ' ||"
        " json_array_length(payload::json -> 'events') ORDER BY seq) FROM audit_log"
        " WHERE entity_type = 'event_batch' AND actor_id <> 'system'"
    )
    assert scalar(sql, found) == [f"{laptop.session_id} 2", f"{spare.session_id} 1"]


def test_a_number_under_a_known_id_has_not_arrived(
    database: Database, sql: connection, laptop: Principal, own: Attempt
) -> None:
    first = observed(1)
    report(database, laptop, own.id, first)
    reused = first | {"sequence": 3}

    answer = deliver(database, laptop, own.id, observed(2), reused, observed(5))

    assert answer.missing_sequences == [3, 4]
    assert [str(each.status) for each in answer.results] == [
        "accepted",
        "rejected",
        "accepted",
    ]
    assert scalar(sql, COUNTER) == [2, 5]
    beyond = first | {"sequence": 999}
    answer = deliver(database, laptop, own.id, beyond, observed(3), observed(4))
    assert answer.missing_sequences == []
    assert scalar(sql, COUNTER) == [5, 5]


def test_a_first_report_in_which_an_id_comes_twice_counts_once(
    database: Database, sql: connection, laptop: Principal, own: Attempt
) -> None:
    shared = str(uuid4())
    twice = [observed(each, client_event_id=shared) for each in (1, 2)]

    deliver(database, laptop, own.id, *twice)

    assert scalar(sql, COUNTER) == [1, 1]
