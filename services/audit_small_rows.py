"""What the log says of itself in a few rows: its head, its epochs, its suspension.

Who owns the database can write anything there. What can not be read is an error of the
log, and the rest of it is checked all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from models.audit_source import LogSource
from models.audit_suspension import OriginEntry, Suspension
from models.blockchain_log import Head
from models.database_errors import RowError
from services.audit_findings import ErrorClass, Finding
from services.epochs import Contradicted

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallRows:
    """`heads` and `origins` are None where they can not be read."""

    heads: Sequence[Head] | None
    origins: Sequence[OriginEntry] | None
    findings: Sequence[Finding]

    @property
    def head(self) -> Head | None:
        return self.heads[0] if self.heads else None


def read_small_rows(log: LogSource) -> SmallRows:
    findings: list[Finding] = []
    heads = _read(log.heads, ErrorClass.HEAD, "audit_head", findings)
    origins = _read(log.origins, ErrorClass.EPOCH, "audit_log", findings)
    if heads is not None and len(heads) > 1:
        # Where the log ends would be a matter of whom one asks.
        twice = "audit_head has more than one row"
        findings.append(Finding(seq=0, reason=ErrorClass.HEAD, detail=twice))
    suspension = _read(
        log.suspension, ErrorClass.CHECKPOINT, "audit_suspensions", findings
    )
    if suspension is not None:
        findings.append(_contradicted(suspension))
    return SmallRows(heads=heads, origins=origins, findings=findings)


def _read(
    read: Callable[[], Found], reason: ErrorClass, table: str, findings: list[Finding]
) -> Found | None:
    try:
        return read()
    except RowError as error:
        what = ", ".join(error.places)
        detail = f"a row of {table} is not as it was written: {what}"
        findings.append(Finding(seq=0, reason=reason, detail=detail))
        return None


def _contradicted(found: Suspension) -> Finding:
    return Finding(
        seq=max(0, min(found.size, found.log_size) - 1),
        reason=ErrorClass.CHECKPOINT,
        expected=found.root.hex(),
        found=None if found.log_root is None else found.log_root.hex(),
        detail=Contradicted.of(found).sentence,
    )
