"""The students' journals against the database: nothing lost, nothing doubled.

What was acknowledged must be there, once; what is there must have been sent. Between
the two lies what was sent and not acknowledged, which may be either (Jepsen's rule).
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection

from bench.morning.journal import Journal
from services.audit_verification import verify
from tests.databases import connection_to

EVENTS = """
    SELECT e.client_event_id::text, a.seq
      FROM proctoring_events e
      JOIN audit_log a ON a.entity_type = 'event_batch'
                      AND a.entity_id = e.batch_id::text
     WHERE e.sequence IS NOT NULL
"""
ANSWERS = """
    SELECT u.email, w.question_id::text, w.client_version
      FROM answers w
      JOIN attempts a ON a.id = w.attempt_id
      JOIN users u ON u.id = a.student_id
"""
ATTEMPTS = """
    SELECT u.email, a.id::text, a.status
      FROM attempts a JOIN users u ON u.id = a.student_id
"""
SUBMISSIONS = """
    SELECT seq FROM audit_log WHERE event_type = 'attempt.submitted'
"""
EXTENT = "SELECT count(*), max(seq) + 1 FROM audit_log"
DEADLOCKS = """
    SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()
"""


def compare(dsn: str, journals: Sequence[Journal]) -> list[str]:
    """Return a sentence for everything that is wrong: none means none."""
    with closing(psycopg2.connect(dsn)) as sql:
        wrong = [
            *_attempts(sql, journals),
            *_events(sql, journals),
            *_answers(sql, journals),
            *_log(sql, journals),
        ]
    verification = verify(connection_to(dsn))
    if not verification.valid:
        wrong.append(f"the audit log is broken: {verification.errors[:3]}")
    return wrong


def _rows(sql: connection, query: str) -> list[tuple[object, ...]]:
    with sql.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def _attempts(sql: connection, journals: Sequence[Journal]) -> list[str]:
    stored = _rows(sql, ATTEMPTS)
    by_student = Counter(str(email) for email, _, _ in stored)
    doubled = [email for email, count in by_student.items() if count > 1]
    ids = {str(attempt_id) for _, attempt_id, _ in stored}
    known = {attempt_id for each in journals for attempt_id in each.attempt_ids}
    handed_in = {str(email) for email, _, status in stored if status == "submitted"}
    told = {each.email for each in journals if each.receipt_seq is not None}
    return [
        *(f"{email} has {by_student[email]} attempts" for email in doubled),
        *(f"attempt {lost} was acknowledged and is not there" for lost in known - ids),
        *(f"{email} was told that he has submitted" for email in told - handed_in),
    ]


def _events(sql: connection, journals: Sequence[Journal]) -> list[str]:
    rows = _rows(sql, EVENTS)
    stored = {str(event): seq for event, seq in rows}
    sent = {event for each in journals for event in each.sent_events}
    told = {event: seq for each in journals for event, seq in each.events.items()}
    lost = [event for event, seq in told.items() if stored.get(event) != seq]
    return [
        *(
            [f"{len(rows) - len(stored)} events are there twice"]
            * (len(rows) > len(stored))
        ),
        *([f"{len(lost)} acknowledged events are lost"] if lost else []),
        *(["events are there that nobody sent"] if set(stored) - sent else []),
    ]


def _answers(sql: connection, journals: Sequence[Journal]) -> list[str]:
    stored = {
        (str(email), str(question)): int(str(version))
        for email, question, version in _rows(sql, ANSWERS)
    }
    wrong = []
    for each in journals:
        for question, version in each.sent_answers.items():
            found = stored.get((each.email, question), 0)
            if not each.answers.get(question, 0) <= found <= version:
                wrong.append(f"{each.email}: version {found} of {question} is stored")
    return wrong


def _log(sql: connection, journals: Sequence[Journal]) -> list[str]:
    ((count, following),) = _rows(sql, EXTENT)
    ((deadlocks,),) = _rows(sql, DEADLOCKS)
    submissions = {int(str(seq)) for (seq,) in _rows(sql, SUBMISSIONS)}
    receipts = [each.receipt_seq for each in journals if each.receipt_seq is not None]
    wrong = []
    if count != following:
        wrong.append("the audit log has gaps")
    if deadlocks:
        wrong.append(f"{deadlocks} deadlocks")
    if len(set(receipts)) < len(receipts) or not set(receipts) <= submissions:
        wrong.append("receipts name entries that are no submissions")
    return wrong
