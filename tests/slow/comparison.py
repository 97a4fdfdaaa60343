"""What was acknowledged to students, against what is in the database."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing

import psycopg2

from tests.slow.exam_morning import Acknowledged, verify_log
from tests.slow.running import RunningApi


def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as session, session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def stored_events(dsn: str) -> dict[str, int]:
    """Return what clients reported, each with the number of its audit entry."""
    return {
        str(event): int(str(seq))
        for event, seq in rows(
            dsn,
            """
            SELECT e.client_event_id::text, a.seq
              FROM proctoring_events e
              JOIN audit_log a ON a.entity_type = 'event_batch'
                              AND a.entity_id = e.batch_id::text
             WHERE e.sequence IS NOT NULL
            """,
        )
    }


def assert_nothing_is_lost_or_doubled(
    dsn: str, everything: Sequence[Acknowledged]
) -> None:
    """Compare what was acknowledged with what is there."""
    attempts = rows(dsn, "SELECT id::text, status FROM attempts")
    assert len(attempts) == len(everything)
    assert {str(attempt) for attempt, _ in attempts} == {
        attempt for done in everything for attempt in done.attempt_ids
    }
    assert Counter(status for _, status in attempts) == {"submitted": len(everything)}

    acknowledged = {
        event: seq for done in everything for event, seq in done.events.items()
    }
    assert stored_events(dsn) == acknowledged

    answers = {
        (str(email), str(question)): version
        for email, question, version in rows(
            dsn,
            """
            SELECT u.email, w.question_id, w.client_version
              FROM answers w JOIN attempts a ON a.id = w.attempt_id
              JOIN users u ON u.id = a.student_id
            """,
        )
    }
    assert answers == {
        (done.email, question): version
        for done in everything
        for question, version in done.answers.items()
    }

    receipts = {done.receipt["audit_seq"] for done in everything if done.receipt}
    assert len(receipts) == len(everything)


def assert_log_is_whole(dsn: str, api: RunningApi) -> None:
    verification = verify_log(api.url)
    assert verification["valid"], verification
    assert verification["first_seq"] == 0
    (extent,) = rows(dsn, "SELECT count(*), max(seq) + 1 FROM audit_log")
    assert extent[0] == extent[1]
