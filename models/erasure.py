"""What the database holds of a person, and the function that erases it.

`data_erase` in database/migrations/0012_erasure.sql has the rules; here is what it is
asked to do, and what there is to be counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, LiteralString
from uuid import UUID

from models.principal import Role
from models.transaction import Transaction


class DataClass(StrEnum):
    """What can be erased apart from the rest."""

    ACCOUNT = "account"
    NETWORK_ADDRESSES = "network_addresses"
    ANSWERS = "answers"
    EVENT_PAYLOADS = "event_payloads"
    ANALYSES = "analyses"
    # What people have written: reasons, reviews, comments, appeals.
    NOTES = "notes"


class Obstacle(StrEnum):
    HOLD = "hold"
    REVIEW = "review"
    APPEAL = "appeal"
    RUNNING = "running"
    UNGRADED = "ungraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An account, with the attempts and logins that belong to it."""

    id: UUID
    email: str
    email_canonical: str
    full_name: str
    role: Role
    is_active: bool
    attempt_ids: list[UUID]
    session_ids: list[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcernedEntry:
    """An entry that says something of a person.

    `is_own`: it is about him. Otherwise it is about somebody or something else, and
    has his name or address in it; `is_written`, in what a person wrote.
    """

    seq: int
    attempt_id: UUID | None
    is_own: bool
    is_written: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstruction:
    """Why something can not be erased. `id` is of the hold or of the attempt."""

    kind: Obstacle
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows of each class have something to erase."""

    network_addresses: int
    answers: int
    event_payloads: int
    analyses: int
    notes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be erased. `pattern` finds in text who is mentioned.

    `with_mentions`: also what was written of him elsewhere.
    """

    user_id: UUID | None = None
    session_ids: Sequence[UUID] = ()
    attempt_ids: Sequence[UUID] = ()
    classes: Sequence[DataClass] = ()
    pattern: str | None = None
    mentioned_in: Sequence[UUID] = ()
    with_mentions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedErasure:
    """An entry of the log that says what was erased. `payload` is its JSON text."""

    seq: int
    recorded_at: datetime
    entity_type: str
    entity_id: str
    actor_id: str | None
    payload: str


# Reading all of the log takes seconds when it has millions of entries.
TAKE_TIME_SECONDS: Final = 120

# Of two admins who erase each other, the second then finds himself the last.
LOCK_USER: LiteralString = """
    SELECT 1 FROM users
     WHERE id = %(id)s
        OR role = 'admin' AND is_active
           AND EXISTS (SELECT FROM users AS erased
                        WHERE erased.id = %(id)s AND erased.role = 'admin')
     ORDER BY id FOR UPDATE
"""

GET_PERSON: LiteralString = """
    SELECT id, email, email_canonical, full_name, role, is_active,
           ARRAY(SELECT attempts.id FROM attempts
                  WHERE student_id = users.id ORDER BY attempts.id) AS attempt_ids,
           ARRAY(SELECT sessions.id FROM sessions
                  WHERE user_id = users.id ORDER BY sessions.id) AS session_ids
      FROM users
     WHERE id = %(id)s
"""

# What he did as staff is about exams and other people, and stays.
LIST_ENTRIES: LiteralString = """
    SELECT seq, attempt_id, is_own,
           NOT is_own AND erasure_written(payload::json) ~* %(pattern)s AS is_written
      FROM (SELECT seq, attempt_id, payload,
                   coalesce(attempt_id = ANY (%(attempt_ids)s::uuid[]), false)
                   OR entity_type = 'user' AND entity_id = %(id)s::text
                   OR entity_type = 'session' AND entity_id = ANY (%(session_ids)s)
                   OR entity_type IN ('access', 'session')
                      AND coalesce(actor_id = %(id)s::text, false) AS is_own
              FROM audit_log
             WHERE payload IS NOT NULL AND event_type NOT LIKE 'log.%%'
               AND event_type <> 'data.erased') AS entries
     WHERE is_own OR payload ~* %(pattern)s
     ORDER BY seq
"""

LIST_OBSTRUCTIONS: LiteralString = """
    SELECT kind, id FROM erasure_obstacles(
        %(user_ids)s::uuid[], %(attempt_ids)s::uuid[] || %(mentioned_in)s::uuid[])
    UNION ALL
    SELECT 'ungraded', attempt_id
      FROM erasure_ungraded(%(attempt_ids)s::uuid[])
"""

COUNT: LiteralString = """
    SELECT (SELECT count(*) FROM sessions
             WHERE id = ANY (%(session_ids)s::uuid[])
               AND (ip_address IS NOT NULL OR user_agent <> '')) AS network_addresses,
           (SELECT count(*) FROM answers
             WHERE attempt_id = ANY (%(attempt_ids)s::uuid[])
               AND (response <> 'null' OR grader_comment IS NOT NULL)) AS answers,
           (SELECT count(*) FROM proctoring_events
             WHERE attempt_id = ANY (%(attempt_ids)s::uuid[])
               AND payload <> '{}') AS event_payloads,
           (SELECT count(*) FROM ai_analyses
             WHERE attempt_id = ANY (%(attempt_ids)s::uuid[])
               -- Those that were emptied have zeros.
               AND inputs_hash <> decode(repeat('00', 32), 'hex')) AS analyses,
           (SELECT count(*) FROM attempts
             WHERE id = ANY (%(attempt_ids)s::uuid[])
               AND (end_reason IS NOT NULL OR review_note IS NOT NULL))
           + (SELECT count(*) FROM appeals
               WHERE attempt_id = ANY (%(attempt_ids)s::uuid[])
                 AND reason IS NOT NULL) AS notes
"""

ERASE: LiteralString = """
    SELECT data_erase(
        %(user_id)s::uuid, %(session_ids)s::uuid[], %(attempt_ids)s::uuid[],
        %(classes)s::text[], %(pattern)s, %(mentioned_in)s::uuid[], %(entity_type)s,
        %(entity_id)s, %(actor_id)s, %(payloads)s::text[])
"""

IS_OTHER_ADMIN: LiteralString = """
    SELECT EXISTS (SELECT FROM users
                    WHERE role = 'admin' AND is_active AND id <> %(id)s)
"""

# Several, if one entry could not list all that was emptied.
LIST_OF_USER: LiteralString = """
    SELECT seq, recorded_at, entity_type, entity_id, actor_id, payload
      FROM audit_log
     WHERE entity_type = 'user' AND entity_id = %(user_id)s::text
       AND event_type = 'data.erased'
     ORDER BY seq
"""

LIST_PAGE: LiteralString = """
    SELECT seq, recorded_at, entity_type, entity_id, actor_id, payload
      FROM audit_log
     WHERE event_type = 'data.erased'
       AND seq < %(before)s
     ORDER BY seq DESC LIMIT %(limit)s
"""


def take_time(tx: Transaction) -> None:
    """Let the statements of this transaction run for minutes."""
    tx.take_time(TAKE_TIME_SECONDS)


def lock_user(tx: Transaction, user_id: UUID) -> None:
    """Keep everybody from logging in as him, and another from erasing him too."""
    tx.execute(LOCK_USER, {"id": user_id})


def get_person(tx: Transaction, user_id: UUID) -> Person | None:
    return tx.one_or_none(Person, GET_PERSON, {"id": user_id})


def is_other_admin(tx: Transaction, user_id: UUID) -> bool:
    """Tell whether another admin can act."""
    return bool(tx.scalar(IS_OTHER_ADMIN, {"id": user_id}))


def list_entries(
    tx: Transaction, person: Person, pattern: str
) -> Sequence[ConcernedEntry]:
    """Search all of the log for what concerns a person, in order of seq."""
    names = {
        "id": person.id,
        "attempt_ids": person.attempt_ids,
        "session_ids": [str(each) for each in person.session_ids],
        "pattern": pattern,
    }
    return tx.all(ConcernedEntry, LIST_ENTRIES, names)


def list_obstructions(tx: Transaction, target: Target) -> Sequence[Obstruction]:
    """Return what needs the data of a person: holds come first, then open cases."""
    names = {
        "user_ids": [target.user_id],
        "attempt_ids": list(target.attempt_ids),
        "mentioned_in": list(target.mentioned_in),
    }
    return tx.all(Obstruction, LIST_OBSTRUCTIONS, names)


def count(tx: Transaction, target: Target) -> Counts:
    names = {
        "session_ids": list(target.session_ids),
        "attempt_ids": list(target.attempt_ids),
    }
    return tx.one(Counts, COUNT, names)


def erase(
    tx: Transaction,
    target: Target,
    *,
    entity_type: str,
    entity_id: str,
    actor_id: str,
    payloads: Sequence[str],
) -> int:
    """Erase the target and what the entries say that `payloads` name, and commit.

    Appends an entry for each payload, and returns the number of the last. Raises
    ConstraintError erasure_held, erasure_ungraded and erasure_rows_deviate.
    """
    names = {
        "user_id": target.user_id,
        "session_ids": list(target.session_ids),
        "attempt_ids": list(target.attempt_ids),
        "classes": [*target.classes, *(["mentions"] if target.with_mentions else [])],
        "pattern": target.pattern,
        "mentioned_in": list(target.mentioned_in),
        "entity_type": entity_type,
        "entity_id": entity_id,
        "actor_id": actor_id,
        "payloads": list(payloads),
    }
    seq = tx.finish_with(ERASE, names).first_seq
    if seq is None:
        raise LookupError("an erasure always appends an entry")
    return seq


def list_of_user(tx: Transaction, user_id: UUID) -> Sequence[RecordedErasure]:
    """Read the entries of a person's erasure, the first of them first."""
    return tx.all(RecordedErasure, LIST_OF_USER, {"user_id": user_id})


def list_page(tx: Transaction, *, before: int, limit: int) -> Sequence[RecordedErasure]:
    """Read what was erased, the newest first."""
    return tx.all(RecordedErasure, LIST_PAGE, {"before": before, "limit": limit})
