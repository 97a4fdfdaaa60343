"""Handing out evidence: a bundle for a hearing, and the entry that says so."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

from models import answer, attempt, blockchain_log, checkpoint, evidence, question
from models.audit_entry import PendingEntry
from models.audit_event import AuditEvent
from models.database import Database
from models.evidence import Extent
from models.principal import Principal
from models.transaction import Transaction
from services import audit, errors
from services.attempt_access import require_attempt
from services.attempt_errors import AttemptNotFoundError
from services.blockchain_service import AuditLogNotBegunError
from services.evidence_bundle import (
    FORMAT,
    ON_REQUEST,
    ON_TERMINAL,
    Bounds,
    EvidenceTooLargeError,
    Material,
    pack,
    policy_of,
)
from services.evidence_proofs import find_anchor, find_signed
from services.evidence_report import readme, report
from utils.witness_policy import WitnessPolicy

# For the entry about a bundle to be signed and witnessed, which takes about one.
COVER_SECONDS: Final = 3.0
LOOK_EVERY_SECONDS: Final = 0.1
# Entries that nobody has signed for so long are not signed the next moment either.
SIGNED_WITHIN_SECONDS: Final = 10


class BundleBusyError(errors.BusyError):
    slug = "bundle-busy"
    title = "A bundle is being made"

    def __init__(self) -> None:
        super().__init__(
            "This server is making a bundle for somebody else at the moment.",
            retry_after_seconds=2,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A ZIP file, and the number of the entry that records its making."""

    content: bytes
    sha256: bytes
    exported_by: int


class EvidenceService:
    def __init__(
        self,
        database: Database,
        vkeys: Sequence[str],
        policy: WitnessPolicy | None = None,
    ) -> None:
        self._database = database
        self._witnesses = policy
        self._policy = policy_of(vkeys, policy)
        # A bundle is made in memory, so one at a time in each process.
        self._making = threading.Lock()

    def export_bundle(
        self, staff: Principal, attempt_id: UUID, reason: str | None
    ) -> Bundle:
        """Make a bundle for a member of staff.

        Raises AttemptNotFoundError, EvidenceTooLargeError, BundleBusyError, and
        ProofDoesNotHoldError if the log is not the one that was signed.
        """
        return self._export(staff, attempt_id, reason, ON_REQUEST)

    def export_bundle_on_terminal(self, attempt_id: UUID, reason: str) -> Bundle:
        """Do the same for who sits at the server, of a much larger attempt too."""
        return self._export(None, attempt_id, reason, ON_TERMINAL)

    def _export(
        self,
        staff: Principal | None,
        attempt_id: UUID,
        reason: str | None,
        bounds: Bounds,
    ) -> Bundle:
        if not self._making.acquire(blocking=False):
            raise BundleBusyError
        try:
            self._rehearse(staff, attempt_id, bounds)
            with self._database.transaction() as tx:
                _take_time(tx, bounds)
                _require(tx, staff, attempt_id)
                exported_by = _record(tx, staff, attempt_id, reason, bounds)
            self._wait_until_covered(exported_by.seq)
            with self._database.read() as tx:
                _take_time(tx, bounds)
                material = collect(
                    tx, attempt_id, exported_by.seq, self._policy, self._witnesses
                )
            content = packed(material, bounds)
            # What others have written meanwhile is in it, and may not be on disk yet.
            with self._database.transaction() as tx:
                blockchain_log.get_head(tx)
        finally:
            self._making.release()
        return Bundle(
            content=content,
            sha256=sha256(content).digest(),
            exported_by=exported_by.seq,
        )

    def _rehearse(
        self, staff: Principal | None, attempt_id: UUID, bounds: Bounds
    ) -> None:
        """Make it once for nothing: what fails leaves no entry.

        A bundle holds the entry about its making, which can only be written first.
        """
        with self._database.read() as tx:
            _take_time(tx, bounds)
            _require(tx, staff, attempt_id)
            _measured(tx, attempt_id, bounds)
            material = collect(tx, attempt_id, 0, self._policy)
        packed(material, bounds)

    def _wait_until_covered(self, seq: int) -> None:
        """Give the signer and the witnesses a moment, and go on without them.

        The count in an entry proves that a bundle is whole, if a checkpoint covers it.
        No connection is held meanwhile, and one thread of each process at most.
        """
        deadline = time.monotonic() + COVER_SECONDS
        with self._database.read() as tx:
            if not checkpoint.is_keeping_up(tx, within_seconds=SIGNED_WITHIN_SECONDS):
                return
        while time.monotonic() < deadline:
            with self._database.read() as tx:
                signed = find_signed(tx, self._witnesses)
            if signed is not None and signed.size > seq:
                return
            time.sleep(LOOK_EVERY_SECONDS)


def collect(
    tx: Transaction,
    attempt_id: UUID,
    exported_by: int,
    policy: str | None,
    witnesses: WitnessPolicy | None = None,
) -> Material:
    """Read all that a bundle holds, of one moment.

    `policy` is what it says of whose signatures count; by `witnesses` the checkpoint is
    chosen.
    """
    head = blockchain_log.get_head(tx)
    if head is None:
        raise AuditLogNotBegunError
    entries = evidence.list_entries(tx, attempt_id)
    row = evidence.get_attempt(tx, attempt_id)
    return Material(
        log_id=head.log_id,
        origin=head.origin,
        exported_by=exported_by,
        entries=entries,
        attempt=row,
        questions=question.list_open_by_exam(tx, row.exam_id),
        answers=answer.list_by_attempts(tx, [attempt_id]),
        events=evidence.list_events(tx, attempt_id),
        analyses=evidence.list_analyses(tx, attempt_id),
        anchor=find_anchor(tx, entries, witnesses),
        policy=policy,
    )


def packed(material: Material, bounds: Bounds = ON_REQUEST) -> bytes:
    """Return the bundle, which depends on the material and on nothing else."""
    return pack(material, bounds, readme=readme(material), report=report(material))


def _take_time(tx: Transaction, bounds: Bounds) -> None:
    if bounds.patience_seconds is not None:
        tx.take_time(bounds.patience_seconds)


def _require(tx: Transaction, staff: Principal | None, attempt_id: UUID) -> None:
    if staff is not None:
        require_attempt(tx, staff, attempt_id)
    elif attempt.get(tx, attempt_id) is None:
        raise AttemptNotFoundError(attempt_id)


def _measured(tx: Transaction, attempt_id: UUID, bounds: Bounds) -> Extent:
    extent = evidence.measure(tx, attempt_id)
    if extent.recorded_bytes > bounds.recorded_bytes:
        raise EvidenceTooLargeError(bounds)
    return extent


def _record(
    tx: Transaction,
    staff: Principal | None,
    attempt_id: UUID,
    reason: str | None,
    bounds: Bounds,
) -> PendingEntry:
    """Say in the log what leaves, and how many entries it had until then.

    A bundle from which some of these are missing is found by the number.
    """
    extent = _measured(tx, attempt_id, bounds)
    return audit.append_of_attempt(
        tx,
        AuditEvent.EVIDENCE_EXPORTED,
        attempt_id,
        actor=audit.SYSTEM if staff is None else staff.id,
        payload={
            "format": FORMAT,
            "reason": reason,
            "entries": extent.entries,
            "last_entry": extent.last_entry,
        },
    )
