"""How the log begins and ends: entry 0, the epochs, and what the head says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.audit_event import AuditEvent
from models.audit_snapshot import fields_of, microseconds
from models.audit_source import LogSource
from models.audit_suspension import OriginEntry
from models.blockchain_log import Head
from services.audit_check import RangeCheck, RangeResult
from services.audit_findings import ErrorClass, Finding
from services.epochs import (
    BrokenEpochsError,
    origin_of_genesis,
    parse_epochs,
    promises_of,
)
from utils.blockchain_hasher import NO_HASH, log_identity


@dataclass(frozen=True, slots=True)
class Genesis:
    """Which log this is, and what is wrong with how it begins.

    `origin` is the name that entry 0 gives it, None if it gives none.
    """

    log_id: bytes
    origin: str | None
    findings: tuple[Finding, ...]


def check_genesis(log: LogSource, head: Head | None) -> Genesis:
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


def _has_hash_under(log_id: bytes, row: bytes) -> bool:
    check = RangeCheck(log_id, 0, previous_hash=NO_HASH, previous_time_us=None)
    check.receive(row)
    return not check.result.counts[ErrorClass.HASH]


def check_epochs(
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


def promises_in(origins: Sequence[OriginEntry]) -> Mapping[str, int | None]:
    """Return the origins under which the log was signed, as `promises_of` has them."""
    try:
        return promises_of(parse_epochs(origins))
    except BrokenEpochsError:
        return {}


def incidents_in(origins: Sequence[OriginEntry]) -> Sequence[str]:
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


def compare_head(
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
