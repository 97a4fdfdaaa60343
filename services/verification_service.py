"""Verifications that take longer than a request: started, watched, cancelled."""

from uuid import UUID

from models import verification_run
from models.audit_event import AuditEvent
from models.database import Database
from models.page import Page, paged
from models.principal import Principal
from models.verification_run import VerificationRun
from services import audit, errors
from services.blockchain_service import BlockchainService
from services.verification_job import VerificationJob
from utils.uuid7 import uuid7


class VerificationRunNotFoundError(errors.NotFoundError):
    slug = "verification-not-found"
    title = "No such verification"

    def __init__(self, run_id: UUID) -> None:
        super().__init__(f"There is no verification {run_id}.")


class VerificationRunningError(errors.ConflictError):
    slug = "verification-running"
    title = "A verification is running already"

    def __init__(self) -> None:
        super().__init__(
            "One verification at a time. GET /api/blockchain/verifications lists them.",
            current_status="running",
            allowed_actions=["cancel"],
        )


class VerificationEndedError(errors.ConflictError):
    slug = "verification-ended"
    title = "The verification has ended"

    def __init__(self, run: VerificationRun) -> None:
        super().__init__(
            f"The verification {run.id} is not running any more.",
            current_status=run.state,
            allowed_actions=["start"],
        )


class VerificationService:
    def __init__(self, database: Database, blockchain: BlockchainService) -> None:
        self._database = database
        self._blockchain = blockchain

    def start(self, admin: Principal, *, deep: bool) -> VerificationRun:
        """Begin a verification of all there is, in a thread of this process.

        Raises VerificationRunningError.
        """
        run_id = uuid7()
        with self._database.transaction() as tx:
            verification_run.end_dead(tx)
            if not verification_run.insert(
                tx, id=run_id, requested_by=admin.id, deep=deep
            ):
                raise VerificationRunningError
            audit.append(
                tx,
                AuditEvent.VERIFICATION_STARTED,
                "verification",
                run_id,
                actor=admin.id,
                payload={"deep": deep},
            )
        VerificationJob(self._database, self._blockchain, run_id, deep=deep).start()
        return self.get(run_id)

    def get(self, run_id: UUID) -> VerificationRun:
        """Return a run; one whose process died is incomplete.

        Raises VerificationRunNotFoundError.
        """
        with self._database.read() as tx:
            run = verification_run.get(tx, run_id)
        if run is None:
            raise VerificationRunNotFoundError(run_id)
        return run

    def list_runs(self, *, before: UUID | None, limit: int) -> Page[VerificationRun]:
        """Return the runs, the newest first."""
        with self._database.read() as tx:
            rows = verification_run.list_newest(tx, before=before, limit=limit + 1)
        return paged(rows, limit, lambda run: (run.id,))

    def cancel(self, admin: Principal, run_id: UUID) -> VerificationRun:
        """Ask a run to stop, which takes it a second.

        Raises VerificationRunNotFoundError and VerificationEndedError.
        """
        with self._database.transaction() as tx:
            if not verification_run.request_cancel(tx, run_id):
                run = verification_run.get(tx, run_id)
                if run is None:
                    raise VerificationRunNotFoundError(run_id)
                raise VerificationEndedError(run)
            # One whose process died will not hear it.
            verification_run.end_dead(tx)
            audit.append(
                tx,
                AuditEvent.VERIFICATION_CANCELLED,
                "verification",
                run_id,
                actor=admin.id,
                payload={},
            )
        return self.get(run_id)
