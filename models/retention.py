"""The retention_rules table, and what its rules find to be erased.

A rule is locked while its class is being looked through, so of several processes one
does it, once a day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import LiteralString
from uuid import UUID

from models.transaction import Transaction


class RetentionClass(StrEnum):
    EVENT_PAYLOADS = "event_payloads"
    ANSWERS = "answers"
    ANALYSES = "analyses"
    NETWORK_ADDRESSES = "network_addresses"
    ACCOUNTS = "accounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """`days` None: kept. `applied_on` is the day, UTC, for which all was done."""

    data_class: RetentionClass
    days: int | None
    updated_by: UUID | None
    updated_at: datetime
    applied_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often something was erased, and how many rows that were."""

    erasures: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OldEntry:
    """An entry of the log."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OldId:
    id: UUID


LIST: LiteralString = """
    SELECT data_class, days, updated_by, updated_at, applied_on
      FROM retention_rules
     ORDER BY array_position(ARRAY['event_payloads', 'answers', 'analyses',
                                   'network_addresses', 'accounts'], data_class)
"""

SET_DAYS: LiteralString = """
    UPDATE retention_rules
       SET days = %(days)s, updated_by = %(updated_by)s, updated_at = clock_timestamp(),
           applied_on = NULL
     WHERE data_class = %(data_class)s
"""

# Who is at it already need not be waited for.
TRY_LOCK_DUE: LiteralString = """
    SELECT data_class, days, updated_by, updated_at, applied_on
      FROM retention_rules
     WHERE days IS NOT NULL AND data_class = %(data_class)s
       AND (applied_on IS NULL
            OR applied_on < (clock_timestamp() AT TIME ZONE 'UTC')::date)
       FOR NO KEY UPDATE SKIP LOCKED
"""

IS_ANY_DUE: LiteralString = """
    SELECT EXISTS (
        SELECT FROM retention_rules
         WHERE days IS NOT NULL
           AND (applied_on IS NULL
                OR applied_on < (clock_timestamp() AT TIME ZONE 'UTC')::date))
"""

MARK_APPLIED: LiteralString = """
    UPDATE retention_rules
       SET applied_on = (clock_timestamp() AT TIME ZONE 'UTC')::date
     WHERE data_class = %(data_class)s
"""

# Attempts that ended long enough ago, that nothing needs, and of which the log still
# says something of the kind.
LIST_OLD_ATTEMPTS: LiteralString = """
    SELECT id FROM attempts
     WHERE ended_at < clock_timestamp() - make_interval(days => %(days)s)
       AND EXISTS (SELECT FROM audit_log
                    WHERE attempt_id = attempts.id AND payload IS NOT NULL
                      AND event_type = ANY (%(event_types)s::text[]))
       AND NOT EXISTS (
            SELECT FROM erasure_obstacles('{}'::uuid[], ARRAY[attempts.id]))
       AND NOT (%(is_for_grading)s AND EXISTS (
            SELECT FROM erasure_ungraded(ARRAY[attempts.id])))
     ORDER BY ended_at, id
     LIMIT %(limit)s
"""

LIST_ENTRIES_OF_ATTEMPTS: LiteralString = """
    SELECT seq FROM audit_log
     WHERE attempt_id = ANY (%(attempt_ids)s::uuid[]) AND payload IS NOT NULL
       AND event_type = ANY (%(event_types)s::text[])
     ORDER BY seq
"""

# Whose sessions ended long enough ago. Nobody's is looked at who is held, nor of whom
# an attempt is.
LIST_OLD_SESSIONS: LiteralString = """
    SELECT id FROM sessions
     WHERE least(expires_at, ended_at)
           < clock_timestamp() - make_interval(days => %(days)s)
       AND (ip_address IS NOT NULL OR user_agent <> '')
       AND NOT EXISTS (
            SELECT FROM erasure_obstacles(
                ARRAY[sessions.user_id],
                ARRAY(SELECT attempts.id FROM attempts
                       WHERE student_id = sessions.user_id)))
     ORDER BY id
     LIMIT %(limit)s
"""

# What was recorded of logins, those that failed too.
LIST_OLD_LOGINS: LiteralString = """
    SELECT seq FROM audit_log AS entry
     WHERE event_type = ANY (%(event_types)s::text[]) AND payload IS NOT NULL
       AND recorded_at < clock_timestamp() - make_interval(days => %(days)s)
       AND NOT EXISTS (
            SELECT FROM users,
                        erasure_obstacles(
                            ARRAY[users.id],
                            ARRAY(SELECT attempts.id FROM attempts
                                   WHERE student_id = users.id))
             -- For an address that nobody has, a pseudonym is in the place of an id.
             WHERE users.id = CASE
                 WHEN length(coalesce(entry.actor_id, entry.entity_id)) = 36
                     THEN coalesce(entry.actor_id, entry.entity_id)::uuid END)
     ORDER BY seq
     LIMIT %(limit)s
"""

# What was erased of a class since it was last looked through.
TALLY: LiteralString = """
    SELECT count(*) AS erasures,
           coalesce(sum((payload::json -> 'classes' ->> %(counted)s)::bigint),
                    0)::bigint AS rows
      FROM audit_log
     WHERE event_type = 'data.erased'
       AND payload::json ->> 'data_class' = %(data_class)s
       AND seq > coalesce((SELECT max(seq) FROM audit_log
                            WHERE event_type = 'retention.applied'
                              AND entity_id = %(data_class)s), -1)
"""

LIST_IDLE_ACCOUNTS: LiteralString = """
    SELECT id FROM users
     WHERE role = 'student'
       AND created_at < clock_timestamp() - make_interval(days => %(days)s)
       AND email <> 'erased-' || id || '@erased.invalid'
       AND NOT EXISTS (SELECT FROM attempts WHERE student_id = users.id)
       AND NOT EXISTS (
            SELECT FROM sessions
             WHERE user_id = users.id
               AND last_used_at
                   >= clock_timestamp() - make_interval(days => %(days)s))
       AND NOT EXISTS (
            SELECT FROM exam_assignments JOIN exams ON exams.id = exam_id
             WHERE student_id = users.id
               AND exams.status IN ('draft', 'scheduled', 'active'))
       AND NOT EXISTS (
            SELECT FROM erasure_obstacles(ARRAY[users.id], '{}'::uuid[]))
     ORDER BY id
     LIMIT %(limit)s
"""


def list_rules(tx: Transaction) -> Sequence[RetentionRule]:
    return tx.all(RetentionRule, LIST)


def set_days(
    tx: Transaction,
    data_class: RetentionClass,
    days: int | None,
    updated_by: UUID | None,
) -> None:
    """Change a rule, which then applies from today on."""
    names = {"data_class": data_class, "days": days, "updated_by": updated_by}
    tx.execute(SET_DAYS, names)


def is_any_due(tx: Transaction) -> bool:
    return bool(tx.scalar(IS_ANY_DUE))


def try_lock_due(tx: Transaction, data_class: RetentionClass) -> RetentionRule | None:
    """Lock the rule, or return None if it has been applied today, or is being."""
    return tx.one_or_none(RetentionRule, TRY_LOCK_DUE, {"data_class": data_class})


def mark_applied(tx: Transaction, data_class: RetentionClass) -> None:
    tx.execute(MARK_APPLIED, {"data_class": data_class})


def tally(tx: Transaction, data_class: RetentionClass, counted: str) -> Tally:
    """Count what was erased since the class was last looked through to its end."""
    return tx.one(Tally, TALLY, {"data_class": data_class, "counted": counted})


def list_old_attempts(
    tx: Transaction,
    *,
    days: int,
    event_types: Sequence[str],
    is_for_grading: bool,
    limit: int,
) -> list[UUID]:
    """Find attempts; `is_for_grading`: what is looked for is needed to grade one."""
    names = {
        "days": days,
        "event_types": list(event_types),
        "is_for_grading": is_for_grading,
        "limit": limit,
    }
    return [row.id for row in tx.all(OldId, LIST_OLD_ATTEMPTS, names)]


def list_entries_of_attempts(
    tx: Transaction, attempt_ids: Sequence[UUID], event_types: Sequence[str]
) -> list[int]:
    names = {"attempt_ids": list(attempt_ids), "event_types": list(event_types)}
    return [row.seq for row in tx.all(OldEntry, LIST_ENTRIES_OF_ATTEMPTS, names)]


def list_old_sessions(tx: Transaction, *, days: int, limit: int) -> list[UUID]:
    names = {"days": days, "limit": limit}
    return [row.id for row in tx.all(OldId, LIST_OLD_SESSIONS, names)]


def list_old_logins(
    tx: Transaction, *, days: int, event_types: Sequence[str], limit: int
) -> list[int]:
    names = {"days": days, "event_types": list(event_types), "limit": limit}
    return [row.seq for row in tx.all(OldEntry, LIST_OLD_LOGINS, names)]


def list_idle_accounts(tx: Transaction, *, days: int, limit: int) -> list[UUID]:
    """Find students who have no attempt and were not seen since."""
    names = {"days": days, "limit": limit}
    return [row.id for row in tx.all(OldId, LIST_IDLE_ACCOUNTS, names)]
