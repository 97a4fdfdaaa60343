"""One verification in the background, which tells the database how far it is."""

import logging
import threading
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from models import verification_run
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.verification_run import RunState
from services.audit_findings import Verification
from services.blockchain_service import BlockchainService

logger = logging.getLogger(__name__)

BEAT_SECONDS: Final = 1.0
REPORT: Final = TypeAdapter(Verification)


class _CancelledError(Exception):
    """Somebody does not want to know any more."""


class VerificationJob:
    """Runs once. What it finds is in the database only if it got to the end."""

    def __init__(
        self,
        database: Database,
        blockchain: BlockchainService,
        run_id: UUID,
        *,
        deep: bool,
    ) -> None:
        self._database = database
        self._blockchain = blockchain
        self._run_id = run_id
        self._deep = deep
        self._entries_checked = 0
        self.is_to_stop = threading.Event()
        self._is_done = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self.run, name="verification", daemon=True).start()

    def run(self) -> None:
        beating = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        beating.start()
        try:
            found = self._blockchain.verify_thoroughly(
                deep=self._deep, progress=self._note
            )
        except _CancelledError:
            self._settle(RunState.CANCELLED)
        except DatabaseUnavailableError:
            self._settle(RunState.INCOMPLETE, failure="the database did not answer")
        except Exception:
            # Nobody waits for this thread, so nobody else would say it.
            logger.exception("a verification failed")
            self._settle(RunState.INCOMPLETE, failure="it failed, which is our fault")
        else:
            self._entries_checked = found.entries_checked
            report = REPORT.dump_json(found).decode()
            self._settle(RunState.FINISHED, result=report)
        finally:
            self._is_done.set()
            beating.join()

    def _note(self, entries: int) -> None:
        self._entries_checked += entries
        if self.is_to_stop.is_set():
            raise _CancelledError

    def _beat(self) -> None:
        """Say every second that this process lives, and hear if it is to stop."""
        while not self._is_done.wait(BEAT_SECONDS):
            try:
                with self._database.bookkeeping() as tx:
                    if not verification_run.beat(
                        tx, self._run_id, self._entries_checked
                    ):
                        self.is_to_stop.set()
            except DatabaseUnavailableError:
                # If it does not come back, the run is given up by whoever asks.
                logger.warning("a verification could not say how far it is")

    def _settle(
        self, state: RunState, *, result: str | None = None, failure: str | None = None
    ) -> None:
        try:
            with self._database.bookkeeping() as tx:
                verification_run.settle(
                    tx,
                    self._run_id,
                    state,
                    entries_checked=self._entries_checked,
                    result=result,
                    failure=failure,
                )
        except DatabaseUnavailableError:
            logger.warning("the end of a verification could not be noted")
