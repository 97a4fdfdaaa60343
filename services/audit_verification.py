"""Verifies the audit log: every entry, in one snapshot, with memory that stays flat.

It reports all that is wrong, by class, and says what it did not check.
docs/audit-log.md tells what a verdict is worth.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from typing import Final, Protocol

from models import protected_rows
from models.audit_event import AuditEvent
from models.audit_snapshot import (
    EPOCH_US,
    ReadInterruptedError,
    fields_of,
    microseconds,
    snapshot,
)
from models.audit_source import LogSource
from models.audit_surroundings import UnreadableTablesError
from models.audit_suspension import OriginEntry
from models.blockchain_log import Head
from models.database import ConnectionSettings
from services.audit_anchors import NO_ANCHORS, Anchors
from services.audit_bookmark import Bookmark
from services.audit_check import (
    FORGET,
    MAX_FINDINGS,
    Progress,
    RangeCheck,
    RangeResult,
)
from services.audit_comparison import Names, compare_tree, not_compared
from services.audit_findings import ErrorClass, Finding, Verification
from services.audit_report import conclude
from services.audit_small_rows import read_small_rows
from services.audit_tree import Chunk, LogTree, Wanted, grow_chunk
from services.domain_check import DomainResult, check_domain
from services.epochs import (
    BrokenEpochsError,
    origin_of_genesis,
    parse_epochs,
    promises_of,
)
from services.erased_entries import ErasedEntries
from services.erasure_reading import read_erased_entries
from utils.blockchain_hasher import NO_HASH, log_identity
from utils.merkle import HASH_BYTES
from utils.signed_note import VerifierKey

# Large enough to make starting a part cheap, small enough to share them out evenly, and
# a power of two: a part is a subtree of the log's Merkle tree.
ENTRIES_PER_PART: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Entries that can be checked by themselves, in any process."""

    log_id: bytes
    erased: ErasedEntries
    first: int
    last: int
    # None: the tree is of no interest.
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """How another process sees the same state of the log."""

    settings: ConnectionSettings
    timeout_seconds: float
    snapshot_name: str


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


# Checks parts, and returns what was found in the same order.
CheckParts = Callable[[Iterable[Part]], Iterable[RangeResult]]


@dataclass(frozen=True, slots=True)
class Genesis:
    """Which log this is, and what is wrong with how it begins.

    `origin` is the name that entry 0 gives it, None if it gives none.
    """

    log_id: bytes
    origin: str | None
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
                else partial(_side_by_side, elsewhere, processes, progress),
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
    genesis = _check_genesis(log, head)
    findings = [*small.findings, *map(_strange, strange or ())]
    if genesis.findings or small.origins is None:
        findings += genesis.findings
    else:
        findings += _check_epochs(origins, head)
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
    tree = _tree_from(first, bookmark)
    promises = _promises(origins)
    new = replace(whole, first=first if bookmark is None else bookmark.size, last=last)
    parts += _split(new, tree, log, anchors, frozenset(promises))
    result = _gather(check_parts(parts), tree)
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
        incidents=_incidents(origins),
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


def _check(log: LogSource, progress: Progress | None, part: Part) -> RangeResult:
    try:
        before = log.row(part.first - 1)
    except ReadInterruptedError as error:
        return RangeResult(interruption=str(error))
    previous = None if before is None else fields_of(before)
    leaves = BytesIO()
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
        keep=FORGET if part.wanted is None else leaves.write,
    )
    try:
        log.copy(part.first, part.last, check.receive)
        if part.wanted is not None:
            check.result.chunk = _grow(log, part, part.wanted, leaves.getvalue())
    except ReadInterruptedError as error:
        check.result.interruption = str(error)
    return check.finish(part.last)


def _grow(log: LogSource, part: Part, wanted: Wanted, leaves: bytes) -> Chunk:
    """Hash a part's leaves. Where rows are missing or too many, the tree is another."""
    expected = (part.last + 1 - part.first) * HASH_BYTES
    return grow_chunk(
        log.tree,
        wanted,
        base=part.first & -(1 << wanted.height),
        first=part.first,
        leaves=leaves[:expected].ljust(expected, b"\0"),
    )


def one_by_one(
    log: LogSource, progress: Progress | None, parts: Iterable[Part]
) -> Iterator[RangeResult]:
    """Check parts in this process."""
    for part in parts:
        result = _check(log, progress, part)
        yield result
        if result.interruption is not None:
            return


def _check_alone(elsewhere: Elsewhere, part: Part) -> RangeResult:
    """Check a part in a process that has nothing else."""
    with snapshot(
        elsewhere.settings,
        timeout_seconds=elsewhere.timeout_seconds,
        imported=elsewhere.snapshot_name,
    ) as log:
        return _check(log, None, part)


def _side_by_side(
    elsewhere: Elsewhere,
    processes: int,
    progress: Progress | None,
    parts: Iterable[Part],
) -> Iterator[RangeResult]:
    """Share the entries out: hashlib does not let threads run side by side."""
    # A forked child would share our connections.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for result in pool.map(partial(_check_alone, elsewhere), parts):
            if progress is not None:
                progress(result.entries)
            yield result


def _tree_from(first: int, bookmark: Bookmark | None) -> LogTree | None:
    """Begin a tree where the reading begins, if one can be made from there."""
    height = ENTRIES_PER_PART.bit_length() - 1
    if bookmark is not None:
        return LogTree(height, bookmark.size, bookmark.subtrees)
    return LogTree(height) if first == 0 else None


def _split(
    whole: Part,
    tree: LogTree | None,
    log: LogSource,
    anchors: Anchors,
    origins: frozenset[str],
) -> Iterator[Part]:
    """Cut the range where subtrees end, and pass over where there is nothing.

    Anybody can write an entry with the largest number: that must not take for ever.
    """
    wanted = None
    if tree is not None:
        wanted = Wanted(
            height=ENTRIES_PER_PART.bit_length() - 1,
            origins=origins,
            known=tree.rest,
            sizes=tuple(anchor.size for anchor in anchors.held),
            promised=log.tree.newest_checkpoint(),
        )
    first, last = whole.first, whole.last
    while first <= last:
        end = (first // ENTRIES_PER_PART + 1) * ENTRIES_PER_PART
        there = log.next_from(first)
        if there is None or there >= end:
            # A tree whose leaves are missing has no root, from here on.
            wanted = None
            end = (
                last + 1
                if there is None
                else there // ENTRIES_PER_PART * ENTRIES_PER_PART
            )
        yield replace(whole, first=first, last=min(end - 1, last), wanted=wanted)
        first = end
        wanted = None if wanted is None else replace(wanted, known=())


def _gather(results: Iterable[RangeResult], tree: LogTree | None) -> RangeResult:
    merged = RangeResult()
    for result in results:
        merged.entries += result.entries
        merged.counts += result.counts
        merged.findings += result.findings[: MAX_FINDINGS - len(merged.findings)]
        merged.misfits += result.misfits[: MAX_FINDINGS - len(merged.misfits)]
        merged.gaps += result.gaps[: MAX_FINDINGS - len(merged.gaps)]
        merged.interruption = merged.interruption or result.interruption
        if result.last_seq is not None:
            merged.last_seq = result.last_seq
            merged.last_hash = result.last_hash
            merged.last_time_us = result.last_time_us
        if tree is not None and result.chunk and merged.interruption is None:
            tree.take(result.chunk)
    return merged


def _check_genesis(log: LogSource, head: Head | None) -> Genesis:
    """Find out the log's id and name, from entry 0 rather than from the head.

    The id is the hash of entry 0's payload, and entry 0 contains the id: whoever
    changes one of them without rewriting the other is found.
    """
    said = head.log_id if head is not None else bytes(16)
    row = log.row(0)
    if row is None:
        missing = Finding(
            seq=0, reason=ErrorClass.GENESIS, detail="there is no entry 0"
        )
        return Genesis(said, None, (missing,))
    fields = fields_of(row)
    manifest = fields["payload"] or b""
    computed = log_identity(manifest)
    log_id = computed if _has_hash_under(computed, row) else said
    is_genesis = fields["event_type"] == AuditEvent.LOG_GENESIS.encode()
    if is_genesis and computed == log_id:
        return Genesis(log_id, _origin_in(manifest), ())
    finding = Finding(
        seq=0,
        reason=ErrorClass.GENESIS,
        expected=log_id.hex(),
        found=computed.hex(),
        detail="entry 0 is not the manifest of this log",
    )
    return Genesis(log_id, _origin_in(manifest), (finding,))


def _origin_in(manifest: bytes) -> str | None:
    try:
        return origin_of_genesis(manifest)
    except BrokenEpochsError:
        return None


def _strange(sentence: str) -> Finding:
    return Finding(seq=0, reason=ErrorClass.SCHEMA, detail=sentence)


def _check_epochs(
    origins: Sequence[OriginEntry], head: Head | None
) -> Iterator[Finding]:
    """See that the log is signed under the origin that its entries say."""
    try:
        origin = parse_epochs(origins)[-1].origin
    except BrokenEpochsError as error:
        yield Finding(
            seq=origins[-1].seq if origins else 0,
            reason=ErrorClass.EPOCH,
            detail=str(error),
        )
        return
    if head is not None and head.origin != origin:
        yield Finding(
            seq=head.next_seq - 1,
            reason=ErrorClass.EPOCH,
            expected=origin,
            found=head.origin,
            detail="the head names another origin than the entries",
        )


def _promises(origins: Sequence[OriginEntry]) -> Mapping[str, int | None]:
    try:
        return promises_of(parse_epochs(origins))
    except BrokenEpochsError:
        return {}


def _incidents(origins: Sequence[OriginEntry]) -> Sequence[str]:
    """Say of each epoch but the first why it was opened."""
    try:
        epochs = parse_epochs(origins)
    except BrokenEpochsError:
        return ()
    return [
        f"epoch {epoch.number}, {epoch.origin}, since entry {epoch.first_seq}:"
        f" {epoch.opened.contradiction.sentence}. Reason given: {epoch.opened.reason}"
        for epoch in epochs
        if epoch.opened is not None
    ]


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
