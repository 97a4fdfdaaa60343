"""Receipts: what a student takes home at the end, and anybody can check without us.

A receipt is a C2SP tlog-proof: the audit entry of the attempt's end, its way to the
root of a checkpoint, and that checkpoint with its signatures. It makes the student a
witness of the log: a log from which his entry has gone, or in which it reads otherwise,
contradicts what he holds.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import Base64Bytes, BaseModel, ConfigDict, ValidationError

from models import attempt, attempt_receipt, blockchain_log, checkpoint, evidence
from models.checkpoint import StoredCheckpoint
from models.database import Database
from models.evidence import SealedEntry
from models.principal import Principal
from models.transaction import Transaction
from services import errors
from services.attempt_errors import AttemptNotFoundError, NoReceiptError
from services.audit_findings import Check, CheckResult
from services.merkle_service import ProofDoesNotHoldError, prove_inclusion
from utils.blockchain_hasher import (
    Entry,
    entry_bytes,
    leaf_hash,
    parse_entry,
    payload_commitment,
)
from utils.canonical_text import NoteError, to_base64
from utils.checkpoint import Checkpoint
from utils.instants import from_microseconds
from utils.signed_note import Note, VerifierKey, verified
from utils.tlog_proof import TlogProof
from utils.witness_policy import Standing, WitnessPolicy, judge

# So many witnessed checkpoints are judged before a receipt does without.
CANDIDATES: Final = 8
NOT_SIGNED: Final = (
    "The checkpoint over it is not signed by a key that this server knows, so nobody"
    " would believe the receipt: the database is damaged, or the key was changed and"
    " AUDIT_LOG_VKEYS does not name the new one yet."
)


class ReceiptPendingError(errors.BusyError):
    slug = "receipt-pending"
    title = "The receipt is being signed"

    def __init__(self) -> None:
        super().__init__(
            "The end of the attempt is recorded and not in a signed checkpoint yet,"
            " which takes a second. If it stays so, the checkpointer is not running.",
            retry_after_seconds=1,
        )


class ReceiptErasedError(errors.ConflictError):
    slug = "receipt-erased"
    title = "What the receipt would say was erased"

    def __init__(self) -> None:
        super().__init__(
            "The log still has the entry and no longer what it says. A receipt that was"
            " fetched before still proves it."
        )


class ReceiptMalformedError(errors.UnprocessableError):
    slug = "receipt-malformed"
    title = "Not a receipt"

    def __init__(self, why: str) -> None:
        super().__init__(f"This can not be read as a receipt: {why}.")


class Sealed(BaseModel):
    """What a receipt holds beside the proof: the entry, and what it commits to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: Base64Bytes
    payload: str
    salt: Base64Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedReceipt:
    """`proof` is the text to keep; `is_cosigned` says whether a witness signed too.

    `is_witnessed`: the quorum of this server's policy has; else `missing` says what the
    policy asks for, and a later request may get a receipt that has it. `entry` is what
    `proof` holds, to be told in words.
    """

    attempt_id: UUID
    audit_seq: int
    entry: SealedEntry
    receipt_hash: bytes
    checkpoint_size: int
    is_cosigned: bool
    is_witnessed: bool
    missing: str | None
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptReport:
    """What a receipt says, and which of it holds. `is_valid`: nothing contradicts.

    `is_witnessed`: the quorum of this server's policy has signed its checkpoint.
    """

    is_valid: bool
    is_witnessed: bool
    audit_seq: int
    event_type: str
    attempt_id: str | None
    recorded_at: datetime
    payload: str
    checks: Sequence[Check]


class ReceiptService:
    def __init__(
        self,
        database: Database,
        verifier_keys: Sequence[str],
        policy: WitnessPolicy | None = None,
    ) -> None:
        self._database = database
        self._keys = tuple(map(VerifierKey.parse, verifier_keys))
        self._policy = policy

    def get_receipt(self, student: Principal, attempt_id: UUID) -> SealedReceipt:
        """Return the receipt of the student's own attempt; again, the same one.

        It is over the first checkpoint that is witnessed; until there is one, over the
        first that there is. Raises AttemptNotFoundError, NoReceiptError,
        ReceiptPendingError, ReceiptErasedError, and ProofDoesNotHoldError for what
        would be rejected later.
        """
        with self._database.read() as tx:
            own = attempt.get(tx, attempt_id)
            if own is None or own.student_id != student.id:
                raise AttemptNotFoundError(attempt_id)
            ended = attempt_receipt.get(tx, attempt_id)
            if ended is None:
                raise NoReceiptError(own)
            signed, note, standing = self._choose(tx, ended.audit_seq)
            proven = prove_inclusion(tx, ended.audit_seq, signed)
            entry, extra = _sealed(tx, ended.audit_seq)
        made = TlogProof(ended.audit_seq, tuple(proven.proof), note, extra)
        return SealedReceipt(
            attempt_id=attempt_id,
            audit_seq=ended.audit_seq,
            entry=entry,
            receipt_hash=proven.leaf_hash,
            checkpoint_size=signed.size,
            is_cosigned=note == signed.cosigned_note,
            is_witnessed=standing.is_witnessed,
            missing=standing.missing,
            proof=made.render(),
        )

    def check_receipt(self, text: str) -> ReceiptReport:
        """Check a receipt by itself, and against the log as it is today.

        Raises ReceiptMalformedError.
        """
        try:
            proof = TlogProof.parse(text.encode())
            sealed = Sealed.model_validate_json(proof.extra or b"")
            entry = parse_entry(sealed.entry)
            recorded_at = from_microseconds(entry.recorded_at_us)
            note = proof.note()
        except NoteError as error:
            raise ReceiptMalformedError(str(error)) from error
        except (ValidationError, ValueError, OverflowError) as error:
            raise ReceiptMalformedError("it does not hold an entry") from error
        leaf = leaf_hash(sealed.entry)
        standing = judge(self._policy, proof.checkpoint_note)
        checks = [
            *_check_itself(proof, sealed, entry, leaf),
            self._check_signature(note, proof.checkpoint().origin),
            _check_witnesses(standing),
            self._compare_with_log(proof.index, leaf),
        ]
        return ReceiptReport(
            is_valid=all(check.result is not CheckResult.FAILED for check in checks),
            is_witnessed=standing.is_witnessed,
            audit_seq=entry.seq,
            event_type=entry.event_type,
            attempt_id=entry.attempt_id,
            recorded_at=recorded_at,
            payload=sealed.payload,
            checks=checks,
        )

    def _choose(
        self, tx: Transaction, seq: int
    ) -> tuple[StoredCheckpoint, str, Standing]:
        """Return a checkpoint over an entry, and its note.

        Raises ReceiptPendingError and ProofDoesNotHoldError.
        """
        # The checkpointer's policy has found them, and may have been another one.
        if self._policy is not None:
            for stored in checkpoint.list_witnessed_over(tx, seq, limit=CANDIDATES):
                found = judge(self._policy, stored.best_note)
                if found.is_witnessed and self._is_sound(stored, stored.best_note):
                    return stored, stored.best_note, found
        first = checkpoint.get_first_over(tx, seq)
        if first is None:
            raise ReceiptPendingError
        for note in (first.best_note, first.note):
            if self._is_sound(first, note):
                return first, note, judge(self._policy, note)
        raise ProofDoesNotHoldError(NOT_SIGNED)

    def _is_sound(self, stored: StoredCheckpoint, text: str) -> bool:
        """Say whether a note is the checkpoint's, and not one to be rejected.

        Who owns the database can put another one there, and would then have given out
        receipts that hold him to nothing.
        """
        try:
            note = Note.parse(text.encode())
            stated = Checkpoint.parse(note.text)
        except NoteError:
            return False
        keys = [key for key in self._keys if key.name == stated.origin]
        is_signed = any(verified(note, key) is not None for key in keys)
        return (
            (stated.size, stated.root) == (stored.size, stored.root)
            and (is_signed or not keys)
            and not judge(self._policy, text).wrong
        )

    def _check_signature(self, note: Note, origin: str) -> Check:
        keys = [key for key in self._keys if key.name == origin]
        if not keys:
            return Check(
                name="signature",
                result=CheckResult.NOT_CHECKED,
                detail=f"this server was not told who signs for {origin}"
                " (AUDIT_LOG_VKEYS)",
            )
        return _check(
            "signature",
            is_right=any(verified(note, key) is not None for key in keys),
            right=f"the checkpoint is signed for {origin}",
            wrong=f"no key of {origin} has signed the checkpoint",
        )

    def _compare_with_log(self, seq: int, leaf: bytes) -> Check:
        with self._database.read() as tx:
            today = blockchain_log.list_hashes(tx, seq)
        return _check(
            "log",
            is_right=today == [leaf],
            right=f"the log has this entry at number {seq} today",
            wrong=f"the log has another entry at number {seq} today, or none: keep the"
            " receipt, it is evidence",
        )


def _check_witnesses(standing: Standing) -> Check:
    """A wrong cosignature contradicts a receipt; one that is not there does not."""
    if standing.wrong:
        return Check(
            name="witnesses",
            result=CheckResult.FAILED,
            detail=f"something else was signed by {', '.join(standing.wrong)}",
        )
    if not standing.is_witnessed:
        return Check(
            name="witnesses",
            result=CheckResult.NOT_CHECKED,
            detail=f"no quorum has confirmed it: {standing.missing}",
        )
    confirmed = ", ".join(
        f"{each.name} at {each.cosigned_at:%F %T} UTC" for each in standing.witnesses
    )
    return Check(
        name="witnesses",
        result=CheckResult.PASSED,
        detail=f"the quorum of this server's policy has confirmed it: {confirmed}",
    )


def _check_itself(
    proof: TlogProof, sealed: Sealed, entry: Entry, leaf: bytes
) -> Iterator[Check]:
    yield _check(
        "inclusion",
        is_right=entry.seq == proof.index and proof.includes(leaf),
        right=f"the entry is number {proof.index} of the checkpoint's"
        f" {proof.checkpoint().size}",
        wrong="the entry is not where the checkpoint's tree has it",
    )
    try:
        commitment = payload_commitment(sealed.salt, sealed.payload.encode())
    except ValueError:
        commitment = b""
    yield _check(
        "payload",
        is_right=commitment == entry.payload_hash,
        right="the text is the one that the entry commits to",
        wrong="the text is not the one that the entry commits to",
    )


def _check(name: str, *, is_right: bool, right: str, wrong: str) -> Check:
    return Check(
        name=name,
        result=CheckResult.PASSED if is_right else CheckResult.FAILED,
        detail=right if is_right else wrong,
    )


def _sealed(tx: Transaction, seq: int) -> tuple[SealedEntry, bytes]:
    found = evidence.get_entry(tx, seq)
    head = blockchain_log.get_head(tx)
    if found is None or head is None:
        raise LookupError("an entry that was just read is gone")
    if found.payload is None:
        raise ReceiptErasedError
    opened = {
        "entry": to_base64(entry_bytes(_entry(found, head.log_id))),
        "payload": found.payload,
        "salt": to_base64(found.payload_salt or b""),
    }
    extra = json.dumps(opened, ensure_ascii=False, separators=(",", ":")).encode()
    return found, extra


def _entry(row: SealedEntry, log_id: bytes) -> Entry:
    return Entry(
        log_id=log_id,
        seq=row.seq,
        previous_hash=row.previous_hash,
        recorded_at_us=row.recorded_at_us,
        xid=row.xid,
        flags=row.flags,
        schema_version=row.schema_version,
        payload_hash=row.payload_hash,
        state_hash=row.state_hash,
        attempt_id=None if row.attempt_id is None else str(row.attempt_id),
        actor_id=row.actor_id,
        event_type=row.event_type,
        entity_type=row.entity_type,
        entity_id=row.entity_id,
    )
