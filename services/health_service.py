"""Whether the parts that the API needs are there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from models import health
from models.database import Database, DatabaseUnavailableError

VERSION = "0.1.0"

State = Literal["ok", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    status: State
    version: str
    database: State
    # Whether entries can be appended: nothing is written without one.
    audit_log: State
    server_time: datetime | None


class HealthService:
    def __init__(self, database: Database) -> None:
        self._database = database

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
                server_time=None,
            )
        audit_log: State = "ok" if found.has_genesis else "unavailable"
        return Health(
            status=audit_log,
            version=VERSION,
            database="ok",
            audit_log=audit_log,
            server_time=found.server_time,
        )
