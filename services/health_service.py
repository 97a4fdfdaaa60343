"""Whether the parts that the API needs are there."""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from models import health, operations
from models.database import Database
from models.database_errors import DatabaseUnavailableError, PoolBusyError
from models.operations import Operations
from services.log_watch import LogCheck, LogWatch

VERSION = "0.1.0"

State = Literal["ok", "unavailable"]
# Reading goes on, writing does not.
ReadOnly = Literal["read_only"]
ReadyState = Literal["ready", "draining", "unavailable"]

# Balancers ask often, and every process is asked: one answer holds for so long.
READY_FOR_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    status: State | ReadOnly
    version: str
    # `busy`: every connection of this process is lent out, so it was not asked.
    database: State | Literal["busy"]
    # Whether entries can be appended: nothing is written without one.
    audit_log: State | ReadOnly
    # Whether it continues what was signed of it, as far as this process knows.
    log_check: LogCheck
    server_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    status: ReadyState
    # For whoever has to find out why not.
    reason: str | None


READY: Final = Readiness(status="ready", reason=None)


class HealthService:
    """`drain_file`: while it exists, this host wants no new work.

    `schema_version` is the newest migration that this code knows.
    """

    def __init__(
        self,
        database: Database,
        watch: LogWatch,
        *,
        schema_version: int,
        drain_file: Path | None,
    ) -> None:
        self._database = database
        self._watch = watch
        self._schema_version = schema_version
        self._drain_file = drain_file
        self._readiness = READY
        self._asked_at = float("-inf")

    def check(self) -> Health:
        """Ask the database one small question. Never raises for its absence."""
        try:
            with self._database.read() as tx:
                found = health.probe(tx)
        except DatabaseUnavailableError as error:
            return Health(
                status="unavailable",
                version=VERSION,
                database="busy" if isinstance(error, PoolBusyError) else "unavailable",
                audit_log="unavailable",
                log_check=LogCheck.NOT_CHECKED,
                server_time=None,
            )
        audit_log: State | ReadOnly = "ok" if found.has_genesis else "unavailable"
        log_check = self._watch.result
        if found.is_suspended:
            audit_log, log_check = "read_only", LogCheck.CONTRADICTED
        elif log_check is LogCheck.CONTRADICTED:
            # Somebody has ended that, and this process has not compared again.
            log_check = LogCheck.NOT_CHECKED
        return Health(
            status=audit_log,
            version=VERSION,
            database="ok",
            audit_log=audit_log,
            log_check=log_check,
            server_time=found.server_time,
        )

    def ready(self) -> Readiness:
        """Say whether a balancer should send requests here. Never raises."""
        if self._drain_file is not None and self._drain_file.exists():
            return Readiness(status="draining", reason="this host is being drained")
        now = time.monotonic()
        if now - self._asked_at > READY_FOR_SECONDS:
            self._readiness = self._find_out()
            self._asked_at = now
        return self._readiness

    def _find_out(self) -> Readiness:
        try:
            with self._database.read() as tx:
                found = health.probe(tx)
        except PoolBusyError:
            # There is much to do. Sent elsewhere, it would be as much there.
            return READY
        except DatabaseUnavailableError:
            reason = "the database does not answer"
        else:
            if found.is_standby:
                reason = "the database is a standby: it takes no writes"
                return Readiness(status="unavailable", reason=reason)
            # A newer schema than ours is what a release leaves that is rolled back.
            if found.schema_version >= self._schema_version:
                return READY
            reason = (
                f"the schema is of version {found.schema_version}, and this code needs"
                f" {self._schema_version}: python -m database.migrate"
            )
        return Readiness(status="unavailable", reason=reason)

    def look(self) -> Operations | None:
        """Return how the work stands; None if the database does not say."""
        try:
            try:
                with self._database.read() as tx:
                    return operations.look(tx)
            except PoolBusyError:
                # That is when somebody wants to know, and it is not the database that
                # is away.
                with self._database.read_beside() as tx:
                    return operations.look(tx)
        except DatabaseUnavailableError:
            return None
