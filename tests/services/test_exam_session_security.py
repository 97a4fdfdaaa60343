"""One device an attempt: who holds it, and how the hold moves."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from uuid import UUID

import psycopg2
import pytest
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection

from models.attempt import Attempt
from models.database import Database
from models.principal import Principal
from services.attempt_errors import (
    AttemptHeldByAnotherDeviceError,
    AttemptHeldElsewhereError,
    AttemptOverError,
)
from services.attempt_service import AttemptService, SentAnswer
from services.proctor_actions import ProctorActions
from tests.at_once import at_once
from tests.audit_trail import run
from tests.exam_room import ExamRoom
from tests.reports import deliver, moment, observed
from tests.waiting import until_somebody_waits_for_a_lock

SEVERITY = """
    SELECT severity FROM proctoring_events
     WHERE event_type = 'session.concurrent_device'
"""

TAKEN_OVER = """
    SELECT entity_id, actor_id, payload::jsonb
      FROM audit_log WHERE event_type = 'attempt.taken_over'
"""


@pytest.fixture
def laptop(room: ExamRoom) -> Principal:
    return room.new_student()


@pytest.fixture
def own(room: ExamRoom, attempts: AttemptService, laptop: Principal) -> Attempt:
    """The attempt that the laptop has started."""
    return attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt


def forty_two(room: ExamRoom) -> list[SentAnswer]:
    product = room.questions[1].id
    return [SentAnswer(question_id=product, response=42, client_version=1)]


def holder_of(room: ExamRoom, attempt_id: UUID) -> object:
    return room.scalar("SELECT held_by_session FROM attempts WHERE id = %s", attempt_id)


def test_a_second_device_must_say_that_it_takes_over(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    phone = room.login(laptop.id)

    with pytest.raises(AttemptHeldByAnotherDeviceError) as refused:
        attempts.start_attempt(phone, room.exam_id, take_over=False)

    assert refused.value.allowed_actions == ("take_over",)
    assert holder_of(room, own.id) == laptop.session_id


def test_a_device_without_the_hold_neither_reads_nor_writes(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    phone = room.login(laptop.id)

    with pytest.raises(AttemptHeldElsewhereError):
        attempts.read_attempt(phone, own.id)
    with pytest.raises(AttemptHeldElsewhereError):
        attempts.save_answers(phone, own.id, forty_two(room))
    with pytest.raises(AttemptHeldElsewhereError):
        attempts.submit_attempt(phone, own.id)

    assert room.event_types(own.id) == ["attempt.started"]


def take_over(room: ExamRoom, attempts: AttemptService, device: Principal) -> Attempt:
    started = attempts.start_attempt(device, room.exam_id, take_over=True)
    assert not started.is_new
    return started.paper.attempt


def test_a_laptop_that_dies_and_comes_back_in_twenty_seconds_is_no_evidence(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    laptop: Principal,
    own: Attempt,
) -> None:
    """The browser crashed, its student logs in again: the other one never speaks."""
    attempts.save_answers(laptop, own.id, forty_two(room))
    room.let_time_pass(own.id, 20)
    again = room.login(laptop.id)

    held = take_over(room, attempts, again)
    deliver(database, again, own.id, observed(1, "client.freeze"))
    attempts.submit_attempt(again, own.id)

    assert held.held_by_session == again.session_id
    assert room.event_types(own.id) == [
        "attempt.started",
        "attempt.answers_saved",
        "attempt.taken_over",
        "attempt.submitted",
    ]
    assert room.observed(own.id) == [
        "session.started",
        "session.resumed",
        "client.freeze",
        "session.submitted",
    ]
    integrity = "SELECT count(*) FROM proctoring_events WHERE event_class = 'integrity'"
    assert room.scalar(integrity) == 0


def refused(
    room: ExamRoom, attempts: AttemptService, device: Principal, own: Attempt, said: int
) -> None:
    """Try to save an answer from a device that has lost its hold."""
    (answer,) = forty_two(room)
    with pytest.raises(AttemptHeldElsewhereError):
        attempts.save_answers(device, own.id, [replace(answer, response=said)])


def test_two_devices_at_once_are_evidence(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 3)
    before = room.observed(own.id)

    refused(room, attempts, laptop, own, 41)
    room.let_time_pass(own.id, 61)
    told = room.observed(own.id)
    for said in (42, 43, 44):
        refused(room, attempts, laptop, own, said)

    assert told == before == ["session.started", "session.resumed"]
    # Once, at that moment.
    assert room.observed(own.id) == [*before, "session.concurrent_device"]
    assert room.scalar(SEVERITY) == "high"
    assert room.event_types(own.id) == ["attempt.started", "attempt.taken_over"]


def test_a_displaced_device_is_told_of_the_other_one_during_a_pause_and_of_the_end(
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    laptop: Principal,
    own: Attempt,
) -> None:
    """What it tries when nobody can save any more is no evidence of two at work."""
    spare = room.login(laptop.id)
    take_over(room, attempts, spare)
    room.let_time_pass(own.id, 3)
    actions.pause_attempt(room.admin, own.id, "fire alarm")
    refused(room, attempts, laptop, own, 41)
    room.let_time_pass(own.id, 61)
    attempts.submit_attempt(spare, own.id)

    with pytest.raises(AttemptOverError):
        attempts.save_answers(laptop, own.id, forty_two(room))

    assert "session.concurrent_device" not in room.observed(own.id)


def test_who_notes_two_devices_locks_the_attempt_first(
    room: ExamRoom,
    attempts: AttemptService,
    sql: connection,
    dsn: str,
    laptop: Principal,
    own: Attempt,
) -> None:
    """As a hand-over does, or the two would wait for each other."""
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 3)
    refused(room, attempts, laptop, own, 41)
    room.let_time_pass(own.id, 61)

    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(1) as pool:
        run(other, "SELECT FROM attempt_activity FOR UPDATE")
        noting = pool.submit(refused, room, attempts, laptop, own, 42)
        until_somebody_waits_for_a_lock(sql)
        with pytest.raises(LockNotAvailable):
            run(sql, "SELECT FROM attempts FOR UPDATE NOWAIT")
        other.commit()
    noting.result()

    assert room.observed(own.id)[-1] == "session.concurrent_device"


def test_the_same_response_to_another_question_is_something_else(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 3)

    for question in room.questions:
        taken_back = SentAnswer(
            question_id=question.id, response=None, client_version=1
        )
        with pytest.raises(AttemptHeldElsewhereError):
            attempts.save_answers(laptop, own.id, [taken_back])
        room.let_time_pass(own.id, 61)

    assert room.observed(own.id)[-1] == "session.concurrent_device"


def test_many_saves_of_a_displaced_device_at_once_are_one_event(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 3)
    refused(room, attempts, laptop, own, 41)
    room.let_time_pass(own.id, 61)

    at_once([partial(refused, room, attempts, laptop, own, 42)] * 4)

    assert room.observed(own.id).count("session.concurrent_device") == 1


def test_a_laptop_whose_network_comes_back_is_no_second_device(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    laptop: Principal,
    own: Attempt,
) -> None:
    """It sends what it has kept, has watched an empty room, and hands in at the end."""
    room.let_time_pass(own.id, 300)
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 600)

    # An autosave of before; the next one of its queue; and the first once more.
    for said in (41, 42, 41):
        refused(room, attempts, laptop, own, said)
    room.let_time_pass(own.id, 600)
    refused(room, attempts, laptop, own, 41)
    deliver(
        database,
        laptop,
        own.id,
        observed(1, "client.reconnected", occurred_at=moment(seconds=60)),
        observed(2, "face.not_visible", occurred_at=moment(seconds=90)),
        observed(3, "focus.lost", occurred_at=moment(seconds=90)),
    )
    with pytest.raises(AttemptHeldElsewhereError):
        attempts.submit_attempt(laptop, own.id)

    assert "session.concurrent_device" not in room.observed(own.id)


def test_who_is_displaced_in_turn_has_yet_to_be_told(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    """What the other device was told is not what this one knows."""
    telephone = room.login(laptop.id)
    take_over(room, attempts, telephone)
    room.let_time_pass(own.id, 300)
    refused(room, attempts, laptop, own, 41)
    room.let_time_pass(own.id, 300)
    take_over(room, attempts, laptop)
    room.let_time_pass(own.id, 300)

    refused(room, attempts, telephone, own, 42)

    assert "session.concurrent_device" not in room.observed(own.id)


def test_what_was_under_way_when_the_hold_moved_is_no_evidence(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    """Nor does it tell the device: the next thing that it tries is its first."""
    take_over(room, attempts, room.login(laptop.id))

    refused(room, attempts, laptop, own, 41)
    room.let_time_pass(own.id, 900)
    refused(room, attempts, laptop, own, 42)

    assert "session.concurrent_device" not in room.observed(own.id)


def test_a_login_that_never_held_the_attempt_is_no_second_device(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    telephone = room.login(laptop.id)
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 300)

    with pytest.raises(AttemptHeldElsewhereError):
        attempts.save_answers(telephone, own.id, forty_two(room))

    assert "session.concurrent_device" not in room.observed(own.id)


def test_nobody_is_accused_of_what_a_login_does_that_never_held_the_attempt(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    """Neither of what it was told, nor of what it tries when the other one knows."""
    telephone = room.login(laptop.id)
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 300)

    refused(room, attempts, telephone, own, 41)
    room.let_time_pass(own.id, 300)
    refused(room, attempts, laptop, own, 42)
    room.let_time_pass(own.id, 300)
    refused(room, attempts, telephone, own, 43)

    assert "session.concurrent_device" not in room.observed(own.id)


def test_what_it_tries_again_and_again_makes_nobody_s_next_answer_come_too_early(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    """It was told once. Whoever repeats himself does not begin the minute anew."""
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 3)
    for _ in range(3):
        refused(room, attempts, laptop, own, 41)
        room.let_time_pass(own.id, 40)

    refused(room, attempts, laptop, own, 42)

    assert room.observed(own.id)[-1] == "session.concurrent_device"


@pytest.mark.parametrize(
    ("seconds_ago", "is_evidence"),
    [
        # Seen before it was displaced, and delivered late.
        (700, False),
        # Its clock may be ahead by so much.
        (500, False),
        (60, True),
    ],
)
def test_what_a_displaced_device_has_seen_since_shows_it_at_work(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    seconds_ago: float,
    *,
    is_evidence: bool,
    laptop: Principal,
    own: Attempt,
) -> None:
    room.let_time_pass(own.id, 300)
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 600)
    seen = [
        observed(number, "clipboard.paste", occurred_at=moment(seconds=seconds_ago))
        for number in (1, 2)
    ]

    for event in seen:
        deliver(database, laptop, own.id, event, event)

    found = room.observed(own.id).count("session.concurrent_device")
    assert found == (1 if is_evidence else 0)
    due = room.scalar("SELECT displaced_session IS NULL FROM attempt_activity")
    assert due is is_evidence


def test_only_what_comes_from_a_displaced_device_later_is_evidence(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    laptop: Principal,
    own: Attempt,
) -> None:
    """Not what was under way from one whose clock is ahead, nor what the other does."""
    telephone = room.login(laptop.id)
    take_over(room, attempts, telephone)
    ahead = moment(seconds=-240)
    deliver(database, laptop, own.id, observed(1, "clipboard.copy", occurred_at=ahead))
    room.let_time_pass(own.id, 600)
    deliver(database, telephone, own.id, observed(2, "clipboard.copy"))

    assert "session.concurrent_device" not in room.observed(own.id)


@pytest.mark.parametrize(("silence", "is_evidence"), [(20, True), (61, False)])
def test_taking_the_attempt_back_from_a_device_at_work_is_evidence(
    room: ExamRoom,
    attempts: AttemptService,
    silence: float,
    *,
    is_evidence: bool,
    laptop: Principal,
    own: Attempt,
) -> None:
    """Who comes back to a mended laptop leaves the spare one alone."""
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, silence)

    take_over(room, attempts, laptop)

    assert ("session.concurrent_device" in room.observed(own.id)) is is_evidence


def test_what_another_login_delivers_does_not_make_a_dead_device_look_alive(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    laptop: Principal,
    own: Attempt,
) -> None:
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 300)
    kept = observed(1, "client.power_loss", occurred_at=moment(seconds=310))

    deliver(database, laptop, own.id, kept)
    take_over(room, attempts, laptop)

    assert "session.concurrent_device" not in room.observed(own.id)


def test_the_exams_policy_says_how_long_a_device_counts_as_at_work(
    room: ExamRoom, attempts: AttemptService
) -> None:
    room.set_policy({"concurrent_device_within_seconds": 2})
    laptop = room.new_student()
    own = attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt
    take_over(room, attempts, room.login(laptop.id))
    room.let_time_pass(own.id, 3)

    take_over(room, attempts, laptop)

    assert "session.concurrent_device" not in room.observed(own.id)


def test_a_displaced_device_is_remembered_beyond_a_logout_of_the_other(
    room: ExamRoom, attempts: AttemptService, laptop: Principal, own: Attempt
) -> None:
    spare = room.login(laptop.id)
    take_over(room, attempts, spare)
    room.log_out(spare)
    attempts.start_attempt(room.login(laptop.id), room.exam_id, take_over=False)
    room.let_time_pass(own.id, 3)

    refused(room, attempts, laptop, own, 41)
    room.let_time_pass(own.id, 61)
    refused(room, attempts, laptop, own, 42)

    assert room.observed(own.id)[-1] == "session.concurrent_device"


def test_who_goes_on_when_the_other_has_logged_out_is_not_displaced_any_more(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    laptop: Principal,
    own: Attempt,
) -> None:
    spare = room.login(laptop.id)
    take_over(room, attempts, spare)
    room.log_out(spare)
    attempts.start_attempt(laptop, room.exam_id, take_over=False)
    room.let_time_pass(own.id, 300)

    deliver(database, laptop, own.id, observed(1, "clipboard.paste"))

    assert "session.concurrent_device" not in room.observed(own.id)


def test_a_hand_over_is_logged_with_both_logins_and_the_silence_between(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    laptop: Principal,
    own: Attempt,
) -> None:
    room.let_time_pass(own.id, 20)
    spare = room.login(laptop.id)

    take_over(room, attempts, spare)

    ((of, by, logged),) = run(sql, TAKEN_OVER)
    assert (of, by) == (str(own.id), str(laptop.id))
    assert 20 <= logged.pop("silent_seconds") <= 30
    assert logged == {
        "from_session_id": str(laptop.session_id),
        "to_session_id": str(spare.session_id),
        "is_concurrent": False,
    }


@pytest.mark.parametrize("is_expired", [False, True])
def test_whose_login_has_ended_can_go_on_with_a_new_one(
    room: ExamRoom, attempts: AttemptService, sql: connection, *, is_expired: bool
) -> None:
    before = room.new_student()
    own = attempts.start_attempt(before, room.exam_id, take_over=False).paper.attempt
    if is_expired:
        run(
            sql,
            "UPDATE sessions SET created_at = created_at - interval '1 day',"
            " expires_at = clock_timestamp()",
        )
    else:
        room.log_out(before)
    after = room.login(before.id)

    attempts.start_attempt(after, room.exam_id, take_over=False)

    assert holder_of(room, own.id) == after.session_id
    assert room.event_types(own.id) == ["attempt.started", "attempt.resumed"]
    assert room.observed(own.id) == ["session.started", "session.resumed"]
