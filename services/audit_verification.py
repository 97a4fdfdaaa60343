"""Verifies the audit log: every entry, in one snapshot, with memory that stays flat.

It reports all that is wrong, by class, and says what it did not check.
docs/audit-log.md tells what a verdict is worth.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

from models import protected_rows
from models.audit_snapshot import ReadInterruptedError, snapshot
from models.audit_source import LogSource
from models.audit_surroundings import UnreadableTablesError
from models.connection_settings import ConnectionSettings
from services.audit_anchors import NO_ANCHORS, Anchors
from services.audit_bookmark import Bookmark
from services.audit_check import MAX_FINDINGS, Progress, RangeResult
from services.audit_comparison import Names, compare_tree, not_compared
from services.audit_ends import (
    check_epochs,
    check_genesis,
    compare_head,
    incidents_in,
    promises_in,
)
from services.audit_findings import ErrorClass, Finding, Verification
from services.audit_parts import (
    CheckParts,
    Elsewhere,
    Part,
    gather,
    one_by_one,
    side_by_side,
    split,
    tree_from,
)
from services.audit_report import conclude
from services.audit_small_rows import read_small_rows
from services.domain_check import DomainResult, check_domain
from services.erasure_reading import read_erased_entries
from utils.signed_note import VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the verifier brings along, none of it from the database.

    The `anchors` were gathered before the reading. Stored checkpoints are to bear a
    signature of `log_keys`. With a `bookmark` the reading begins where that ends.
    """

    anchors: Anchors = NO_ANCHORS
    log_keys: tuple[VerifierKey, ...] = ()
    bookmark: Bookmark | None = None


NOTHING_OUTSIDE: Final = Outside()


class CheckRows(Protocol):
    """Compares the rows of other tables with what the log says of them."""

    def __call__(self, *, last_seq: int) -> DomainResult: ...


def verify(
    settings: ConnectionSettings,
    *,
    from_seq: int | None = None,
    to_seq: int | None = None,
    timeout_seconds: float = 0,
    processes: int = 1,
    deep: bool = False,
    progress: Progress | None = None,
    outside: Outside = NOTHING_OUTSIDE,
) -> Verification:
    """Check the log, or the entries from `from_seq` to `to_seq`, both included.

    A deep check also compares the rows of other tables with what the log says of them;
    it needs all of the log.

    `progress` is told of every few thousand entries more. `timeout_seconds` bounds the
    reading (0: no bound); when it is over, the verdict is incomplete. Raises
    DatabaseUnavailableError and BookmarkError.
    """
    try:
        with snapshot(
            settings,
            timeout_seconds=timeout_seconds,
            also=protected_rows.TABLES if deep else {},
        ) as log:
            elsewhere = Elsewhere(
                settings=settings,
                timeout_seconds=timeout_seconds,
                snapshot_name=log.name,
            )
            return verify_log(
                log,
                partial(one_by_one, log, progress)
                if processes == 1
                else partial(side_by_side, elsewhere, processes, progress),
                from_seq=from_seq,
                to_seq=to_seq,
                check_rows=partial(check_domain, log, limit=MAX_FINDINGS)
                if deep
                else None,
                outside=outside,
            )
    except UnreadableTablesError as error:
        return _nothing_read(
            outside, datetime.now(UTC), strange=error.reasons, is_deep=deep
        )


def verify_log(
    log: LogSource,
    check_parts: CheckParts | None = None,
    *,
    from_seq: int | None = None,
    to_seq: int | None = None,
    check_rows: CheckRows | None = None,
    outside: Outside = NOTHING_OUTSIDE,
) -> Verification:
    """Check a log wherever it is kept.

    Raises BookmarkError, and UnreadableTablesError if the tables are other ones.
    """
    started = time.monotonic()
    try:
        judged = _judge(
            log,
            check_parts or partial(one_by_one, log, None),
            from_seq=from_seq,
            to_seq=to_seq,
            check_rows=check_rows,
            outside=outside,
        )
    except ReadInterruptedError as error:
        # Not even the ends of the log could be read.
        judged = _nothing_read(
            outside,
            log.taken_at,
            why_not=str(error),
            is_deep=check_rows is not None,
        )
    return replace(judged, duration_ms=round((time.monotonic() - started) * 1000))


def _nothing_read(
    outside: Outside,
    snapshot_at: datetime,
    *,
    is_deep: bool,
    why_not: str = "the tables can not be read",
    strange: Sequence[str] = (),
) -> Verification:
    result = RangeResult(interruption=why_not)
    for each in strange:
        result.add(_strange(each))
    return conclude(
        result,
        first_seq=0,
        reaches_end=False,
        incidents=(),
        snapshot_at=snapshot_at,
        tree=not_compared(outside.anchors, why_not),
        domain=DomainResult(not_checked=why_not) if is_deep else None,
    )


def _judge(
    log: LogSource,
    check_parts: CheckParts,
    *,
    from_seq: int | None,
    to_seq: int | None,
    check_rows: CheckRows | None,
    outside: Outside,
) -> Verification:
    bookmark, anchors = outside.bookmark, outside.anchors
    strange = log.strange()
    small, bounds = read_small_rows(log), log.bounds()
    head, origins = small.head, small.origins or ()
    genesis = check_genesis(log, head)
    findings = [*small.findings, *map(_strange, strange or ())]
    if genesis.findings or small.origins is None:
        findings += genesis.findings
    else:
        findings += check_epochs(origins, head)
    first, last = (0, -1) if bounds is None else (min(0, bounds[0]), bounds[1])
    if bookmark is not None:
        findings += bookmark.compare(log, log_id=genesis.log_id, origin=genesis.origin)
        # Its last entry is read again, so that something is even if nothing is new.
        first = bookmark.size - 1
    elif from_seq is not None:
        first = from_seq
    whole = Part(
        log_id=genesis.log_id,
        erased=read_erased_entries(log, genesis.log_id, first),
        first=first,
        last=last,
    )
    parts: list[Part] = []
    if bookmark is not None and first <= last:
        parts.append(replace(whole, last=first))
    last = last if to_seq is None else min(to_seq, last)
    reaches_end = bounds is None or first <= last == bounds[1]
    tree = tree_from(first, bookmark)
    promises = promises_in(origins)
    new = replace(whole, first=first if bookmark is None else bookmark.size, last=last)
    parts += split(new, tree, log, anchors, frozenset(promises))
    result = gather(check_parts(parts), tree)
    origin = genesis.origin if head is None else head.origin
    report, contradictions = compare_tree(
        tree,
        log.tree,
        result,
        anchors=anchors,
        log_keys=outside.log_keys,
        names=Names(genesis.log_id, origin or "", promises),
        reaches_end=reaches_end,
    )
    domain = None
    if check_rows is not None:
        domain = _check_rows(
            check_rows, result, last, is_whole=reaches_end and first <= 0
        )
    findings += contradictions
    if small.heads is not None and reaches_end and result.interruption is None:
        findings += compare_head(head, genesis, result)
    for finding in findings:
        result.add(finding)
    _recognise_moved(result)
    if domain is not None:
        result.counts += domain.counts
        result.findings += domain.findings
    return conclude(
        result,
        first_seq=first,
        reaches_end=reaches_end,
        incidents=incidents_in(origins),
        snapshot_at=log.taken_at,
        tree=report,
        continued=None if bookmark is None else bookmark.continued,
        domain=domain,
        is_live=strange is not None,
    )


def _check_rows(
    check_rows: CheckRows, result: RangeResult, last: int, *, is_whole: bool
) -> DomainResult:
    if not is_whole:
        return DomainResult(not_checked="only with the whole log, not a range")
    if result.interruption is not None:
        return DomainResult(not_checked=result.interruption)
    return check_rows(last_seq=last)


def _strange(sentence: str) -> Finding:
    return Finding(seq=0, reason=ErrorClass.SCHEMA, detail=sentence)


def _recognise_moved(result: RangeResult) -> None:
    """Tell entries that were moved from entries that were changed.

    An entry whose hash is wrong where it stands, and right for the place of another
    that is wrong or missing, was not edited.
    """
    places = [misfit.seq for misfit in result.misfits if misfit.seq >= 0]
    places = places[:MAX_FINDINGS]
    for first, behind in result.gaps:
        places += range(max(0, first), min(behind, first + MAX_FINDINGS))
    for misfit in result.misfits[:MAX_FINDINGS]:
        origin = next((seq for seq in places if misfit.fits(seq)), None)
        if origin is None:
            continue
        consequences = {ErrorClass.HASH, ErrorClass.PREVIOUS_HASH, ErrorClass.CLOCK}
        kept = []
        for finding in result.findings:
            if finding.seq == misfit.seq and finding.reason in consequences:
                result.counts[finding.reason] -= 1
            else:
                kept.append(finding)
        result.findings = kept
        result.add(
            Finding(
                seq=misfit.seq,
                reason=ErrorClass.ORDER,
                expected=str(origin),
                found=str(misfit.seq),
                detail=f"this is entry {origin}, moved",
            )
        )
