"""All of it for one morning: a database with its people, gunicorn, and nginx."""

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import bcrypt
import psutil
import psycopg2
from psycopg2.extensions import connection
from psycopg2.extras import execute_values

from bench.morning.student import Account
from bench.morning.timetable import Plan
from bench.stage import fresh_database
from bench.usage import postmaster_of
from models.principal import Principal, Role
from services.tokens import ACCESS, Tokens
from tests.exam_room import CAPITAL, ESSAY, PRODUCT, ExamRoom
from tests.slow.proxy import HOST, RunningProxy, running_proxy
from tests.slow.running import RunningApi, database_variables, running_api
from utils.uuid7 import uuid7

PASSWORD = "a long and lonely password 1"  # noqa: S105 (of people who do not exist)
QUESTIONS = (*[CAPITAL] * 14, *[PRODUCT] * 4, *[ESSAY] * 2)
TOKEN_SECONDS = 3600
# From the exam's row until its morning begins; storing its students takes less.
LEAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who comes: students of the exam, and people who only log in."""

    # Each is that of as many students, in their order.
    exam_ids: Sequence[str]
    # When the morning begins: its exam opens with the phase in which students start.
    begins_at: datetime
    students: Sequence[Account]
    crowd: Sequence[Account]
    # An admin, and a proctor of every exam.
    staff: Sequence[Account]

    def exam_of(self, number: int) -> str:
        """Return which exam this student sits."""
        return self.exam_ids[number * len(self.exam_ids) // len(self.students)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    dsn: str
    cast: Cast
    api: RunningApi
    proxy: RunningProxy

    def processes(self) -> dict[str, psutil.Process]:
        """Return the first process of each part; the others are its children."""
        return {
            "gunicorn": psutil.Process(self.api.process.pid),
            "PostgreSQL": postmaster_of(self.dsn),
            "nginx": psutil.Process(self.proxy.process.pid),
        }


@contextmanager
def staged(
    plan: Plan,
    *,
    rounds: int,
    workers: int,
    log: Path,
    application: str = "app:app",
    gunicorn_options: Sequence[str] = (),
) -> Iterator[Stage]:
    """Set up everything of production but the distance; `rounds` is bcrypt's cost."""
    jwt_key = secrets.token_urlsafe(48)
    production = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": jwt_key,
        "JWT_ACCESS_TOKEN_EXPIRES": str(TOKEN_SECONDS),
        "BCRYPT_ROUNDS": str(rounds),
        "PASSWORD_HASHING_QUEUE": "4",
        "SWEEPER_INTERVAL_SECONDS": "1",
        "LOG_LEVEL": "INFO",
        "TRUSTED_PROXIES": "1",
        "TRUSTED_HOSTS": HOST,
        # As strict as ever, for students who live so much faster.
        "RATELIMIT_DEFAULT": f"{round(100 * max(1.0, plan.compression))} per minute",
        "RATELIMIT_EVENTS": f"{round(120 * max(1.0, plan.compression))} per minute",
        "RATELIMIT_LOGIN_FAILURES": "5 per minute",
        "RATELIMIT_LOGIN_FAILURES_ADDRESS": "50 per minute",
    }
    with fresh_database() as dsn, tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        api_socket = Path(directory) / "gunicorn.sock"
        with (
            log.open("wb") as output,
            running_api(
                database_variables(dsn),
                application=application,
                workers=workers,
                environment=production,
                api_socket=api_socket,
                output=output,
                options=gunicorn_options,
            ) as api,
            running_proxy(api_socket) as proxy,
        ):
            # Last, because the exam opens so soon.
            cast = seed(dsn, plan, jwt_key, rounds)
            yield Stage(dsn=dsn, cast=cast, api=api, proxy=proxy)


def seed(dsn: str, plan: Plan, jwt_key: str, rounds: int) -> Cast:
    """Store an exam and its people: one bcrypt hash for all of them, at its full cost.

    Whoever does not log in that morning has a token of a session before it.
    """
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds)).decode()
    with closing(psycopg2.connect(dsn)) as sql:
        sql.autocommit = True
        # The waiting room is for those who come before the doors open.
        begins = next((p.begins for p in plan.phases if p.name == "start"), 0.0)
        rooms = [
            ExamRoom(
                sql,
                questions=QUESTIONS,
                duration_minutes=180,
                starts_in=f"{LEAD_SECONDS + begins} seconds",
            )
            for _ in range(plan.exams)
        ]
        exam_ids = [str(room.exam_id) for room in rooms]
        opens_at = rooms[-1].scalar(
            "SELECT starts_at FROM exams WHERE id = %s", rooms[-1].exam_id
        )
        assert isinstance(opens_at, datetime)
        students = _store_people(sql, "student", plan.students, hashed)
        crowd = _store_people(sql, "visitor", plan.storm_logins, hashed)
        admins = _store_people(sql, "admin", 1, hashed, Role.ADMIN)
        proctors = _store_people(sql, "proctor", 1, hashed, Role.PROCTOR)
        with sql.cursor() as cursor:
            execute_values(
                cursor,
                "INSERT INTO exam_assignments (exam_id, student_id) VALUES %s",
                [
                    (exam_ids[number * len(exam_ids) // len(students)], str(who.id))
                    for number, who in enumerate(students.values())
                ],
            )
            execute_values(
                cursor,
                "INSERT INTO exam_proctors (exam_id, proctor_id) VALUES %s",
                [(it, str(who.id)) for it in exam_ids for who in proctors.values()],
            )
            cursor.execute("ANALYZE")
        tokens = {} if plan.has_logins else _tokens(sql, students, jwt_key)
    return Cast(
        exam_ids=exam_ids,
        begins_at=opens_at - timedelta(seconds=begins),
        students=[
            Account(email=email, password=PASSWORD, token=tokens.get(email))
            for email in students
        ],
        crowd=[Account(email=email, password=PASSWORD) for email in crowd],
        staff=[Account(email=email, password=PASSWORD) for email in admins | proctors],
    )


def _store_people(
    sql: connection,
    kind: str,
    count: int,
    password_hash: str,
    role: Role = Role.STUDENT,
) -> dict[str, Principal]:
    """Return them by e-mail address; each has a session."""
    people = {
        f"{kind}{number:05}@example.edu": Principal(
            id=uuid7(),
            role=role,
            session_id=uuid7(),
            must_change_password=False,
        )
        for number in range(count)
    }
    with sql.cursor() as cursor:
        execute_values(
            cursor,
            "INSERT INTO users (id, email, email_canonical, full_name, role,"
            " password_hash) VALUES %s",
            [
                (
                    str(who.id),
                    email,
                    email,
                    email.split("@")[0],
                    role,
                    password_hash,
                )
                for email, who in people.items()
            ],
        )
        execute_values(
            cursor,
            "INSERT INTO sessions (id, user_id, expires_at) VALUES %s",
            [(str(who.session_id), str(who.id)) for who in people.values()],
            template="(%s, %s, clock_timestamp() + interval '7 days')",
        )
    return people


def _tokens(
    sql: connection, people: dict[str, Principal], jwt_key: str
) -> dict[str, str]:
    tokens = Tokens(
        jwt_key, None, access_seconds=TOKEN_SECONDS, refresh_seconds=TOKEN_SECONDS
    )
    with sql.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::bigint")
        (row,) = cursor.fetchall()
    now = int(row[0])
    return {
        email: tokens.issue(
            ACCESS,
            user_id=who.id,
            session_id=who.session_id,
            token_id=secrets.token_hex(8),
            issued_at=now,
            expires_at=now + TOKEN_SECONDS,
        )
        for email, who in people.items()
    }
