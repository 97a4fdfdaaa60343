"""Reading the log in parts that are checked by themselves, here or side by side."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from typing import Final

from models.audit_snapshot import EPOCH_US, ReadInterruptedError, fields_of, snapshot
from models.audit_source import LogSource
from models.connection_settings import ConnectionSettings
from services.audit_anchors import Anchors
from services.audit_bookmark import Bookmark
from services.audit_check import (
    FORGET,
    MAX_FINDINGS,
    Progress,
    RangeCheck,
    RangeResult,
)
from services.audit_tree import Chunk, LogTree, Wanted, grow_chunk
from services.erased_entries import ErasedEntries
from utils.merkle import HASH_BYTES

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


# Checks parts, and returns what was found in the same order.
CheckParts = Callable[[Iterable[Part]], Iterable[RangeResult]]


def one_by_one(
    log: LogSource, progress: Progress | None, parts: Iterable[Part]
) -> Iterator[RangeResult]:
    """Check parts in this process."""
    for part in parts:
        result = _check_part(log, progress, part)
        yield result
        if result.interruption is not None:
            return


def side_by_side(
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


def _check_alone(elsewhere: Elsewhere, part: Part) -> RangeResult:
    """Check a part in a process that has nothing else."""
    with snapshot(
        elsewhere.settings,
        timeout_seconds=elsewhere.timeout_seconds,
        imported=elsewhere.snapshot_name,
    ) as log:
        return _check_part(log, None, part)


def _check_part(log: LogSource, progress: Progress | None, part: Part) -> RangeResult:
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


def tree_from(first: int, bookmark: Bookmark | None) -> LogTree | None:
    """Begin a tree where the reading begins, if one can be made from there."""
    height = ENTRIES_PER_PART.bit_length() - 1
    if bookmark is not None:
        return LogTree(height, bookmark.size, bookmark.subtrees)
    return LogTree(height) if first == 0 else None


def split(
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


def gather(results: Iterable[RangeResult], tree: LogTree | None) -> RangeResult:
    """Put together what was found in each part, in order, and grow the tree."""
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
