"""Where the database is, and what each session asks of it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg2
from psycopg2 import extensions, extras

from models.database_errors import SessionError
from models.watched_connection import WatchedConnection
from utils import stored_json

logger = logging.getLogger(__name__)

# How a session was really begun: a pooler in between may have left out what it was
# asked for (PgBouncer does), and then has to be given it by the login's own defaults.
IN_FORCE: LiteralString = (
    "SELECT name, current_setting(name) FROM unnest(%(names)s::text[]) AS name"
)

IDLE_CHECK_PATIENCE_SECONDS = 2.0


def _register_types() -> None:
    extensions.register_adapter(dict, extras.Json)
    extras.register_uuid()  # type: ignore[no-untyped-call]
    extras.register_default_json(globally=True, loads=stored_json.read)
    extras.register_default_jsonb(globally=True, loads=stored_json.read_binary)

    def to_bytes(value: str | bytes | None, cursor: extensions.cursor) -> bytes | None:
        found = psycopg2.BINARY(value, cursor)
        return None if found is None else bytes(found)

    extensions.register_type(
        extensions.new_type(psycopg2.BINARY.values, "BYTES", to_bytes)
    )


_register_types()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Where the database is, and how long anyone waits for it (in seconds)."""

    host: str
    port: int
    name: str
    user: str
    password: str = field(default="", repr=False)
    sslmode: str = "prefer"
    # What every connection becomes. None keeps the login role (for administration).
    role: str | None = "proctoring_app"
    pool_size: int = 10
    pool_wait_seconds: float = 2.0
    connect_timeout_seconds: int = 3
    statement_timeout_seconds: float = 5.0
    lock_timeout_seconds: float = 2.0

    @property
    def session(self) -> dict[str, str]:
        """What each session asks for, by parameter, in the words that PostgreSQL shows.

        deploy/logins.sh has it once more, for sessions through a pooler.
        """
        asked = {
            "search_path": "public",
            "timezone": "UTC",
            # What waits for the disk must do so whatever the server's default is.
            "synchronous_commit": "on",
            "statement_timeout": _duration(self.statement_timeout_seconds),
            "lock_timeout": _duration(self.lock_timeout_seconds),
            "idle_in_transaction_session_timeout": _duration(10),
        }
        return asked if self.role is None else {**asked, "role": self.role}

    def connect(self) -> WatchedConnection:
        """Open a connection in autocommit. Raises SessionError and psycopg2.Error."""
        asked = self.session
        connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            dbname=self.name,
            user=self.user,
            password=self.password,
            sslmode=self.sslmode,
            connect_timeout=self.connect_timeout_seconds,
            # A server that vanished without a word is noticed in seconds, not hours.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=10_000,
            application_name="proctoring",
            options=" ".join(
                f"-c {name}={value}"
                for name, value in {**asked, "datestyle": "ISO"}.items()
            ),
            connection_factory=WatchedConnection,
        )
        connection.autocommit = True
        _check_session(connection, asked)
        return connection


def _duration(seconds: float) -> str:
    """Return a length of time as PostgreSQL shows it, in its largest whole unit."""
    milliseconds = int(seconds * 1000)
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0"


def _check_session(connection: WatchedConnection, asked: Mapping[str, str]) -> None:
    with connection.cursor() as cursor:
        connection.ask(
            cursor,
            IN_FORCE,
            {"names": list(asked)},
            patience_seconds=IDLE_CHECK_PATIENCE_SECONDS,
        )
        found = dict(cursor.fetchall())
    lost = {name: found[name] for name in asked if found[name] != asked[name]}
    if lost:
        connection.close()
        logger.error("a session without what it was asked for", extra={"found": lost})
        raise SessionError(f"the session has {lost}")
