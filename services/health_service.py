"""Whether the parts that the API needs are there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from models import health
from models.database import Database, DatabaseUnavailableError
from services.log_watch import LogCheck, LogWatch

VERSION = "0.1.0"

State = Literal["ok", "unavailable"]
# Reading goes on, writing does not.
ReadOnly = Literal["read_only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    status: State | ReadOnly
    version: str
    database: State
    # Whether entries can be appended: nothing is written without one.
    audit_log: State | ReadOnly
    # Whether it continues what was signed of it, as far as this process knows.
    log_check: LogCheck
    server_time: datetime | None


class HealthService:
    def __init__(self, database: Database, watch: LogWatch) -> None:
        self._database = database
        self._watch = watch

    def check(self) -> Health:
        """Ask the database one small question. Never raises for its absence."""
        try:
            with self._database.read() as tx:
                found = health.probe(tx)
        except DatabaseUnavailableError:
            return Health(
                status="unavailable",
                version=VERSION,
                database="unavailable",
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
