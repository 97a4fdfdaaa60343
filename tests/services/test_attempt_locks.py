"""Whoever decides about an attempt locks it first, and reads the clock afterwards."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection

from models import attempt
from models.attempt import Attempt
from models.database import Database
from models.transaction import Transaction
from services.attempt_service import AttemptService
from tests.audit_trail import run, scalar
from tests.by_hand import stated
from tests.exam_room import ExamRoom
from tests.waiting import until_somebody_waits_for_a_lock

# Locks those that run, of which it is told one, and returns them.
Lock = Callable[[Transaction, Attempt], object]
OF_ONE: dict[str, Lock] = {
    "for update": lambda tx, one: attempt.get_for_update(tx, one.id),
    "for share": lambda tx, one: attempt.get_for_share(tx, one.id),
    "of the student": lambda tx, one: attempt.get_running_for_update(
        tx, one.student_id
    ),
    "of the exam": lambda tx, one: attempt.lock_running_of_exam(tx, one.exam_id)[0],
    "among": lambda tx, one: attempt.lock_running_among(tx, [one.id])[0],
}


@pytest.mark.parametrize("lock", OF_ONE.values(), ids=OF_ONE)
def test_the_time_is_that_after_the_wait(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    sql: connection,
    dsn: str,
    lock: Lock,
) -> None:
    """Or who waits beyond his deadline would be taken for one who came in time."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt

    def read() -> object:
        with database.transaction() as tx:
            return lock(tx, own)

    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(1) as pool:
        run(other, "SELECT id FROM attempts FOR UPDATE")
        reading = pool.submit(read)
        until_somebody_waits_for_a_lock(sql)
        waited_until = scalar(sql, "SELECT clock_timestamp()")
        other.commit()

    found = reading.result()
    assert isinstance(found, Attempt)
    assert found.read_at > waited_until


@pytest.mark.parametrize(
    "lock",
    [
        lambda tx, _, exam_id: attempt.lock_running_of_exam(tx, exam_id),
        lambda tx, ids, _: attempt.lock_running_among(tx, ids[::-1]),
    ],
    ids=["of the exam", "among"],
)
def test_all_lock_many_in_one_order(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    sql: connection,
    dsn: str,
    lock: Callable[..., object],
) -> None:
    """Or two who lock the same would wait for each other."""
    first, second = (
        attempts.start_attempt(
            room.new_student(), room.exam_id, take_over=False
        ).paper.attempt.id
        for _ in range(2)
    )
    # From now on it lies behind the other one.
    run(sql, stated("UPDATE attempts SET end_reason = 'moved' WHERE id = %s"), first)

    def lock_both() -> None:
        with database.transaction() as tx:
            # Whatever an index has to say about their order.
            tx.execute("SET LOCAL enable_indexscan = off")
            tx.execute("SET LOCAL enable_bitmapscan = off")
            lock(tx, [first, second], room.exam_id)

    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(1) as pool:
        run(other, "SELECT id FROM attempts WHERE id = %s FOR UPDATE", first)
        locking = pool.submit(lock_both)
        until_somebody_waits_for_a_lock(sql)
        run(sql, "SELECT id FROM attempts WHERE id = %s FOR UPDATE NOWAIT", second)
        other.commit()
    locking.result()
