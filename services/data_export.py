"""All that is held on a person, for that person (GDPR, article 15).

docs/decisions/0016-access.md says what is held back and why.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Any, Final
from uuid import UUID

from models import blockchain_log, evidence_view, exam, personal_data, user
from models.audit_event import AuditEvent
from models.database import Database
from models.page import FROM_THE_NEWEST
from models.personal_data import HeldAttempt, Record
from models.principal import Principal
from models.transaction import Transaction
from services import audit, data_export_rules, errors
from services.data_export_sections import FORMAT, LEFT_OUT, NOTES, SECTIONS
from services.pseudonyms import Pseudonyms
from services.user_service import UserNotFoundError
from utils.instants import rfc3339

# Smaller ones never touch the disk.
IN_MEMORY_BYTES: Final = 1024 * 1024
VIEWS_AT_ONCE: Final = 500
ANOTHER_ATTEMPT: Final = "attempt-of-somebody-else"
UUIDS: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
# Of which attempt a record is.
ATTEMPT_KEY: Final = {"attempts": "id"}


class DataExportBusyError(errors.BusyError):
    slug = "data-export-busy"
    title = "An export is being made"

    def __init__(self) -> None:
        super().__init__(
            "This server is making an export for somebody else at the moment.",
            retry_after_seconds=2,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataExport:
    """A document that waits in a temporary file, and the entry that records it."""

    # Any: typeshed has no common name for files that may be in memory.
    file: Any
    size: int
    sha256: bytes
    audit_seq: int


class DataExports:
    def __init__(self, database: Database, secret_key: str) -> None:
        self._database = database
        self._pseudonyms = Pseudonyms(secret_key)
        # It reads much, so one at a time in each process.
        self._making = threading.Lock()

    def export(
        self, caller: Principal, user_id: UUID, reason: str | None
    ) -> DataExport:
        """Write all that is held on a user, and record that it is given out.

        The caller sees to it that he is the user or an admin. The same document is
        made for both. Raises UserNotFoundError and DataExportBusyError.
        """
        if not self._making.acquire(blocking=False):
            raise DataExportBusyError
        written = _Written()
        try:
            with self._database.read() as tx:
                _require(tx, user_id)
                counts = _Document(tx, user_id, self._pseudonyms).write(written)
            # What fails before this has given nothing out, and leaves no entry.
            with self._database.transaction() as tx:
                entry = audit.append(
                    tx,
                    AuditEvent.DATA_EXPORTED,
                    "user",
                    user_id,
                    actor=caller.id,
                    payload={
                        "format": FORMAT,
                        "reason": reason,
                        "bytes": written.size,
                        "sha256": written.digest.hexdigest(),
                        "items": counts,
                    },
                )
        except BaseException:
            written.file.close()
            raise
        finally:
            self._making.release()
        written.file.seek(0)
        return DataExport(
            file=written.file,
            size=written.size,
            sha256=written.digest.digest(),
            audit_seq=entry.seq,
        )


class _Written:
    """A file that knows its size and its digest, wherever it is."""

    def __init__(self) -> None:
        # Has no name on the disk, so nothing of it is left, however we end.
        self.file = SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115
        self.digest = sha256()
        self.size = 0

    def write(self, text: str) -> None:
        content = text.encode()
        self.file.write(content)
        self.digest.update(content)
        self.size += len(content)


class _Document:
    """One person's document, of one moment."""

    def __init__(self, tx: Transaction, user_id: UUID, pseudonyms: Pseudonyms) -> None:
        self._tx = tx
        self._user_id = user_id
        self._pseudonyms = pseudonyms
        self._attempts = personal_data.list_attempts(tx, user_id)
        self._held = {str(each.id): each for each in self._attempts}

    def write(self, written: _Written) -> Mapping[str, int]:
        """Write it, piece by piece, and return how many items each section has."""
        head = {
            "format": FORMAT,
            "made_at": rfc3339(exam.now(self._tx)),
            "user_id": str(self._user_id),
            "notes": NOTES,
            "left_out": [asdict(each) for each in LEFT_OUT],
        }
        # Without the closing brace, which comes after the sections.
        written.write(f'{_text(head)[:-1]}, "sections": {{')
        counts = {}
        for number, (name, told) in enumerate(SECTIONS.items()):
            written.write(f"{', ' if number else ''}\n{_text(name)}: ")
            written.write(f'{_text(asdict(told))[:-1]}, "items": [')
            counts[name] = 0
            for record in self._records(name):
                written.write(f"{',' if counts[name] else ''}\n{record}")
                counts[name] += 1
            written.write("]}")
        written.write("}}\n")
        return counts

    def _records(self, section: str) -> Iterator[str]:
        for piece in self._pieces(section):
            shown = [_text(self._shown(section, record)) for record in piece]
            yield from self._without_others(shown)

    def _pieces(self, section: str) -> Iterator[Sequence[Record]]:
        attempt_ids = [each.id for each in self._attempts]
        match section:
            case "views":
                for each in self._attempts:
                    yield from self._views(each)
            case "entries":
                head = blockchain_log.get_head(self._tx)
                yield from personal_data.read_entries(
                    self._tx,
                    self._user_id,
                    attempt_ids,
                    naming=data_export_rules.NAMING,
                    size=0 if head is None else head.next_seq,
                )
            case _:
                yield from personal_data.read_section(
                    self._tx, section, self._user_id, attempt_ids
                )

    def _views(self, held: HeldAttempt) -> Iterator[Sequence[Record]]:
        before = FROM_THE_NEWEST
        while rows := evidence_view.list_of_attempt(
            self._tx, held.id, before=before, limit=VIEWS_AT_ONCE
        ):
            yield [
                {
                    "attempt_id": str(held.id),
                    "seq": row.seq,
                    "recorded_at": rfc3339(row.recorded_at),
                    "what": row.what,
                    "subject_type": row.subject_type,
                    "viewer_role": row.role,
                    "viewer": None if row.viewer_id is None else str(row.viewer_id),
                }
                for row in rows
            ]
            before = rows[-1].seq

    def _shown(self, section: str, record: Record) -> Record:
        """Give a record the times of the API, and hold back what its rule says."""
        record = {
            name: _instant(value) if name.endswith("_at") else value
            for name, value in record.items()
        }
        held = self._held.get(str(record.get(ATTEMPT_KEY.get(section, "attempt_id"))))
        if section == "entries":
            return data_export_rules.entry(record, str(self._user_id), held)
        rule = RULES.get(section)
        if rule is None or held is None:
            return record
        return rule(record, held)

    def _without_others(self, records: Sequence[str]) -> Iterator[str]:
        """Put words in the place of other people's ids, wherever they stand."""
        ids = {UUID(found) for each in records for found in UUIDS.findall(each)}
        words = {
            str(other): f"person-{self._pseudonyms.of(other, self._user_id)}"
            for other in personal_data.list_other_users(
                self._tx, self._user_id, list(ids)
            )
        }
        for other in personal_data.list_other_attempts(
            self._tx, self._user_id, list(ids)
        ):
            words[str(other)] = ANOTHER_ATTEMPT
        for each in records:
            yield UUIDS.sub(lambda found: words.get(found[0].lower(), found[0]), each)


RULES: Final = {
    "attempts": data_export_rules.attempt,
    "answers": data_export_rules.answer,
    "events": data_export_rules.event,
    "analyses": data_export_rules.analysis,
}


def _require(tx: Transaction, user_id: UUID) -> None:
    if user.get(tx, user_id) is None:
        raise UserNotFoundError(user_id)


def _instant(value: object) -> Any:
    return rfc3339(datetime.fromisoformat(value)) if isinstance(value, str) else value


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
