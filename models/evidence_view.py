"""The evidence_views table: when a look at evidence was last noted in the log.

And the looks themselves, which are entries of the log.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, LiteralString
from uuid import UUID

from models.principal import Role
from models.transaction import Transaction

# Within this time the same look of the same viewer is one entry.
NOTED_FOR: Final = timedelta(minutes=10)
# An entry that may not be on disk yet lets nobody through; what was committed so long
# ago has been flushed by PostgreSQL's own walwriter.
ON_DISK_AFTER: Final = timedelta(seconds=2)


class SubjectType(StrEnum):
    ATTEMPT = "attempt"
    # All attempts of it at once.
    EXAM = "exam"
    USER = "user"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """Whose evidence is shown."""

    type: SubjectType
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A look. `viewer_id` is None for who sat at the server's terminal.

    `role` is the one that the viewer had then, where the entry says so.
    """

    seq: int
    recorded_at: datetime
    what: str
    subject_type: str
    viewer_id: UUID | None
    viewer_name: str | None
    role: Role | None


ARE_NOTED: LiteralString = """
    SELECT count(*)
      FROM unnest(%(types)s::text[], %(ids)s::uuid[]) AS subject(type, id)
      JOIN evidence_views
        ON viewer_id = %(viewer_id)s AND what = %(what)s
       AND subject_type = subject.type AND subject_id = subject.id
     WHERE noted_at BETWEEN clock_timestamp() - %(noted_for)s
                        AND clock_timestamp() - %(on_disk_after)s
"""

# Of two who note the same at once, the second waits here for the first to commit, and
# then reads the clock: it finds nothing to do. In the order of the key, so that two who
# note the same things can't deadlock.
NOTE: LiteralString = """
    INSERT INTO evidence_views (viewer_id, subject_type, subject_id, what)
    SELECT %(viewer_id)s, subject.type, subject.id, %(what)s
      FROM unnest(%(types)s::text[], %(ids)s::uuid[]) AS subject(type, id)
     ORDER BY subject.type, subject.id
        ON CONFLICT ON CONSTRAINT evidence_views_pkey DO UPDATE
       SET noted_at = clock_timestamp()
     WHERE NOT evidence_views.noted_at BETWEEN clock_timestamp() - %(noted_for)s
                                           AND clock_timestamp()
 RETURNING subject_type AS type, subject_id AS id
"""

# Each branch ends by its own index; the actor of an entry is a text.
LIST_OF_ATTEMPT: LiteralString = """
    WITH one AS (
        SELECT exam_id::text, student_id::text, started_at
          FROM attempts WHERE id = %(attempt_id)s),
    looks AS (
        (SELECT seq, recorded_at, event_type, entity_type, actor_id, payload
           FROM audit_log
          WHERE attempt_id = %(attempt_id)s AND seq < %(before)s
            AND event_type IN ('evidence.viewed', 'evidence.exported')
          ORDER BY seq DESC LIMIT %(limit)s)
        UNION ALL
        (SELECT seq, recorded_at, event_type, entity_type, actor_id, payload
           FROM audit_log
          WHERE entity_type = 'exam' AND entity_id = (SELECT exam_id FROM one)
            AND seq < %(before)s AND event_type = 'evidence.viewed'
            AND recorded_at >= (SELECT started_at FROM one)
          ORDER BY seq DESC LIMIT %(limit)s)
        UNION ALL
        (SELECT seq, recorded_at, event_type, entity_type, actor_id, payload
           FROM audit_log
          WHERE entity_type = 'user' AND entity_id = (SELECT student_id FROM one)
            AND seq < %(before)s
            AND event_type IN ('evidence.viewed', 'data.exported')
            AND recorded_at >= (SELECT started_at FROM one)
            AND actor_id <> entity_id
          ORDER BY seq DESC LIMIT %(limit)s))
    SELECT seq, recorded_at, entity_type AS subject_type,
           CASE event_type WHEN 'evidence.exported' THEN 'bundle'
                           WHEN 'data.exported' THEN 'data_export'
                           ELSE coalesce(payload::json ->> 'what', 'unknown')
           END AS what,
           users.id AS viewer_id, users.full_name AS viewer_name,
           coalesce(payload::json ->> 'role', users.role) AS role
      FROM looks
      LEFT JOIN users
        ON users.id = CASE WHEN actor_id ~ '^[0-9a-f-]{36}$' THEN actor_id::uuid END
     ORDER BY seq DESC
     LIMIT %(limit)s
"""

# statement_timestamp() can be looked up in the index, which clock_timestamp() can't.
PRUNE: LiteralString = """
    DELETE FROM evidence_views
     WHERE noted_at < statement_timestamp() - %(noted_for)s
        OR noted_at > statement_timestamp()
"""


def are_noted(
    tx: Transaction, viewer_id: UUID, what: str, subjects: Collection[Subject]
) -> bool:
    """Say whether all these looks are in the log already, and on disk."""
    names = _names(viewer_id, what, subjects)
    found = tx.scalar(ARE_NOTED, names | {"on_disk_after": ON_DISK_AFTER})
    return bool(found == len(subjects))


def note(
    tx: Transaction, viewer_id: UUID, what: str, subjects: Collection[Subject]
) -> Sequence[Subject]:
    """Note looks, and return those that were not noted within NOTED_FOR."""
    return tx.all(Subject, NOTE, _names(viewer_id, what, subjects))


def list_of_attempt(
    tx: Transaction, attempt_id: UUID, *, before: int, limit: int
) -> Sequence[View]:
    """Read the looks at an attempt, the newest first.

    Also those at all attempts of its exam and at all that is held on its student since
    it began: what was looked at earlier did not have it.
    """
    names = {"attempt_id": attempt_id, "before": before, "limit": limit}
    return tx.all(View, LIST_OF_ATTEMPT, names)


def prune(tx: Transaction) -> int:
    return tx.execute(PRUNE, {"noted_for": NOTED_FOR})


def _names(
    viewer_id: UUID, what: str, subjects: Collection[Subject]
) -> dict[str, object]:
    return {
        "viewer_id": viewer_id,
        "what": what,
        "types": [each.type.value for each in subjects],
        "ids": [each.id for each in subjects],
        "noted_for": NOTED_FOR,
    }
