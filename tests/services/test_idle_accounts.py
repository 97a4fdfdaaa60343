"""Whose account nobody uses, and whose addresses are old: what the retention finds."""

import pytest
from psycopg2.extensions import connection

from models import retention
from models.attempt import Attempt, ReviewStatus
from models.attempt_review import Review
from models.database import Database
from models.exam import ExamStatus
from models.principal import Principal, Role
from models.retention import RetentionClass
from services.attempt_service import AttemptService
from services.exam_service import ExamService
from services.hold_service import HoldService, NewHold
from services.retention_service import EVENTS, RetentionRules, RetentionService
from services.review_service import ReviewService
from services.versions import ANY_VERSION
from tests.audit_trail import run
from tests.by_hand import stated
from tests.exam_room import ExamRoom

AGE_ACCOUNTS = """
    UPDATE users SET created_at = created_at - interval '40 days'
     WHERE id = ANY(%s::uuid[])
"""
AGE_USE = """
    UPDATE sessions SET created_at = created_at - interval '40 days',
                        last_used_at = last_used_at - interval '40 days'
     WHERE user_id = ANY(%s::uuid[])
"""
# All have expired, and of all it is known from where.
AGE_LOGINS = """
    UPDATE sessions SET created_at = created_at - interval '40 days',
                        expires_at = expires_at - interval '40 days',
                        ip_address = '192.0.2.1', user_agent = 'a browser'
"""
# Who logged out could have gone on until next year.
LOG_OUT = """
    UPDATE sessions SET ended_at = clock_timestamp() - %s::interval,
                        ended_reason = 'logout',
                        expires_at = expires_at + interval '1 year'
     WHERE id = %s
"""
FORGET = "UPDATE sessions SET ip_address = NULL, user_agent = '' WHERE id = %s"
FAIL_TO_LOG_IN = """
    SELECT audit_append_one('auth.login_failed', 'user', %s, NULL, NULL, '{}')
"""
NOTHING = RetentionRules(
    event_payloads=None,
    answers=None,
    analyses=None,
    network_addresses=None,
    accounts=None,
)


@pytest.fixture
def holds(database: Database) -> HoldService:
    return HoldService(database)


def age(sql: connection, *people: Principal) -> None:
    """Let forty days pass since an account was made and somebody seen in it."""
    ids = [str(each.id) for each in people]
    run(sql, stated(AGE_ACCOUNTS), ids)
    run(sql, AGE_USE, ids)


def over(database: Database, room: ExamRoom) -> None:
    ExamService(database).change_status(
        ExamStatus.COMPLETED, ANY_VERSION, room.admin, room.exam_id
    )


def under_review(
    room: ExamRoom, attempts: AttemptService, database: Database
) -> Principal:
    """Make a student of whose attempt a person has yet to say something."""
    student = room.new_student()
    own = submitted(room, attempts, student)
    queued = Review(status=ReviewStatus.QUEUED, note=None)
    ReviewService(database).review_attempt(room.admin, own.id, queued)
    return student


def submitted(room: ExamRoom, attempts: AttemptService, student: Principal) -> Attempt:
    own = attempts.start_attempt(student, room.exam_id, take_over=False).paper.attempt
    attempts.submit_attempt(student, own.id)
    return own


def test_an_account_is_idle_if_nothing_needs_it(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    holds: HoldService,
) -> None:
    to_come = ExamRoom(sql)
    people = {
        "idle": room.new_user(Role.STUDENT),
        "assigned to what is over": room.new_student(),
        "staff": room.new_user(Role.PROCTOR),
        "has an attempt": room.new_student(),
        "is to sit an exam": to_come.new_student(),
        "held": room.new_user(Role.STUDENT),
        "seen today": room.new_user(Role.STUDENT),
    }
    submitted(room, attempts, people["has an attempt"])
    over(database, room)
    holds.place_hold(room.admin, NewHold(user_id=people["held"].id, reason="A case."))
    age(sql, *people.values())
    room.login(people["seen today"].id)
    people["made today"] = room.new_user(Role.STUDENT)
    run(sql, "DELETE FROM sessions WHERE user_id = %s", people["made today"].id)

    with database.read() as tx:
        found = retention.list_idle_accounts(tx, days=30, limit=100)

    names = {each.id: name for name, each in people.items()}
    assert {names[each] for each in found} == {"idle", "assigned to what is over"}


def test_the_addresses_of_logins_go_that_ended_long_ago_and_nothing_needs(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    holds: HoldService,
) -> None:
    student = room.new_user(Role.STUDENT)
    held, reviewed = room.new_student(), under_review(room, attempts, database)
    holds.place_hold(room.admin, NewHold(user_id=held.id, reason="A case."))
    logins = {
        "logged out": student.session_id,
        "expired": room.login(student.id).session_id,
        "logged out today": room.login(student.id).session_id,
        "nothing known": room.login(student.id).session_id,
        "of whom a hold keeps": held.session_id,
        "of whose attempt is under review": reviewed.session_id,
    }
    run(sql, AGE_LOGINS)
    run(sql, LOG_OUT, "33 days", logins["logged out"])
    run(sql, LOG_OUT, "0 days", logins["logged out today"])
    run(sql, FORGET, logins["nothing known"])

    with database.read() as tx:
        found = retention.list_old_sessions(tx, days=30, limit=100)

    names = {each: name for name, each in logins.items()}
    assert {names[each] for each in found if each in names} == {"logged out", "expired"}


def test_what_is_said_of_logins_stays_while_something_of_the_person_is_needed(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    holds: HoldService,
) -> None:
    held, reviewed = room.new_student(), under_review(room, attempts, database)
    holds.place_hold(room.admin, NewHold(user_id=held.id, reason="A case."))
    free = room.new_student()
    who = {
        str(free.id): "free",
        str(held.id): "held",
        str(reviewed.id): "under review",
        "pseudonym-of-an-address": "nobody's address",
    }
    for each in who:
        run(sql, FAIL_TO_LOG_IN, each)
    events = EVENTS[RetentionClass.NETWORK_ADDRESSES]

    with database.read() as tx:
        # Of all that was said before now.
        found = retention.list_old_logins(tx, days=0, event_types=events, limit=100)

    said_of = run(
        sql, "SELECT entity_id FROM audit_log WHERE seq = ANY(%s)", list(found)
    )
    assert {who[each] for (each,) in said_of} == {"free", "nobody's address"}


def test_a_class_that_another_process_looks_through_is_not_waited_for(
    room: ExamRoom, database: Database
) -> None:
    service = RetentionService(database)
    service.change_rules(room.admin, NOTHING.model_copy(update={"accounts": 30}))

    with database.transaction() as other:
        assert retention.try_lock_due(other, RetentionClass.ACCOUNTS) is not None
        # It would wait for as long as a lock may be waited for, and fail.
        assert service.run() == 0


def test_a_rule_that_is_changed_is_applied_on_the_same_day(
    room: ExamRoom, database: Database
) -> None:
    service = RetentionService(database)

    def applied_on(days: int) -> object:
        service.change_rules(room.admin, NOTHING.model_copy(update={"accounts": days}))
        with database.read() as tx:
            is_due = retention.is_any_due(tx)
        while service.run():
            pass
        return is_due

    assert applied_on(400)
    assert applied_on(300)
