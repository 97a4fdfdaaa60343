"""Events over HTTP, singly and in batches, each against its limit.

One at a time: against a route that does nothing. In batches: against psycopg2 alone.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from uuid import uuid4

import psutil
import psycopg2
from psycopg2 import extras

from bench.at_once import seconds_for
from bench.http_load import request_bytes, seconds_to_send
from bench.stage import Student
from bench.usage import Usage, postmaster_of
from tests.exams import Json
from tests.reports import observed
from tests.slow.running import RunningApi

CONNECTIONS = 8
BATCH = 100
GOOD = frozenset({200, 201})

INSERT = """
    INSERT INTO proctoring_events
        (id, attempt_id, batch_id, client_event_id, sequence, event_type, event_class,
         severity, occurred_at, payload)
    VALUES %s
"""

Rows = Sequence[tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many requests or batches a second, and the processor time that each took.

    `spent_ms` is by part: gunicorn, PostgreSQL, and the clients.
    """

    a_second: float
    spent_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What both sides did in turn."""

    ours: Pace
    limit: Pace

    @property
    def ratio(self) -> float:
        return self.ours.a_second / self.limit.a_second


class Ingest:
    def __init__(self, dsn: str, api: RunningApi, students: Sequence[Student]) -> None:
        self._dsn = dsn
        self._port = api.port
        self._parts = {
            "gunicorn": psutil.Process(api.process.pid),
            "PostgreSQL": postmaster_of(dsn),
        }
        self._students = students
        self._fresh = iter(students[CONNECTIONS:])
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
        return Round(limit=self._sent(noop), ours=self._stored(ours, events_each=1))

    def batches(self, requests: int) -> Round:
        """Batches of events, against the same rows without us.

        By other students each time: an attempt takes only so many events.
        """
        students = [next(self._fresh) for _ in range(CONNECTIONS)]
        queues = [
            [self._batch(student) for _ in range(requests)] for student in students
        ]
        rows = [
            [[self._row(student) for _ in range(BATCH)] for _ in range(requests)]
            for student in students
        ]
        return Round(
            limit=self._inserted(rows),
            ours=self._stored(queues, events_each=BATCH),
        )

    def _stored(self, queues: Sequence[Sequence[bytes]], events_each: int) -> Pace:
        """Send reports, and raise RuntimeError unless all their events were taken."""
        before = self._count_events()
        pace = self._sent(queues)
        taken = self._count_events() - before
        sent = events_each * sum(len(queue) for queue in queues)
        if taken != sent:
            raise RuntimeError(f"of {sent} events {taken} were taken")
        return pace

    def _count_events(self) -> int:
        with closing(psycopg2.connect(self._dsn)) as sql, sql.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM proctoring_events")
            (row,) = cursor.fetchall()
        return int(row[0])

    def _inserted(self, queues: Sequence[Sequence[Rows]]) -> Pace:
        return self._paced(
            sum(len(queue) for queue in queues),
            lambda: seconds_to_insert(self._dsn, queues),
        )

    def _sent(self, queues: Sequence[Sequence[bytes]]) -> Pace:
        return self._paced(
            sum(len(queue) for queue in queues),
            lambda: seconds_to_send(self._port, queues, GOOD),
        )

    def _paced(self, pieces: int, seconds_for_all: Callable[[], float]) -> Pace:
        before = Usage.now(self._parts)
        seconds = seconds_for_all()
        spent = Usage.now(self._parts).since(before)
        return Pace(
            a_second=pieces / seconds,
            spent_ms={name: 1000 * used / pieces for name, used in spent.items()},
        )

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


def seconds_to_insert(dsn: str, queues: Sequence[Sequence[Rows]]) -> float:
    """Insert as bare psycopg2 does best: all rows in one statement, then commit."""

    def prepare(queue: Sequence[Rows]) -> Callable[[], None]:
        session = psycopg2.connect(dsn)

        def insert_all() -> None:
            with closing(session):
                for rows in queue:
                    with session, session.cursor() as cursor:
                        extras.execute_values(cursor, INSERT, rows, page_size=BATCH)

        return insert_all

    return seconds_for(queues, prepare)


def _event(sequence: int) -> Json:
    return observed(sequence, payload={"duration_ms": 1200, "confidence": 0.9})
