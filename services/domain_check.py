"""Whether the rows of other tables are what the audit log says that they are."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from models import protected_rows
from models.audit_snapshot import ReadInterruptedError, Snapshot
from models.protected_rows import Deviation
from services.audit_findings import ErrorClass, Finding

REASONS: Final = {
    "missing": ErrorClass.DOMAIN_MISSING,
    "differs": ErrorClass.DOMAIN_DIFFERS,
    "unlogged": ErrorClass.DOMAIN_UNLOGGED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainResult:
    """What was found. `not_checked` says why nothing was looked for, if so."""

    rows: int = 0
    counts: Counter[ErrorClass] = field(default_factory=Counter)
    findings: tuple[Finding, ...] = ()
    not_checked: str | None = None


def check_domain(log: Snapshot, *, last_seq: int, limit: int) -> DomainResult:
    """Compare every protected row with the newest entry about it, and the other way.

    `last_seq` is that of the log's last entry: where a row that no entry speaks of is
    reported. At most `limit` findings are returned, and all are counted.
    """
    try:
        found = protected_rows.compare(log, limit=limit)
    except ReadInterruptedError as error:
        return DomainResult(not_checked=f"the rows were not read to the end: {error}")
    return DomainResult(
        rows=found.rows,
        counts=Counter({REASONS[kind]: n for kind, n in found.counts.items() if n}),
        findings=tuple(findings_of(found.deviations, last_seq)),
    )


def findings_of(deviations: Sequence[Deviation], last_seq: int) -> Iterator[Finding]:
    """Say what is wrong with each; one of which no entry speaks belongs to the last."""
    for each in deviations:
        yield Finding(
            seq=last_seq if each.seq is None else each.seq,
            reason=REASONS[each.kind],
            expected=_described(each.said_count, each.said_digest),
            found=_described(each.count, each.digest),
            detail=f"{each.table} {each.key}: {_sentence(each)}",
        )


def _described(count: int | None, digest: str | None) -> str | None:
    if not count:
        return None
    return digest if count == 1 else f"{count} rows, {digest}"


def _sentence(found: Deviation) -> str:
    match found.kind:
        case "missing" if found.count == 0:
            return f"entry {found.seq} says what it is, and it is not there"
        case "missing":
            return f"of {found.said_count} rows {found.count} are left"
        case "differs":
            return f"it is not what entry {found.seq} says"
        case _ if found.seq is None:
            return "no entry speaks of it"
        case _ if found.said_count == 0:
            return f"entry {found.seq} says that it was deleted, and it is there"
        case _:
            return f"there are {found.count} rows, and {found.said_count} were logged"
