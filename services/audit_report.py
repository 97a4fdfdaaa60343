"""From what was found in the audit log to a verdict that can be defended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.audit_anchors import NOTHING_ASKED
from services.audit_check import MAX_FINDINGS, RangeResult
from services.audit_findings import (
    AnchorCheck,
    Check,
    CheckResult,
    Continued,
    ErrorClass,
    Finding,
    TreeEnd,
    Verdict,
    Verification,
)
from services.domain_check import DomainResult
from utils.merkle import HASH_BYTES

DOMAIN: Final = frozenset(
    {
        ErrorClass.DOMAIN_MISSING,
        ErrorClass.DOMAIN_DIFFERS,
        ErrorClass.DOMAIN_UNLOGGED,
    }
)
RANK: Final = {reason: rank for rank, reason in enumerate(ErrorClass)}
# No kind of damage: whether anything outside the database vouches for the log.
ANCHOR: Final = "anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeReport:
    """What the tree was compared with. `end` is None if there is no tree.

    Then `why_not` says why; else the other two say what was compared, and are empty if
    there was nothing.
    """

    end: TreeEnd | None = None
    why_not: str = ""
    tiles: str = ""
    checkpoints: str = ""
    anchors: tuple[AnchorCheck, ...] = ()

    def why_not_compared(self, reason: ErrorClass) -> str | None:
        match reason:
            case ErrorClass.ROOT | ErrorClass.CHECKPOINT if self.end is None:
                return self.why_not
            case ErrorClass.ROOT if not self.tiles:
                return "no tiles of the tree are stored: no checkpointer has run"
            case ErrorClass.CHECKPOINT if not self.checkpoints:
                return "no checkpoint of these entries is stored"
        return None


def conclude(  # noqa: PLR0913 - each was found out by itself.
    result: RangeResult,
    *,
    first_seq: int,
    reaches_end: bool,
    incidents: Sequence[str],
    snapshot_at: datetime,
    tree: TreeReport,
    continued: Continued | None = None,
    domain: DomainResult | None = None,
    is_live: bool = True,
) -> Verification:
    """Judge what was found. `domain` is None when nobody asked for the rows.

    `is_live`: it was read from a database, which can show one thing and hold another.
    """
    findings = sorted(result.findings, key=_by_place)
    anchored = max(
        (each.size or 0 for each in tree.anchors if each.result is CheckResult.PASSED),
        default=None,
    )
    return Verification(
        valid=_verdict(result, anchored, domain)
        not in {Verdict.TAMPERED, Verdict.INCOMPLETE},
        verdict=_verdict(result, anchored, domain),
        entries_checked=result.entries,
        rows_checked=None if domain is None else domain.rows,
        first_seq=first_seq if result.entries else None,
        last_seq=result.last_seq,
        head_hash=_whole_hash(result),
        first_invalid=findings[0] if findings else None,
        errors_by_class={
            reason.value: count
            for reason in ErrorClass
            if (count := result.counts[reason])
        },
        errors=tuple(findings[:MAX_FINDINGS]),
        checks=(
            *(
                _check(
                    reason,
                    result,
                    tree,
                    domain,
                    incidents,
                    reaches_end=reaches_end,
                    is_live=is_live,
                    read=_read(result, continued),
                )
                for reason in ErrorClass
            ),
            _check_anchors(tree),
        ),
        snapshot_at=snapshot_at,
        duration_ms=0,
        anchors=tree.anchors,
        unanchored_entries=_unanchored(result, anchored),
        tree=None if findings else tree.end,
        continued=continued,
    )


def _whole_hash(result: RangeResult) -> bytes | None:
    """Return the last entry's hash, unless it was cut: then it is nothing to keep."""
    found = result.last_hash if result.entries else None
    return found if found and len(found) == HASH_BYTES else None


def _verdict(
    result: RangeResult, anchored: int | None, domain: DomainResult | None
) -> Verdict:
    if any(result.counts.values()):
        return Verdict.TAMPERED
    if (
        result.interruption is not None
        or result.entries == 0
        or (domain is not None and domain.not_checked is not None)
    ):
        # Nothing was read: nothing is proven.
        return Verdict.INCOMPLETE
    if anchored is None:
        # Whoever could rewrite the log could rewrite the other tables with it.
        return Verdict.INTERNALLY_CONSISTENT
    if domain is None:
        return Verdict.CONSISTENT_WITH_ANCHOR
    return Verdict.CONSISTENT_WITH_ANCHOR_AND_DOMAIN


def _unanchored(result: RangeResult, anchored: int | None) -> int | None:
    if anchored is None or result.last_seq is None:
        return None
    return max(0, result.last_seq + 1 - anchored)


def _check(
    reason: ErrorClass,
    result: RangeResult,
    tree: TreeReport,
    domain: DomainResult | None,
    incidents: Sequence[str],
    *,
    reaches_end: bool,
    is_live: bool,
    read: str,
) -> Check:
    if count := result.counts[reason]:
        return Check(
            name=reason.value,
            result=CheckResult.FAILED,
            detail=f"{reason.description} Found: {count}.",
        )
    if reason in DOMAIN:
        why_not = _why_no_rows(domain)
    elif reason is ErrorClass.SCHEMA and not is_live:
        why_not = "a dump has the rows, and nothing stands between them and its reader"
    else:
        why_not = _why_not_checked(reason, result, tree, reaches_end=reaches_end)
    if why_not is not None:
        return Check(name=reason.value, result=CheckResult.NOT_CHECKED, detail=why_not)
    if reason in DOMAIN and domain is not None:
        detail = f"{domain.rows} rows, as they were when the last entry was written"
        return Check(name=reason.value, result=CheckResult.PASSED, detail=detail)
    details = {
        ErrorClass.ROOT: tree.tiles,
        ErrorClass.CHECKPOINT: tree.checkpoints,
        ErrorClass.EPOCH: ". ".join(incidents) or "one epoch",
        ErrorClass.SCHEMA: "plain tables, read by PostgreSQL's own functions",
    }
    return Check(
        name=reason.value,
        result=CheckResult.PASSED,
        detail=details.get(reason, read),
    )


def _read(result: RangeResult, continued: Continued | None) -> str:
    read = f"{result.entries} entries, the last is {result.last_seq}"
    if continued is None:
        return read
    return (
        f"{read}; entries below {continued.size} were not read again in this run,"
        f" the last full run was at {continued.last_full_run_at:%F %T} UTC"
    )


def _why_no_rows(domain: DomainResult | None) -> str | None:
    if domain is None:
        return "not asked for: the rows of other tables are compared by a deep check"
    return domain.not_checked


def _why_not_checked(
    reason: ErrorClass, result: RangeResult, tree: TreeReport, *, reaches_end: bool
) -> str | None:
    if result.entries == 0:
        return "no entry was read"
    if result.interruption is not None:
        return f"stopped after {result.entries} entries: {result.interruption}"
    if reason is ErrorClass.HEAD and not reaches_end:
        return "the range ends before the log does"
    return tree.why_not_compared(reason)


def _check_anchors(tree: TreeReport) -> Check:
    """Say what outside the database vouches for. Nothing inside it can."""
    if not tree.anchors:
        return Check(name=ANCHOR, result=CheckResult.NOT_CHECKED, detail=NOTHING_ASKED)
    results = {each.result for each in tree.anchors}
    worst = next(
        result
        for result in (CheckResult.FAILED, CheckResult.PASSED, CheckResult.NOT_CHECKED)
        if result in results
    )
    return Check(name=ANCHOR, result=worst, detail=_told(tree.anchors))


def _told(anchors: Sequence[AnchorCheck]) -> str:
    return "; ".join(
        f"{each.source}{'' if each.size is None else f' ({each.size} entries)'}:"
        f" {each.detail}"
        for each in anchors
    )


def _by_place(finding: Finding) -> tuple[int, int]:
    return finding.seq, RANK[finding.reason]
