"""A school's years around the scene: as many attempts as are asked for, made by SQL.

Every row looks like one of the scene's, so that whatever reads it finds its way; the
log's entries are appended as always, and state the rows at the end as a migration does,
so that all of it verifies.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import psycopg2
from psycopg2.extensions import connection

ATTEMPTS_OF_AN_EXAM = 50
ATTEMPTS_OF_A_STUDENT = 2
REPORTS_OF_AN_ATTEMPT = 5
# As many questions as every exam has of which the rows are like.
ANSWERS_OF_AN_ATTEMPT = 4
ENTRIES_OF_AN_ATTEMPT = 10
ATTEMPTS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Everything else follows from the attempts: an exam has 50, a student sits two."""

    attempts: int
    # A multiple of REPORTS_OF_AN_ATTEMPT.
    events_of_an_attempt: int

    @property
    def events(self) -> int:
        return self.attempts * self.events_of_an_attempt

    @property
    def entries(self) -> int:
        return self.attempts * ENTRIES_OF_AN_ATTEMPT

    @property
    def names(self) -> Mapping[str, int]:
        """The numbers that the statements ask for."""
        return {
            "exams": max(1, self.attempts // ATTEMPTS_OF_AN_EXAM),
            "students": max(
                ATTEMPTS_OF_AN_EXAM, self.attempts // ATTEMPTS_OF_A_STUDENT
            ),
            "proctors": 50,
            "of_an_exam": ATTEMPTS_OF_AN_EXAM,
            "reports": REPORTS_OF_AN_ATTEMPT,
            "of_a_report": self.events_of_an_attempt // REPORTS_OF_AN_ATTEMPT,
            "answers": ANSWERS_OF_AN_ATTEMPT,
        }


# Ids in the order of time, as those of UUID version 7 are, and before all new ones.
# When an attempt was: the last one ended two days ago, and all within three years.
ARRANGE = """
    CREATE FUNCTION pg_temp.id_of(kind text, number bigint) RETURNS uuid
    LANGUAGE sql IMMUTABLE AS $$
        SELECT ('018f' || lpad(to_hex(number / 65536), 4, '0') || '-'
                || lpad(to_hex(number %% 65536), 4, '0') || '-7000-8000-'
                || lpad(left(md5(kind), 8), 12, '0'))::uuid
    $$;
    CREATE FUNCTION pg_temp.began(number bigint, attempts bigint) RETURNS timestamptz
    LANGUAGE sql STABLE AS $$
        SELECT now() - interval '2 days'
               - (attempts - number) * (interval '1000 days' / attempts)
    $$;
    CREATE FUNCTION pg_temp.student(number bigint) RETURNS uuid
    LANGUAGE sql STABLE AS $$
        SELECT pg_temp.id_of('student', number %% %(students)s)
    $$;
    CREATE FUNCTION pg_temp.exam(number bigint) RETURNS uuid
    LANGUAGE sql STABLE AS $$
        SELECT pg_temp.id_of('exam', number / %(of_an_exam)s)
    $$
"""

PEOPLE = """
    INSERT INTO users (id, email, email_canonical, full_name, role, password_hash,
                       created_at)
    SELECT pg_temp.id_of(role, number), address, address, 'No ' || number, role,
           (SELECT password_hash FROM users LIMIT 1), now() - interval '1100 days'
      FROM (VALUES ('admin', 1), ('proctor', %(proctors)s), ('student', %(students)s))
               AS people(role, how_many),
           generate_series(0, how_many - 1) AS number,
           LATERAL (SELECT role || number || '@many.example.edu' AS address) AS named
"""
EXAMS = """
    INSERT INTO exams (id, title, duration_minutes, starts_at, ends_at, status,
                       created_by, frozen_at, created_at, updated_at)
    SELECT pg_temp.id_of('exam', number), 'Exam ' || number, 60, began,
           began + interval '1 day', 'completed', pg_temp.id_of('admin', 0), began,
           began, began + interval '1 day'
      FROM generate_series(0, %(exams)s - 1) AS number,
           LATERAL (SELECT pg_temp.began(number, %(exams)s) AS began) AS time
"""
QUESTIONS = """
    INSERT INTO questions
    SELECT pg_temp.id_of('question' || position, number),
           pg_temp.id_of('exam', number), position, kind, text, points, body,
           answer_key
      FROM (SELECT * FROM questions
             WHERE exam_id = (SELECT exam_id FROM questions
                               GROUP BY exam_id ORDER BY count(*) DESC LIMIT 1)
               AND position <= %(answers)s) AS like_these,
           generate_series(0, %(exams)s - 1) AS number
"""
PROCTORS = """
    INSERT INTO exam_proctors (exam_id, proctor_id)
    SELECT pg_temp.id_of('exam', number),
           pg_temp.id_of('proctor', (number + 7 * which) %% %(proctors)s)
      FROM generate_series(0, %(exams)s - 1) AS number, generate_series(0, 1) AS which
"""

# Of the attempts from `first` to `last`.
ASSIGNMENTS = """
    INSERT INTO exam_assignments (exam_id, student_id)
    SELECT pg_temp.exam(number), pg_temp.student(number)
      FROM generate_series(%(first)s, %(last)s) AS number
"""
SESSIONS = """
    INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at,
                          ip_address, user_agent)
    SELECT pg_temp.id_of('session', number), pg_temp.student(number), began,
           began + interval '1 hour', began + interval '7 days',
           '10.0.0.0'::inet + number, 'Mozilla/5.0'
      FROM generate_series(%(first)s::bigint, %(last)s) AS number,
           LATERAL (SELECT pg_temp.began(number, %(attempts)s) AS began) AS time
"""
REFRESH_TOKENS = """
    INSERT INTO refresh_tokens (token_hash, session_id, issued_at, used_at)
    SELECT sha256(int8send(2 * number + which)), pg_temp.id_of('session', number),
           pg_temp.began(number, %(attempts)s),
           CASE which WHEN 0 THEN pg_temp.began(number, %(attempts)s) END
      FROM generate_series(%(first)s::bigint, %(last)s) AS number,
           generate_series(0, 1) AS which
"""
ATTEMPTS = """
    INSERT INTO attempts (id, exam_id, student_id, attempt_number, status, started_at,
                          deadline_at, ended_at, ended_by, held_by_session, layout,
                          score, max_score, is_passed)
    SELECT pg_temp.id_of('attempt', number), pg_temp.exam(number),
           pg_temp.student(number), 1, 'submitted', began, began + interval '1 hour',
           began + interval '50 minutes', 'student', pg_temp.id_of('session', number),
           (SELECT layout FROM attempts LIMIT 1), number %% 11, 10, number %% 11 > 5
      FROM generate_series(%(first)s, %(last)s) AS number,
           LATERAL (SELECT pg_temp.began(number, %(attempts)s) AS began) AS time
"""
ACTIVITY = """
    INSERT INTO attempt_activity (attempt_id, last_seen_at, contiguous_sequence,
                                  highest_sequence, reported_events)
    SELECT pg_temp.id_of('attempt', number),
           pg_temp.began(number, %(attempts)s) + interval '50 minutes',
           %(of_a_report)s * %(reports)s, %(of_a_report)s * %(reports)s,
           %(of_a_report)s * %(reports)s
      FROM generate_series(%(first)s, %(last)s) AS number
"""
ANSWERS = """
    INSERT INTO answers (attempt_id, exam_id, question_id, response, client_version,
                         first_saved_at, saved_at, points_awarded)
    SELECT pg_temp.id_of('attempt', number), pg_temp.exam(number),
           pg_temp.id_of('question' || position, number / %(of_an_exam)s), 'null', 1,
           began, began, 1
      FROM generate_series(%(first)s, %(last)s) AS number,
           generate_series(1, %(answers)s) AS position,
           LATERAL (SELECT pg_temp.began(number, %(attempts)s) AS began) AS time
"""
EVENTS = """
    INSERT INTO proctoring_events (
        id, attempt_id, batch_id, client_event_id, sequence, event_type, event_class,
        severity, occurred_at, received_at, payload)
    SELECT gen_random_uuid(), pg_temp.id_of('attempt', number),
           pg_temp.id_of('report', number * %(reports)s + report), gen_random_uuid(),
           sequence, kind.event_type, kind.event_class, kind.severity,
           at, at + interval '1 second', kind.payload
      FROM (SELECT event_type, event_class, severity, payload FROM proctoring_events
             WHERE event_class = 'integrity' LIMIT 1) AS kind,
           generate_series(%(first)s, %(last)s) AS number,
           LATERAL (SELECT pg_temp.began(number, %(attempts)s) AS began
                    OFFSET 0) AS time,
           generate_series(0, %(reports)s - 1) AS report,
           generate_series(report * %(of_a_report)s + 1,
                           (report + 1) * %(of_a_report)s) AS sequence,
           LATERAL (SELECT began + sequence * interval '10 seconds' AS at) AS moment
"""
ANALYSES = """
    INSERT INTO ai_analyses
    SELECT pg_temp.id_of('analysis', number), pg_temp.id_of('attempt', number),
           model_version, true, number %% 100, risk_level, confidence, result,
           inputs_hash, pg_temp.began(number, %(attempts)s) + interval '1 day'
      FROM (SELECT * FROM ai_analyses LIMIT 1) AS like_this,
           generate_series(%(first)s, %(last)s) AS number
"""
RISKS = """
    INSERT INTO attempt_risk (attempt_id, exam_id, analysis_id, risk_score, checked_at)
    SELECT pg_temp.id_of('attempt', number), pg_temp.exam(number),
           pg_temp.id_of('analysis', number), number %% 100,
           pg_temp.began(number, %(attempts)s) + interval '1 day'
      FROM generate_series(%(first)s, %(last)s) AS number
"""
# What is forgotten after a day, and after minutes: of this morning.
KEYS = """
    INSERT INTO idempotency_keys (scope, route, key, body_hash, status, body,
                                  created_at)
    SELECT pg_temp.student(number) || ':' || pg_temp.id_of('session', number),
           'attempts.submit_attempt', number, sha256(int8send(number)), 200, '{}',
           now() - random() * interval '20 hours'
      FROM generate_series(%(first)s::bigint, %(last)s) AS number
"""
LIMITS = """
    INSERT INTO rate_limits (key, hits, expires_at)
    SELECT 'LIMITER/10.0.0.' || number, 1, now() + random() * interval '1 hour'
      FROM generate_series(%(first)s, %(last)s) AS number
"""
VIEWS = """
    INSERT INTO evidence_views (viewer_id, subject_type, subject_id, what, noted_at)
    SELECT pg_temp.id_of('proctor', number %% %(proctors)s), 'attempt',
           pg_temp.id_of('attempt', number), 'events', now()
      FROM generate_series(%(first)s, %(last)s) AS number
"""
# Five reports, and what else is recorded of somebody who sits an exam.
ENTRIES = """
    SELECT audit_append(
               array_agg(kind), array_agg(entity_type), array_agg(entity_id),
               array_agg(pg_temp.student(number)::text),
               array_agg(CASE WHEN entity_type <> 'user'
                              THEN pg_temp.id_of('attempt', number) END),
               array_agg(json_build_object(
                   'number', number, 'seen', entity_id,
                   'said', repeat('what a client reported, as it was; ', 8))::text))
      FROM generate_series(%(first)s, %(last)s) AS number,
           LATERAL (
               SELECT 'proctoring.events_recorded', 'event_batch',
                      pg_temp.id_of('report', number * %(reports)s + report)::text
                 FROM generate_series(0, %(reports)s - 1) AS report
               UNION ALL
               SELECT step, 'attempt', pg_temp.id_of('attempt', number)::text
                 FROM unnest(ARRAY['attempt.started', 'attempt.answers_saved',
                                   'attempt.answers_saved', 'attempt.submitted'])
                      AS step
               UNION ALL
               SELECT 'auth.login_succeeded', 'user', pg_temp.student(number)::text
           ) AS entry(kind, entity_type, entity_id)
"""

ONCE = (PEOPLE, EXAMS, QUESTIONS, PROCTORS)
OF_ATTEMPTS = (
    ASSIGNMENTS,
    SESSIONS,
    REFRESH_TOKENS,
    ATTEMPTS,
    ACTIVITY,
    ANSWERS,
    EVENTS,
    ANALYSES,
    RISKS,
    KEYS,
    LIMITS,
    VIEWS,
    ENTRIES,
)


# What the database covers, which may be that of an older release.
STATE_ALL: Final = """
    DO $$
    DECLARE
        covered record;
    BEGIN
        FOR covered IN SELECT row_table FROM audit_catalogue() LOOP
            CALL audit_state_table(covered.row_table);
        END LOOP;
    END $$
"""


def fill(dsn: str, size: Size, advance: Callable[[int], None] | None = None) -> None:
    """Add so many rows to a database in which the scene was played.

    `dsn` is a superuser's. `advance` is told how many attempts more there are.
    """
    with closing(psycopg2.connect(dsn)) as session:
        # Rules and foreign keys hold by construction, and are not asked for each row.
        _run(session, "SET session_replication_role = replica; SET timezone = 'UTC'")
        _run(session, ARRANGE, size.names)
        for statement in ONCE:
            _run(session, statement, size.names)
        session.commit()
        for first in range(0, size.attempts, ATTEMPTS_AT_ONCE):
            last = min(first + ATTEMPTS_AT_ONCE, size.attempts) - 1
            chunk = {"first": first, "last": last, "attempts": size.attempts}
            for statement in OF_ATTEMPTS:
                _run(session, statement, {**size.names, **chunk})
            session.commit()
            if advance is not None:
                advance(last + 1 - first)
        _run(session, STATE_ALL)
        session.commit()
        session.autocommit = True
        _run(session, "VACUUM ANALYZE")


def _run(
    session: connection, statement: str, names: Mapping[str, object] | None = None
) -> None:
    with session.cursor() as cursor:
        cursor.execute(statement, names)
