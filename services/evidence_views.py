"""Who looked at whose evidence: docs/decisions/0016-access.md says why."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from models import attempt, evidence_view
from models.audit_event import AuditEvent
from models.database import Database
from models.evidence_view import Subject, SubjectType, View
from models.page import Page, paged
from models.principal import Principal, Role
from services import audit
from services.attempt_access import require_attempt
from services.attempt_errors import AttemptNotFoundError
from services.pseudonyms import Pseudonyms
from utils.described_enum import DescribedEnum


class What(DescribedEnum):
    """What was looked at. Its value is in the log: never renamed, only added to."""

    OVERVIEW = "overview", "The attempt with its risk and its review."
    EVENTS = "events", "What the exam client, the server and proctors observed."
    ANALYSIS = "analysis", "What the risk model says, and why."
    ANSWERS = "answers", "The answers, with points and comments."
    TRAIL = "trail", "What the log says of the attempt."
    ENTRIES = "entries", "Entries of the log, some of which are about this person."
    RISK_LIST = "risk_list", "The exam's attempts by risk, with the reasons."
    RESULTS = "results", "The results of all who sat the exam, with their names."
    APPEALS = "appeals", "What students contest, and what was decided about it."
    BUNDLE = "bundle", "A bundle of evidence, which left the system."
    DATA_EXPORT = (
        "data_export",
        "All that is held on the person, which left the system.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who looked. A student is told the role and a name that means nothing else.

    All are None for who sat at the server's terminal.
    """

    role: Role | None
    pseudonym: str | None
    id: UUID | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownView:
    seq: int
    recorded_at: datetime
    what: str
    subject_type: str
    viewer: Viewer


class EvidenceViews:
    def __init__(self, database: Database, secret_key: str) -> None:
        self._database = database
        self._pseudonyms = Pseudonyms(secret_key)

    def note(
        self, viewer: Principal, what: What, subjects: Collection[Subject]
    ) -> None:
        """Have it in the log, and on disk, that `viewer` looks at this.

        Called before anything is shown: whoever can not be noted is shown nothing.
        The same look is one entry in ten minutes, whichever process it comes through.
        Raises DatabaseUnavailableError.
        """
        subjects = sorted(set(subjects))
        if not subjects:
            return
        with self._database.bookkeeping() as tx:
            if evidence_view.are_noted(tx, viewer.id, what, subjects):
                return
        with self._database.transaction(is_aside=True) as tx:
            for subject in evidence_view.note(tx, viewer.id, what, subjects):
                is_attempt = subject.type is SubjectType.ATTEMPT
                audit.append(
                    tx,
                    AuditEvent.EVIDENCE_VIEWED,
                    subject.type,
                    subject.id,
                    actor=viewer.id,
                    attempt_id=subject.id if is_attempt else None,
                    payload={
                        "viewer": viewer.id,
                        "role": viewer.role,
                        "what": what,
                        subject.type: subject.id,
                    },
                )

    def list_views(
        self, reader: Principal, attempt_id: UUID, *, before: int, limit: int
    ) -> Page[ShownView]:
        """Return who looked at an attempt, the newest first.

        For the staff of its exam, and for its own student. Raises AttemptNotFoundError.
        """
        with self._database.read() as tx:
            if reader.role is Role.STUDENT:
                found = attempt.get(tx, attempt_id)
                if found is None or found.student_id != reader.id:
                    raise AttemptNotFoundError(attempt_id)
            else:
                found = require_attempt(tx, reader, attempt_id)
            rows = evidence_view.list_of_attempt(
                tx, attempt_id, before=before, limit=limit + 1
            )
        shown = [self._shown(row, reader, found.student_id) for row in rows]
        return paged(shown, limit, lambda each: (each.seq,))

    def _shown(self, view: View, reader: Principal, student_id: UUID) -> ShownView:
        is_staff = reader.role is not Role.STUDENT
        return ShownView(
            seq=view.seq,
            recorded_at=view.recorded_at,
            what=view.what,
            subject_type=view.subject_type,
            viewer=Viewer(
                role=view.role,
                # Staff see it too, so that they know of whom a student speaks.
                pseudonym=None
                if view.viewer_id is None
                else self._pseudonyms.of(view.viewer_id, student_id),
                id=view.viewer_id if is_staff else None,
                name=view.viewer_name if is_staff else None,
            ),
        )
