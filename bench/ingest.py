"""Events over HTTP, singly and in batches, each against its limit.

One at a time: against a route that does nothing. In batches: against psycopg2 alone.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from uuid import uuid4

import psycopg2
from psycopg2 import extras

from bench.at_once import seconds_for
from bench.http_load import request_bytes, requests_per_second
from bench.stage import Student
from tests.exams import Json
from tests.reports import observed

CONNECTIONS = 8
BATCH = 100
GOOD = frozenset({200, 201})

INSERT = """
    INSERT INTO proctoring_events
        (id, attempt_id, batch_id, client_event_id, sequence, event_type, event_class,
         severity, occurred_at, payload)
    VALUES %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What both sides did in turn, a second."""

    ours: float
    limit: float

    @property
    def ratio(self) -> float:
        return self.ours / self.limit


class Ingest:
    def __init__(self, dsn: str, port: int, students: Sequence[Student]) -> None:
        self._dsn = dsn
        self._port = port
        self._students = students
        # Every client counts for itself and without a gap, as a healthy one does. What
        # never reaches us counts apart, or it would leave holes.
        self._sequences = {each.attempt_id: count(1) for each in students}
        self._elsewhere = count(1)

    def singles(self, requests: int) -> Round:
        """POST /event against the no-op, `requests` on each of the connections."""
        students = self._students[:CONNECTIONS]
        noop = [
            self._singles("/bench/noop", each, self._elsewhere, requests)
            for each in students
        ]
        ours = [
            self._singles("/api/proctoring/event", each, self._counter(each), requests)
            for each in students
        ]
        return Round(
            limit=requests_per_second(self._port, noop, GOOD),
            ours=requests_per_second(self._port, ours, GOOD),
        )

    def batches(self, requests: int) -> Round:
        """Events a second in batches, against the same rows without us."""
        queues = [
            [self._batch(student) for _ in range(requests)]
            for student in self._students[:CONNECTIONS]
        ]
        limit = self._insert_alone(requests)
        ours = requests_per_second(self._port, queues, GOOD)
        return Round(limit=limit, ours=ours * BATCH)

    def _counter(self, student: Student) -> Iterator[int]:
        return self._sequences[student.attempt_id]

    def _singles(
        self, path: str, student: Student, sequences: Iterator[int], requests: int
    ) -> list[bytes]:
        about = {"attempt_id": str(student.attempt_id)}
        bodies = [about | _event(next(sequences)) for _ in range(requests)]
        return [
            request_bytes("POST", path, student.token, json.dumps(body).encode())
            for body in bodies
        ]

    def _batch(self, student: Student) -> bytes:
        sequences = self._counter(student)
        events = [_event(next(sequences)) for _ in range(BATCH)]
        body = {"attempt_id": str(student.attempt_id), "events": events}
        return request_bytes(
            "POST", "/api/proctoring/events", student.token, json.dumps(body).encode()
        )

    def _insert_alone(self, batches: int) -> float:
        """Insert rows as bare psycopg2 does best: 100 in a statement, then commit."""
        work = [
            [[self._row(student) for _ in range(BATCH)] for _ in range(batches)]
            for student in self._students[:CONNECTIONS]
        ]

        def prepare(queue: list[list[tuple[object, ...]]]) -> Callable[[], None]:
            session = psycopg2.connect(self._dsn)

            def insert_all() -> None:
                with closing(session):
                    for rows in queue:
                        with session, session.cursor() as cursor:
                            extras.execute_values(cursor, INSERT, rows, page_size=BATCH)

            return insert_all

        return len(work) * batches * BATCH / seconds_for(work, prepare)

    def _row(self, student: Student) -> tuple[object, ...]:
        event = _event(next(self._elsewhere))
        return (
            str(uuid4()),
            str(student.attempt_id),
            str(uuid4()),
            event["client_event_id"],
            event["sequence"],
            "focus.lost",
            "integrity",
            "low",
            event["occurred_at"],
            extras.Json(event["payload"]),
        )


def _event(sequence: int) -> Json:
    return observed(sequence, payload={"duration_ms": 1200, "confidence": 0.9})
