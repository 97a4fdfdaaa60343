"""The attempt_activity table: when a student was last heard of.

Apart from the attempt itself, so that reporting never waits for the row that decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from models.attempt import NETWORK_LEEWAY
from models.transaction import Transaction, columns_of

# How long a program may take, once its network is back, to send what it has kept.
QUEUED_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The login that holds an attempt, and for how long nothing came from it."""

    session_id: UUID
    # It has neither been ended nor expired.
    is_alive: bool
    silence: timedelta
    ip_address: str | None
    # The login that held it before, if it was taken over and not heard of since.
    displaced_session: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How many of a client's numbers up to the highest are not stored."""

    attempt_id: UUID
    missing_events: int
    highest_sequence: int


GET_HOLDER = """
    SELECT sessions.id AS session_id,
           sessions.ended_at IS NULL
               AND sessions.expires_at > clock_timestamp() AS is_alive,
           clock_timestamp() - attempt_activity.last_seen_at AS silence,
           host(sessions.ip_address) AS ip_address,
           attempt_activity.displaced_session
      FROM attempts
      JOIN sessions ON sessions.id = attempts.held_by_session
      JOIN attempt_activity ON attempt_activity.attempt_id = attempts.id
     WHERE attempts.id = %(attempt_id)s
"""

INSERT = """
    INSERT INTO attempt_activity (attempt_id, analysis_due_since)
    VALUES (%(attempt_id)s, clock_timestamp())
"""

TOUCH = """
    UPDATE attempt_activity SET last_seen_at = clock_timestamp()
     WHERE attempt_id = %(attempt_id)s
"""

NOTE_HAND_OVER = """
    UPDATE attempt_activity
       SET last_seen_at = moment, displaced_session = %(displaced)s,
           refused_digest = NULL,
           displaced_at = CASE WHEN %(displaced)s::uuid IS NOT NULL THEN moment END
      FROM clock_timestamp() AS moment
     WHERE attempt_id = %(attempt_id)s
"""

# From now on it knows. What it tries first is what it was kept from sending.
TELL_DISPLACED = """
    UPDATE attempt_activity
       SET refused_digest = %(digest)s, displaced_at = clock_timestamp()
     WHERE attempt_id = %(attempt_id)s AND displaced_session = %(session_id)s
       AND refused_digest IS NULL
       AND displaced_at < clock_timestamp() - %(leeway)s::interval
"""

FORGET_DISPLACED = """
    UPDATE attempt_activity
       SET displaced_session = NULL, displaced_at = NULL, refused_digest = NULL
     WHERE attempt_id = %(attempt_id)s AND displaced_session = %(session_id)s
       AND refused_digest <> %(digest)s
       AND displaced_at < clock_timestamp() - %(queued_for)s::interval
"""

NEXT_SEQUENCE = """
    SELECT highest_sequence + 1 FROM attempt_activity
     WHERE attempt_id = %(attempt_id)s
"""

# The number up to which nothing is missing may lag behind a hole that was filled.
LIST_GAPS = """
    SELECT attempt_id, highest_sequence, highest_sequence - arrived.count
               AS missing_events
      FROM attempt_activity
     CROSS JOIN LATERAL (
           SELECT count(DISTINCT sequence) AS count FROM proctoring_events AS event
            WHERE event.attempt_id = attempt_activity.attempt_id
              AND sequence IS NOT NULL) AS arrived
     WHERE attempt_id = ANY(%(attempt_ids)s)
       AND contiguous_sequence < highest_sequence
       AND arrived.count < highest_sequence
"""

IS_EVIDENCE_ERASED = """
    SELECT is_evidence_erased FROM attempt_activity WHERE attempt_id = %(attempt_id)s
"""

# NULL is no least; a time in the future belongs to an analysis that has not seen what
# asks for this one.
# In one order, so that two who end or void attempts of an exam can't deadlock.
REQUEST_ANALYSIS = """
    WITH wanted AS MATERIALIZED (
        SELECT attempt_id FROM attempt_activity
         WHERE attempt_id = ANY(%(attempt_ids)s)
         ORDER BY attempt_id FOR UPDATE)
    UPDATE attempt_activity
       SET analysis_due_since = least(analysis_due_since, clock_timestamp())
     WHERE attempt_id IN (SELECT attempt_id FROM wanted)
"""

# For one whose evidence was erased nothing comes of it. Who is analysed just now is so
# once more: a claim is its very time (analysis_queue), and is over in a minute.
REQUEST_ANALYSIS_OF_EXAM = """
    WITH others AS MATERIALIZED (
        SELECT attempt_id FROM attempt_activity
          JOIN attempts ON attempts.id = attempt_id
         WHERE exam_id = %(exam_id)s AND status <> 'voided'
           AND (%(is_at_once)s OR ended_at IS NOT NULL
                AND (analysis_due_since IS NULL
                     OR analysis_due_since < clock_timestamp() + interval '1 min'))
         ORDER BY attempt_id FOR UPDATE OF attempt_activity)
    UPDATE attempt_activity
       SET analysis_due_since = CASE
           WHEN analysis_due_since <= clock_timestamp() THEN analysis_due_since
           ELSE least(analysis_due_since + interval '1 microsecond',
                      clock_timestamp() + %(within)s) END
     WHERE attempt_id IN (SELECT attempt_id FROM others)
"""


def get_holder(tx: Transaction, attempt_id: UUID) -> Holder | None:
    return tx.one_or_none(Holder, GET_HOLDER, {"attempt_id": attempt_id})


def list_gaps(tx: Transaction, attempt_ids: Sequence[UUID]) -> list[Gap]:
    """List those of the attempts of which not all that was reported has arrived."""
    return tx.all(Gap, LIST_GAPS, {"attempt_ids": list(attempt_ids)})


def next_sequence(tx: Transaction, attempt_id: UUID) -> int:
    """Return the number that the client gives its next event."""
    found: int = tx.scalar(NEXT_SEQUENCE, {"attempt_id": attempt_id})
    return found


def is_evidence_erased(tx: Transaction, attempt_id: UUID) -> bool:
    """Tell whether its answers, or what its events say, were erased."""
    return bool(tx.scalar(IS_EVIDENCE_ERASED, {"attempt_id": attempt_id}))


def insert(tx: Transaction, attempt_id: UUID) -> None:
    """Begin to watch an attempt. Its first analysis is due at once."""
    tx.execute(INSERT, {"attempt_id": attempt_id})


def touch(tx: Transaction, attempt_id: UUID) -> None:
    """Note that the student was heard of just now."""
    tx.execute(TOUCH, {"attempt_id": attempt_id})


def note_hand_over(tx: Transaction, attempt_id: UUID, displaced: UUID | None) -> None:
    """Note that another login holds the attempt, and which one may not know of it."""
    names = {"attempt_id": attempt_id, "displaced": displaced}
    tx.execute(NOTE_HAND_OVER, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What a login that does not hold the attempt tried to save: a digest of it."""

    attempt_id: UUID
    session_id: UUID
    digest: bytes


def forget_displaced(tx: Transaction, refused: Refused) -> bool:
    """Forget a displaced login that was told so, and tries to save something else.

    Returns whether it was one until now.
    """
    names = columns_of(refused) | {"queued_for": QUEUED_FOR}
    return tx.execute(FORGET_DISPLACED, names) == 1


def tell_displaced(tx: Transaction, refused: Refused) -> None:
    """Note that a displaced login was told so, if it is one.

    What it sent before it was displaced may still have been under way.
    """
    tx.execute(TELL_DISPLACED, columns_of(refused) | {"leeway": NETWORK_LEEWAY})


def request_analysis(tx: Transaction, attempt_ids: Sequence[UUID]) -> None:
    """Have the attempts analysed soon, by whichever process comes to it first."""
    tx.execute(REQUEST_ANALYSIS, {"attempt_ids": list(attempt_ids)})


def request_analysis_of_exam(
    tx: Transaction, exam_id: UUID, *, within: timedelta = timedelta(0)
) -> None:
    """Have all attempts of an exam analysed anew, at once or `within` some time.

    One of those compared is not what it was: it is void, or a person has graded it.
    Unless it is at once, who still sits the exam is analysed when he ends, and does not
    wait for `tx`.
    """
    names = {"exam_id": exam_id, "within": within, "is_at_once": not within}
    tx.execute(REQUEST_ANALYSIS_OF_EXAM, names)
