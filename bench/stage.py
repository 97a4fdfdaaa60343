"""Students in the middle of an exam, and the server that they talk to."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg2
from psycopg2.extensions import connection

from database import embedded
from database.migrate import migrate
from models.database import Database
from services.attempt_service import AttemptService
from services.tokens import ACCESS, Tokens
from tests.databases import connection_to
from tests.exam_room import ExamRoom
from tests.slow.running import (
    RunningApi,
    create_database,
    database_variables,
    running_api,
)

ACCESS_SECONDS = 3600
NO_LIMIT = "100000000 per minute"


@dataclass(frozen=True, slots=True)
class Student:
    """Somebody with a running attempt and an access token."""

    attempt_id: UUID
    token: str


@contextmanager
def fresh_database(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Give the superuser's DSN of a migrated database on a server that flushes."""
    home = Path(tempfile.mkdtemp(prefix="proctoring-bench-"))
    home.chmod(0o711)
    server = embedded.start(
        home / "postgres", {"max_connections": "200", **(settings or {})}
    )
    try:
        dsn = create_database(server, "bench")
        migrate(dsn, lambda _: None)
        yield dsn
    finally:
        if embedded.stop(server):
            shutil.rmtree(home)


def seat_students(dsn: str, count: int, jwt_key: str) -> list[Student]:
    """Let so many students start the same exam."""
    tokens = Tokens(
        jwt_key, None, access_seconds=ACCESS_SECONDS, refresh_seconds=ACCESS_SECONDS
    )
    students = []
    with (
        closing(psycopg2.connect(dsn)) as sql,
        closing(Database(connection_to(dsn))) as database,
    ):
        sql.autocommit = True
        room = ExamRoom(sql)
        attempts = AttemptService(database)
        for _ in range(count):
            student = room.new_student()
            paper = attempts.start_attempt(student, room.exam_id, take_over=False)
            now = _database_seconds(sql)
            token = tokens.issue(
                ACCESS,
                user_id=student.id,
                session_id=student.session_id,
                token_id=secrets.token_hex(8),
                issued_at=now,
                expires_at=now + ACCESS_SECONDS,
            )
            students.append(Student(paper.paper.attempt.id, token))
    return students


def _database_seconds(sql: connection) -> int:
    with sql.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::bigint")
        (row,) = cursor.fetchall()
    return int(row[0])


@contextmanager
def serving(dsn: str, jwt_key: str) -> Iterator[RunningApi]:
    """Run gunicorn as the deployment notes have it."""
    environment = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": jwt_key,
        "JWT_ACCESS_TOKEN_EXPIRES": str(ACCESS_SECONDS),
        # Analyses run in the background of both sides, and of an attempt with ten
        # thousand events they take longer than of any that a student makes.
        "SWEEPER_INTERVAL_SECONDS": "0",
        **{f"RATELIMIT_{name}": NO_LIMIT for name in ("DEFAULT", "EVENTS")},
    }
    with running_api(
        database_variables(dsn),
        application="bench.noop_app:make_app()",
        workers=2,
        keep_alive_seconds=60,
        environment=environment,
    ) as api:
        yield api
