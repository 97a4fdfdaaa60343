"""One question that only a working database answers."""

from dataclasses import dataclass
from datetime import datetime

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    server_time: datetime
    has_genesis: bool
    is_suspended: bool
    # The newest migration that was applied; 0 if none was.
    schema_version: int
    # A standby answers too, and takes nothing.
    is_standby: bool


PROBE = """
    SELECT clock_timestamp() AS server_time,
           EXISTS (SELECT FROM audit_log WHERE seq = 0) AS has_genesis,
           EXISTS (SELECT FROM audit_head WHERE suspension IS NOT NULL) AS is_suspended,
           (SELECT coalesce(max(version), 0) FROM schema_migrations) AS schema_version,
           pg_is_in_recovery() AS is_standby
"""


def probe(tx: Transaction) -> Probe:
    return tx.one(Probe, PROBE)
