"""Verifies the audit log: every entry, in one snapshot, with memory that stays flat.

It reports all that is wrong, by class, and says what it did not check.
docs/audit-log.md tells what a verdict is worth.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Final

from models.audit_event import AuditEvent
from models.audit_snapshot import (
    EPOCH_US,
    ReadInterruptedError,
    Snapshot,
    fields_of,
    microseconds,
    snapshot,
)
from models.blockchain_log import Head
from models.database import ConnectionSettings
from services.audit_check import MAX_FINDINGS, Progress, RangeCheck, RangeResult
from services.audit_findings import ErrorClass, Finding, Verification
from services.audit_report import conclude
from services.domain_check import DomainResult, check_domain
from services.erased_entries import ErasedEntries
from services.erasure_reading import read_erased_entries
from utils.blockchain_hasher import NO_HASH, log_identity

# Large enough to make starting a part cheap, small enough to share them out evenly.
ENTRIES_PER_PART: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Entries that can be checked by themselves, in any process."""

    settings: ConnectionSettings
    timeout_seconds: float
    snapshot_name: str
    log_id: bytes
    erased: ErasedEntries
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Genesis:
    """Which log this is, and what is wrong with how it begins."""

    log_id: bytes
    findings: tuple[Finding, ...]


def verify(
    settings: ConnectionSettings,
    *,
    from_seq: int | None = None,
    to_seq: int | None = None,
    timeout_seconds: float = 0,
    processes: int = 1,
    deep: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Check the log, or the entries from `from_seq` to `to_seq`, both included.

    A deep check also compares the rows of other tables with what the log says of them;
    it needs all of the log.

    `progress` is told of every few thousand entries more. `timeout_seconds` bounds the
    reading (0: no bound); when it is over, the verdict is incomplete. Raises
    DatabaseUnavailableError.
    """
    started = time.monotonic()
    with snapshot(settings, timeout_seconds=timeout_seconds) as log:
        head, bounds = log.head(), log.bounds()
        genesis = _check_genesis(log, head)
        if bounds is None:
            first, last = 0, -1
            result = RangeResult()
        else:
            first = min(0, bounds[0]) if from_seq is None else from_seq
            last = bounds[1] if to_seq is None else min(to_seq, bounds[1])
            part = Part(
                settings=settings,
                timeout_seconds=timeout_seconds,
                snapshot_name=log.name,
                log_id=genesis.log_id,
                erased=read_erased_entries(log, genesis.log_id, first),
                first=first,
                last=last,
            )
            if processes == 1:
                result = _check(log, part, progress)
            else:
                result = _check_in_parallel(part, processes, progress)
        reaches_end = bounds is None or first <= last == bounds[1]
        domain = None
        if deep:
            is_whole = reaches_end and first <= 0
            domain = (
                check_domain(log, last_seq=last, limit=MAX_FINDINGS)
                if is_whole
                else DomainResult(not_checked="only with the whole log, not a range")
            )
    findings = list(genesis.findings)
    if reaches_end and result.interruption is None:
        findings += _compare_head(head, genesis, result)
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
        snapshot_at=log.taken_at,
        duration_ms=round((time.monotonic() - started) * 1000),
        domain=domain,
    )


def _check(log: Snapshot, part: Part, progress: Progress | None) -> RangeResult:
    before = log.row(part.first - 1)
    previous = None if before is None else fields_of(before)
    check = RangeCheck(
        part.log_id,
        part.first,
        previous_hash=previous["hash"] if previous else None,
        previous_time_us=(
            EPOCH_US + int.from_bytes(previous["recorded_at"] or b"", signed=True)
            if previous
            else None
        ),
        erased=part.erased,
        progress=progress,
    )
    try:
        log.copy(part.first, part.last, check.receive)
    except ReadInterruptedError as error:
        check.result.interruption = str(error)
    return check.finish(part.last)


def _check_alone(part: Part) -> RangeResult:
    """Check a part in a process that has nothing else."""
    with snapshot(
        part.settings,
        timeout_seconds=part.timeout_seconds,
        imported=part.snapshot_name,
    ) as log:
        return _check(log, part, None)


def _check_in_parallel(
    whole: Part, processes: int, progress: Progress | None
) -> RangeResult:
    """Share the entries out: hashlib does not let threads run side by side."""
    parts = list(_split(whole))
    # A forked child would share our connections.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(_check_alone, part) for part in parts]
        for done in as_completed(running):
            if progress is not None:
                progress(done.result().entries)
        return _merge([each.result() for each in running])


def _split(whole: Part) -> Iterator[Part]:
    for first in range(whole.first, whole.last + 1, ENTRIES_PER_PART):
        last = min(first + ENTRIES_PER_PART - 1, whole.last)
        yield replace(whole, first=first, last=last)


def _merge(results: list[RangeResult]) -> RangeResult:
    merged = RangeResult()
    for result in results:
        merged.entries += result.entries
        merged.counts += result.counts
        merged.findings += result.findings
        merged.misfits += result.misfits
        merged.gaps += result.gaps
        merged.interruption = merged.interruption or result.interruption
        if result.last_seq is not None:
            merged.last_seq = result.last_seq
            merged.last_hash = result.last_hash
            merged.last_time_us = result.last_time_us
    return merged


def _check_genesis(log: Snapshot, head: Head | None) -> Genesis:
    """Find out the log's id, from entry 0 rather than from the head.

    The id is the hash of entry 0's payload, and entry 0 contains the id: whoever
    changes one of them without rewriting the other is found.
    """
    said = head.log_id if head is not None else bytes(16)
    row = log.row(0)
    if row is None:
        missing = Finding(
            seq=0, reason=ErrorClass.GENESIS, detail="there is no entry 0"
        )
        return Genesis(said, (missing,))
    fields = fields_of(row)
    computed = log_identity(fields["payload"] or b"")
    log_id = computed if _has_hash_under(computed, row) else said
    is_genesis = fields["event_type"] == AuditEvent.LOG_GENESIS.encode()
    if is_genesis and computed == log_id:
        return Genesis(log_id, ())
    finding = Finding(
        seq=0,
        reason=ErrorClass.GENESIS,
        expected=log_id.hex(),
        found=computed.hex(),
        detail="entry 0 is not the manifest of this log",
    )
    return Genesis(log_id, (finding,))


def _has_hash_under(log_id: bytes, row: bytes) -> bool:
    check = RangeCheck(log_id, 0, previous_hash=NO_HASH, previous_time_us=None)
    check.receive(row)
    return not check.result.counts[ErrorClass.HASH]


def _compare_head(
    head: Head | None, genesis: Genesis, result: RangeResult
) -> Iterator[Finding]:
    """Compare the log's end with what the head says; nobody else knows of a tail."""
    next_seq = 0 if result.last_seq is None else result.last_seq + 1
    if head is None:
        if result.entries:
            yield Finding(
                seq=next_seq - 1, reason=ErrorClass.HEAD, detail="the head is missing"
            )
        return
    if head.next_seq != next_seq:
        yield Finding(
            seq=min(head.next_seq, next_seq),
            reason=ErrorClass.HEAD,
            expected=str(head.next_seq),
            found=str(next_seq),
            detail="the log ends before its head says"
            if head.next_seq > next_seq
            else "the log goes on behind its head",
        )
    elif head.hash != result.last_hash:
        yield Finding(
            seq=next_seq - 1,
            reason=ErrorClass.HEAD,
            expected=head.hash.hex(),
            found=None if result.last_hash is None else result.last_hash.hex(),
            detail="the last entry has not the hash that the head says",
        )
    elif microseconds(head.recorded_at) != result.last_time_us:
        yield Finding(
            seq=next_seq - 1,
            reason=ErrorClass.HEAD,
            expected=f"{microseconds(head.recorded_at)} µs",
            found=f"{result.last_time_us} µs",
            detail="the last entry has not the time that the head says",
        )
    if head.log_id != genesis.log_id:
        yield Finding(
            seq=0,
            reason=ErrorClass.HEAD,
            expected=genesis.log_id.hex(),
            found=head.log_id.hex(),
            detail="the head names another log",
        )


def _recognise_moved(result: RangeResult) -> None:
    """Tell entries that were moved from entries that were changed.

    An entry whose hash is wrong where it stands, and right for the place of another
    that is wrong or missing, was not edited.
    """
    places = [misfit.seq for misfit in result.misfits if misfit.seq >= 0]
    places = places[:MAX_FINDINGS]
    for first, behind in result.gaps:
        places += range(first, min(behind, first + MAX_FINDINGS))
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
