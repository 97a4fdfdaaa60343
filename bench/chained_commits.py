"""Chained commits against the same two inserts unchained.

    python -m bench.chained_commits "host=… user=… dbname=…"

The database must be migrated and its own: what is written stays in its audit log.
Both ways send the same rows in the same number of messages and are on disk when they
are answered. They take turns, so that a busy neighbour slows both.
"""

import argparse
import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from uuid import uuid4

import psycopg2
from psycopg2.extensions import connection
from psycopg2.extras import register_uuid

from models.transaction import APPEND_ONE_AND_COMMIT, BEGIN_WRITING

PREPARE = """
    DROP TABLE IF EXISTS bench_events, bench_unchained;
    CREATE TABLE bench_events (
        id uuid PRIMARY KEY, attempt_id uuid NOT NULL, payload text NOT NULL);
    CREATE TABLE bench_unchained (LIKE audit_log INCLUDING ALL);
    CREATE SEQUENCE bench_unchained_seq OWNED BY bench_unchained.seq;
"""
CLEAN_UP = "DROP TABLE bench_events, bench_unchained"
INSERT_EVENT = """
    INSERT INTO bench_events (id, attempt_id, payload)
    VALUES (%(id)s, %(attempt_id)s, %(payload)s)
"""
INSERT_UNCHAINED = """
    INSERT INTO bench_unchained (
        seq, recorded_at, xid, flags, schema_version, event_type, entity_type,
        entity_id, actor_id, attempt_id, payload, payload_salt, payload_hash,
        state_hash, previous_hash, hash)
    VALUES (
        nextval('bench_unchained_seq'), clock_timestamp(), 1, 0, 1, %(event_type)s,
        %(entity_type)s, %(entity_id)s, %(actor_id)s, %(attempt_id)s, %(payload)s,
        %(hash)s, %(hash)s, %(hash)s, %(hash)s, %(hash)s);
    COMMIT
"""

Commit = Callable[[connection], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedCommits:
    chained_per_second: float
    unchained_per_second: float

    @property
    def ratio(self) -> float:
        return self.chained_per_second / self.unchained_per_second


def measure(
    dsn: str, *, connections: int = 8, rounds: int = 5, round_seconds: float = 1.0
) -> ChainedCommits:
    """Commit from `connections` threads in turns of `round_seconds`."""
    with closing(psycopg2.connect(dsn)) as owner:
        owner.autocommit = True
        with owner.cursor() as cursor:
            cursor.execute(PREPARE)
        chained = unchained = 0
        for _ in range(rounds):
            unchained += _commits(dsn, connections, round_seconds, _commit_unchained)
            chained += _commits(dsn, connections, round_seconds, _commit_chained)
        with owner.cursor() as cursor:
            cursor.execute(CLEAN_UP)
    seconds = rounds * round_seconds
    return ChainedCommits(
        chained_per_second=chained / seconds, unchained_per_second=unchained / seconds
    )


def _commits(dsn: str, connections: int, seconds: float, commit: Commit) -> int:
    counts = [0] * connections
    start = threading.Barrier(connections)

    def work(number: int) -> None:
        with closing(psycopg2.connect(dsn)) as session:
            session.autocommit = True
            commit(session)
            start.wait()
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                commit(session)
                counts[number] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _event() -> dict[str, object]:
    payload = {"event_type": "tab_switched", "sequence": 17, "text": "x" * 180}
    return {"id": uuid4(), "attempt_id": uuid4(), "payload": json.dumps(payload)}


def _entry(event: dict[str, object]) -> dict[str, object]:
    return {
        "event_type": "proctoring.events_recorded",
        "entity_type": "attempt",
        "entity_id": str(event["attempt_id"]),
        "actor_id": str(event["id"]),
        "attempt_id": event["attempt_id"],
        "payload": event["payload"],
    }


def _commit_chained(session: connection) -> None:
    event = _event()
    with session.cursor() as cursor:
        cursor.execute(BEGIN_WRITING + INSERT_EVENT, event)
        cursor.execute(APPEND_ONE_AND_COMMIT, _entry(event))
        cursor.fetchall()


def _commit_unchained(session: connection) -> None:
    event = _event()
    with session.cursor() as cursor:
        cursor.execute("BEGIN; " + INSERT_EVENT, event)
        cursor.execute(
            INSERT_UNCHAINED, _entry(event) | {"hash": secrets.token_bytes(32)}
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dsn")
    parser.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    result = measure(arguments.dsn, connections=arguments.connections)
    print(
        f"chained {result.chained_per_second:,.0f}/s,"
        f" unchained {result.unchained_per_second:,.0f}/s, ratio {result.ratio:.2f}"
    )


register_uuid()  # type: ignore[no-untyped-call]

if __name__ == "__main__":
    main()
