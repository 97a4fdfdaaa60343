"""The attempt_activity table, as those who change many of its rows share it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Final
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from models import analysis_queue, attempt_activity
from models.database import Database
from services.attempt_service import AttemptService
from tests.audit_trail import run, scalar
from tests.exam_room import ExamRoom
from tests.waiting import until_somebody_waits_for_a_lock

HOUR: Final = timedelta(hours=1)
LOCK = "SELECT 1 FROM attempt_activity WHERE attempt_id = %s FOR UPDATE NOWAIT"


@pytest.fixture
def other(dsn: str) -> Iterator[connection]:
    with closing(psycopg2.connect(dsn)) as session:
        yield session


# What it would write leaves no entry, so it is undone.
def test_attempts_are_asked_for_in_one_order(
    sql: connection, other: connection, database: Database
) -> None:
    """Whatever their order on the disk: two at once would wait for each other."""
    room, attempts = ExamRoom(sql), AttemptService(database)
    first, second = sorted(_begun(room, attempts) for _ in range(2))
    # Its row is now behind the other's.
    run(sql, "DELETE FROM attempt_activity WHERE attempt_id = %s", str(first))
    run(sql, "INSERT INTO attempt_activity (attempt_id) VALUES (%s)", str(first))
    run(other, LOCK, str(first))

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_ask, database, [first, second])
        until_somebody_waits_for_a_lock(sql)
        run(sql, LOCK, str(second))
        other.rollback()
        asked.result()


def test_who_waits_for_an_analysis_does_not_lose_his_place(
    sql: connection, database: Database
) -> None:
    """Or who is asked for all the time would never be analysed."""
    own = _begun(ExamRoom(sql), AttemptService(database))
    due = "SELECT analysis_due_since FROM attempt_activity WHERE attempt_id = %s"
    before = scalar(sql, due, own)

    with database.bookkeeping() as tx:
        attempt_activity.request_analysis(tx, [own])

    assert scalar(sql, due, own) == before


@pytest.mark.parametrize("within", [timedelta(0), timedelta(minutes=10)])
def test_who_is_being_analysed_when_the_others_change_is_so_once_more(
    sql: connection, database: Database, within: timedelta
) -> None:
    room, attempts = ExamRoom(sql), AttemptService(database)
    student = room.new_student()
    begun = attempts.start_attempt(student, room.exam_id, take_over=False)
    attempts.submit_attempt(student, begun.paper.attempt.id)
    with database.bookkeeping() as tx:
        (claim,) = analysis_queue.claim(tx, limit=9, lease=HOUR / 120, spacing=HOUR)
        attempt_activity.request_analysis_of_exam(tx, room.exam_id, within=within)

    with database.bookkeeping() as tx:
        analysis_queue.settle(tx, claim)

    due = "SELECT analysis_due_since IS NOT NULL FROM attempt_activity"
    assert scalar(sql, due) is True


def test_what_others_analyse_is_not_waited_for(
    sql: connection, other: connection, database: Database
) -> None:
    room, attempts = ExamRoom(sql), AttemptService(database)
    first, second = _begun(room, attempts), _begun(room, attempts)
    run(other, LOCK, str(first))

    with database.bookkeeping() as tx:
        claims = analysis_queue.claim(tx, limit=9, lease=HOUR, spacing=HOUR)

    assert [each.attempt_id for each in claims] == [second]


def test_nobody_gives_back_what_another_has_claimed_since(
    sql: connection, database: Database
) -> None:
    """He was so slow that his claim was over."""
    _begun(ExamRoom(sql), AttemptService(database))
    with database.bookkeeping() as tx:
        slow = analysis_queue.claim(tx, limit=9, lease=-HOUR, spacing=HOUR)
    with database.bookkeeping() as tx:
        taken = analysis_queue.claim(tx, limit=9, lease=HOUR, spacing=HOUR)

    with database.bookkeeping() as tx:
        analysis_queue.give_back(tx, slow)

    due = "SELECT analysis_due_since FROM attempt_activity"
    assert scalar(sql, due) == taken[0].until


def _begun(room: ExamRoom, attempts: AttemptService) -> UUID:
    student = room.new_student()
    begun = attempts.start_attempt(student, room.exam_id, take_over=False)
    return begun.paper.attempt.id


def _ask(database: Database, attempt_ids: list[UUID]) -> None:
    with database.transaction() as tx:
        attempt_activity.request_analysis(tx, attempt_ids)
