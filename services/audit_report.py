"""From what was found in the audit log to a verdict that can be defended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.audit_check import MAX_FINDINGS, RangeResult
from services.audit_findings import (
    Check,
    CheckResult,
    ErrorClass,
    Finding,
    Verdict,
    Verification,
)
from services.domain_check import DomainResult

DOMAIN: Final = frozenset(
    {
        ErrorClass.DOMAIN_MISSING,
        ErrorClass.DOMAIN_DIFFERS,
        ErrorClass.DOMAIN_UNLOGGED,
    }
)
# What needs something that this version does not have.
NOT_CHECKED: Final = {
    ErrorClass.ROOT: "no Merkle root is kept yet",
    ErrorClass.CHECKPOINT: "no signed checkpoint from outside the database is known:"
    " who owns the database could have written all of the log anew",
}
RANK: Final = {reason: rank for rank, reason in enumerate(ErrorClass)}


def conclude(
    result: RangeResult,
    *,
    first_seq: int,
    reaches_end: bool,
    incidents: Sequence[str],
    snapshot_at: datetime,
    duration_ms: int,
    domain: DomainResult | None = None,
) -> Verification:
    """Judge what was found. `domain` is None when nobody asked for the rows."""
    findings = sorted(result.findings, key=_by_place)
    if any(result.counts.values()):
        verdict = Verdict.TAMPERED
    elif (
        result.interruption is not None
        or result.entries == 0
        or (domain is not None and domain.not_checked is not None)
    ):
        # Nothing was read: nothing is proven.
        verdict = Verdict.INCOMPLETE
    else:
        verdict = Verdict.INTERNALLY_CONSISTENT
    return Verification(
        valid=verdict is Verdict.INTERNALLY_CONSISTENT,
        verdict=verdict,
        entries_checked=result.entries,
        rows_checked=None if domain is None else domain.rows,
        first_seq=first_seq if result.entries else None,
        last_seq=result.last_seq,
        head_hash=result.last_hash if result.entries else None,
        first_invalid=findings[0] if findings else None,
        errors_by_class={
            reason.value: count
            for reason in ErrorClass
            if (count := result.counts[reason])
        },
        errors=tuple(findings[:MAX_FINDINGS]),
        checks=tuple(
            _check(reason, result, incidents, domain, reaches_end=reaches_end)
            for reason in ErrorClass
        ),
        snapshot_at=snapshot_at,
        duration_ms=duration_ms,
    )


def _check(
    reason: ErrorClass,
    result: RangeResult,
    incidents: Sequence[str],
    domain: DomainResult | None,
    *,
    reaches_end: bool,
) -> Check:
    if count := result.counts[reason]:
        return Check(
            name=reason.value,
            result=CheckResult.FAILED,
            detail=f"{reason.description} Found: {count}.",
        )
    if reason in DOMAIN:
        why_not = _why_no_rows(domain)
    else:
        why_not = _why_not_checked(reason, result, reaches_end=reaches_end)
    if why_not is not None:
        return Check(name=reason.value, result=CheckResult.NOT_CHECKED, detail=why_not)
    detail = f"{result.entries} entries, the last is {result.last_seq}"
    if reason in DOMAIN and domain is not None:
        detail = f"{domain.rows} rows, as they were when the last entry was written"
    elif reason is ErrorClass.EPOCH:
        detail = ". ".join(incidents) or "one epoch"
    return Check(name=reason.value, result=CheckResult.PASSED, detail=detail)


def _why_no_rows(domain: DomainResult | None) -> str | None:
    if domain is None:
        return "not asked for: the rows of other tables are compared by a deep check"
    return domain.not_checked


def _why_not_checked(
    reason: ErrorClass, result: RangeResult, *, reaches_end: bool
) -> str | None:
    if reason in NOT_CHECKED:
        return NOT_CHECKED[reason]
    if result.entries == 0:
        return "no entry was read"
    if result.interruption is not None:
        return f"stopped after {result.entries} entries: {result.interruption}"
    if reason is ErrorClass.HEAD and not reaches_end:
        return "the range ends before the log does"
    return None


def _by_place(finding: Finding) -> tuple[int, int]:
    return finding.seq, RANK[finding.reason]
