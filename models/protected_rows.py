"""Compares the rows of other tables with what the audit log says that they are.

The catalogue stands here a second time: who verifies does not ask the database which of
its columns matter. The first is `audit_catalogue` in
database/migrations/0029_appeals.sql; a test compares the two.
docs/decisions/0012-domain-rows.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg2 import sql

from models.audit_snapshot import Snapshot
from models.audit_surroundings import Tables


@dataclass(frozen=True, slots=True)
class ProtectedTable:
    """A table whose rows the log covers.

    `key` is what a line of the log names; rows of one key are hashed in the order of
    `order`. `columns` are the covered ones, in the order in which they are hashed.
    """

    name: str
    key: tuple[str, ...]
    columns: str
    order: str = ""


CATALOGUE: Final = (
    ProtectedTable(
        "users",
        ("id",),
        "id email email_canonical full_name role password_hash must_change_password"
        " is_active created_at updated_at",
    ),
    ProtectedTable(
        "exams",
        ("id",),
        "id title description instructions duration_minutes starts_at ends_at"
        " passing_score_percent shuffle_questions shuffle_options max_attempts status"
        " proctoring version frozen_at created_by created_at updated_at",
    ),
    ProtectedTable(
        "exam_proctors", ("exam_id", "proctor_id"), "exam_id proctor_id assigned_at"
    ),
    ProtectedTable(
        "questions", ("id",), "id exam_id position kind text points body answer_key"
    ),
    ProtectedTable(
        "exam_assignments",
        ("exam_id", "student_id"),
        "exam_id student_id extra_time_minutes time_multiplier assigned_at",
    ),
    ProtectedTable(
        "attempts",
        ("id",),
        "id exam_id student_id attempt_number status started_at deadline_at paused_at"
        " paused_seconds extended_seconds ended_at ended_by end_reason held_by_session"
        " layout score max_score is_passed review_status review_note reviewed_by"
        " reviewed_at notice_seconds",
    ),
    ProtectedTable(
        "answers",
        ("attempt_id", "question_id"),
        "attempt_id exam_id question_id response client_version first_saved_at saved_at"
        " points_awarded grader_comment graded_by",
    ),
    ProtectedTable(
        "proctoring_events",
        ("batch_id",),
        "id attempt_id batch_id client_event_id sequence event_type event_class"
        " severity occurred_at received_at payload",
        order="id",
    ),
    ProtectedTable(
        "ai_analyses",
        ("id",),
        "id attempt_id model_version is_official risk_score risk_level confidence"
        " result inputs_hash created_at",
    ),
    ProtectedTable(
        "appeals",
        ("id",),
        "id attempt_id status verdict_by verdict_at reason lodged_at reviewer_id"
        " ended_at decision_reason",
    ),
)

TABLES: Final[Tables] = {
    each.name: dict.fromkeys(each.columns.split()) for each in CATALOGUE
}

LINES: LiteralString = """
    SELECT {name} AS row_table, concat_ws('/', {key}) AS row_key, count(*) AS row_count,
           encode(sha256(string_agg(record_send(ROW({columns})), ''::bytea
                                    ORDER BY {order})), 'hex') AS row_digest
      FROM public.{table} GROUP BY {key}
"""
# A line that is none was not written by the triggers: what it is about is unlogged.
COMPARE: LiteralString = """
    WITH said AS (
        SELECT DISTINCT ON (row_table, row_key)
               row_table, row_key, row_count, row_digest, seq
          FROM (SELECT seq, place, split_part(line, ' ', 1) AS row_table,
                       split_part(line, ' ', 2) AS row_key,
                       split_part(line, ' ', 3)::bigint AS row_count,
                       split_part(line, ' ', 4) AS row_digest
                  FROM public.audit_log,
                       unnest(string_to_array(state::text, chr(10)))
                           WITH ORDINALITY AS lines(line, place)
                 WHERE seq >= 0
                   AND line ~ '^[a-z_]+ [0-9a-f/-]+ [0-9]{{1,9}} ([0-9a-f]{{64}}|-)$'
               ) AS lines
         ORDER BY row_table, row_key, seq DESC, place DESC),
    there AS ({there}),
    compared AS MATERIALIZED (
        SELECT row_table, row_key, seq, said.row_count AS said_count,
               said.row_digest AS said_digest,
               coalesce(there.row_count, 0) AS row_count, there.row_digest,
               CASE WHEN coalesce(said.row_count, 0) > coalesce(there.row_count, 0)
                        THEN 'missing'
                    WHEN coalesce(said.row_count, 0) < there.row_count THEN 'unlogged'
                    WHEN said.row_digest <> there.row_digest THEN 'differs'
               END AS deviation
          FROM said FULL JOIN there USING (row_table, row_key))
    SELECT totals.counts, deviating.*
      FROM (SELECT ARRAY[coalesce(sum(row_count), 0)::bigint,
                         count(*) FILTER (WHERE deviation = 'missing'),
                         count(*) FILTER (WHERE deviation = 'differs'),
                         count(*) FILTER (WHERE deviation = 'unlogged')] AS counts
              FROM compared) AS totals
      LEFT JOIN (SELECT deviation, row_table, row_key, seq, said_count, said_digest,
                        row_count, row_digest
                   FROM compared WHERE deviation IS NOT NULL
                  ORDER BY seq, row_table, row_key LIMIT %(limit)s) AS deviating ON true
"""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Rows of one key that are not what the log says.

    `kind` is missing, differs or unlogged; `seq` is the last entry that speaks of them,
    None if there is none. Digests are hex.
    """

    kind: str
    table: str
    key: str
    seq: int | None
    said_count: int | None
    said_digest: str | None
    count: int
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    rows: int
    # How many keys deviate, by kind.
    counts: Mapping[str, int]
    deviations: Sequence[Deviation]


def compare(log: Snapshot, *, limit: int) -> Comparison:
    """Compare all protected rows with the newest lines about them, in one snapshot.

    PostgreSQL sorts and joins them, on disk if it must. At most `limit` deviations are
    returned, those that the log last spoke of first. Raises ReadInterruptedError.
    """
    there = sql.SQL(" UNION ALL ").join(map(_lines, CATALOGUE))
    found = log.all(sql.SQL(COMPARE).format(there=there), {"limit": limit})
    ((rows, missing, differing, unlogged), *_), *_ = found
    return Comparison(
        rows=rows,
        counts={"missing": missing, "differs": differing, "unlogged": unlogged},
        deviations=[Deviation(*deviating) for _, *deviating in found if deviating[0]],
    )


def _lines(table: ProtectedTable) -> sql.Composed:
    return sql.SQL(LINES).format(
        name=sql.Literal(table.name),
        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
        columns=sql.SQL(", ").join(map(sql.Identifier, table.columns.split())),
        order=sql.Identifier(table.order or table.key[0]),
        table=sql.Identifier(table.name),
    )
