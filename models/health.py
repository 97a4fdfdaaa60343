"""One question that only a working database answers."""

from dataclasses import dataclass
from datetime import datetime

from models.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    server_time: datetime
    has_genesis: bool
    is_suspended: bool


PROBE = """
    SELECT clock_timestamp() AS server_time,
           EXISTS (SELECT FROM audit_log WHERE seq = 0) AS has_genesis,
           EXISTS (SELECT FROM audit_head WHERE suspension IS NOT NULL) AS is_suspended
"""


def probe(tx: Transaction) -> Probe:
    return tx.one(Probe, PROBE)
