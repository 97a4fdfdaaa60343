"""What can go wrong between us and PostgreSQL, translated here, once.

`DatabaseUnavailableError` (try again later) and `ConstraintError` (a named rule of the
schema said no). Anything else is a defect.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import errorcodes

from utils import metrics

logger = logging.getLogger(__name__)

# What audit_guard_suspension raises.
LOG_SUSPENDED = "LG001"
# A statement that ended for one of these reasons may well succeed a moment later.
TRANSIENT = frozenset(
    {
        errorcodes.SERIALIZATION_FAILURE,
        errorcodes.DEADLOCK_DETECTED,
        errorcodes.LOCK_NOT_AVAILABLE,
        errorcodes.READ_ONLY_SQL_TRANSACTION,
        errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    }
)


class DatabaseUnavailableError(Exception):
    """The server is away, or every connection is busy. Trying again may help.

    Whether an interrupted commit took place is unknown: whatever is sent again must
    be idempotent.
    """


class PoolBusyError(DatabaseUnavailableError):
    """Every connection is lent out. The database itself may be well."""


class SessionError(DatabaseUnavailableError):
    """The session is not as it was asked for, so nothing is done in it.

    Without a time limit a statement could last for ever, and without a synchronous
    commit an answer would promise what a crash may take.
    """


class LogSuspendedError(Exception):
    """The log contradicts what was signed of it, so nothing may be appended.

    It stays so until a person has decided: docs/decisions/0013-epochs.md.
    """


class ConstraintError(Exception):
    """A constraint of the schema refused the statement."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class RowError(Exception):
    """A row does not fit the type that it is read as: a defect."""

    def __init__(self, row_type: type[Any], places: Sequence[str]) -> None:
        super().__init__(f"{row_type!r} does not fit at {', '.join(places)}")
        self.places = places


@contextmanager
def translated() -> Iterator[None]:
    try:
        with _without_rows():
            yield
    except psycopg2.IntegrityError as error:
        raise ConstraintError(error.diag.constraint_name or "unnamed") from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        metrics.DATABASE_FAILURES.labels("away").inc()
        logger.warning("database unavailable", extra={"cause": _in_one_line(error)})
        raise DatabaseUnavailableError("the database did not answer") from error
    except psycopg2.Error as error:
        if error.pgcode == LOG_SUSPENDED:
            raise LogSuspendedError from error
        if error.pgcode in TRANSIENT:
            metrics.DATABASE_FAILURES.labels("busy").inc()
            raise DatabaseUnavailableError("the database is busy") from error
        # A bare DatabaseError without a code is no answer of the server's at all:
        # psycopg2 says so when the connection breaks in the middle of a message.
        if type(error) is psycopg2.DatabaseError and error.pgcode is None:
            metrics.DATABASE_FAILURES.labels("away").inc()
            raise DatabaseUnavailableError("the database hung up") from error
        raise


@contextmanager
def _without_rows() -> Iterator[None]:
    """Leave of a refusal its first line.

    The others say what is in the row, "Failing row contains (…)": answers, hashes of
    passwords. Whatever is not expected gets into the log of the process.
    """
    try:
        yield
    except psycopg2.Error as error:
        if error.diag.message_primary is not None:
            error.args = (f"{error.pgcode}: {error.diag.message_primary}",)
        raise


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
