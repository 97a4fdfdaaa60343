"""Each CHECK of the schema, of tables and of domains, is met by what it must refuse."""

from contextlib import closing
from typing import Final

import psycopg2
from psycopg2.extensions import connection

from tests.audit_trail import run

# Rows for the tables that the scene leaves empty.
ROWS: Final = """
    INSERT INTO audit_suspensions (id, seen_by, note, size, root, log_size)
    VALUES (1, 'x', 'x', 2, sha256('1'), 1);
    INSERT INTO checkpoints (size, root, note, cosigned_note, cosigned_at)
    VALUES (1, sha256('1'), 'x', 'x', now());
    INSERT INTO checkpoint_timestamps
        (size, note, tsa_url, response, stamped_at, is_chain_verified)
    VALUES (1, 'x', 'x', 'x', now(), true);
    INSERT INTO merkle_tiles VALUES (0, 0, sha256('1'));
    INSERT INTO evidence_views
    VALUES (gen_random_uuid(), 'user', gen_random_uuid(), 'x');
    INSERT INTO idempotency_keys (scope, route, key, body_hash)
    VALUES ('x', 'x', 'x', sha256('1'))
"""
# Triggers and references would refuse much of it too, and hide what a CHECK does.
WITHOUT_OTHER_RULES: Final = """
    SET session_replication_role = replica;
    ALTER TABLE audit_log DISABLE TRIGGER ALL;
    ALTER TABLE checkpoint_timestamps DISABLE TRIGGER ALL
"""
CHECKS: Final = """
    SELECT conname, CASE WHEN conrelid <> 0 THEN conrelid::regclass::text ELSE (
               -- Of a domain: a table that has a column of it.
               SELECT min(attrelid::regclass::text) FROM pg_attribute
                WHERE atttypid = contypid) END
      FROM pg_constraint
     WHERE contype = 'c' AND connamespace = 'public'::regnamespace
"""

ENDED: Final = "ended_at = now(), ended_by = 'student', score = NULL, is_passed = NULL"
RUNNING: Final = "ended_at = NULL, ended_by = NULL, score = NULL, is_passed = NULL"
GOES_ON: Final = "status = 'in_progress', paused_at = NULL, ended_at = NULL"
VOIDED: Final = (
    "status = 'voided', paused_at = NULL, ended_at = now(), ended_by = 'admin'"
)
OVER: Final = "status = 'submitted', paused_at = NULL, ended_at = now(), ended_by = "

UPHELD: Final = "status = 'upheld', ended_at = now(), reviewer_id = gen_random_uuid()"

# What each constraint refuses to have SET.
REFUSED: Final[dict[str, tuple[str, ...]]] = {
    "ai_analyses_confidence_check": ("confidence = -0.001", "confidence = 1.001"),
    "ai_analyses_inputs_hash_check": ("inputs_hash = 'x'",),
    "ai_analyses_model_version_check": (
        "model_version = ''",
        "model_version = repeat('x', 65)",
    ),
    "ai_analyses_result_check": ("result = '[]'",),
    "ai_analyses_risk_level_check": ("risk_level = 'guilty'",),
    "ai_analyses_risk_score_check": ("risk_score = -0.01", "risk_score = 100.01"),
    "answers_client_version_check": ("client_version = -1",),
    "answers_grader_comment_check": ("grader_comment = repeat('x', 5001)",),
    "answers_points_awarded_check": ("points_awarded = -0.01",),
    "appeals_decided_check": ("decision_reason = 'x'",),
    "appeals_decision_reason_check": (
        f"{UPHELD}, decision_reason = ''",
        f"{UPHELD}, decision_reason = repeat('x', 5001)",
    ),
    "appeals_ended_check": ("ended_at = now()", "status = 'withdrawn'"),
    "appeals_reason_check": ("reason = ''", "reason = repeat('x', 5001)"),
    "appeals_reviewer_check": (
        "status = 'open', reviewer_id = gen_random_uuid()",
        "status = 'under_review', reviewer_id = NULL",
        "status = 'upheld', ended_at = now(), reviewer_id = NULL",
    ),
    "appeals_somebody_else_check": (
        "status = 'under_review', reviewer_id = verdict_by",
    ),
    "appeals_status_check": (
        "status = 'lost', ended_at = now(), reviewer_id = gen_random_uuid()",
    ),
    "attempt_activity_contiguous_sequence_check": (
        "contiguous_sequence = -1",
        "contiguous_sequence = highest_sequence + 1",
    ),
    "attempt_activity_displaced_check": (
        "displaced_session = NULL, displaced_at = now()",
        "displaced_session = gen_random_uuid(), displaced_at = NULL",
    ),
    "attempt_activity_refused_digest_check": ("refused_digest = 'x'",),
    "attempt_activity_reported_events_check": (
        "reported_events = -1",
        "reported_events = 20001",
    ),
    "attempts_deadline_check": ("deadline_at = started_at",),
    "attempts_end_reason_check": ("end_reason = repeat('x', 2001)",),
    "attempts_ended_by_check": (f"{OVER} 'nobody'",),
    "attempts_ended_check": (
        f"status = 'in_progress', paused_at = NULL, {ENDED}",
        f"status = 'paused', paused_at = now(), {ENDED}",
        f"status = 'submitted', paused_at = NULL, {RUNNING}",
        f"status = 'terminated', paused_at = NULL, {RUNNING}",
        f"status = 'voided', paused_at = NULL, {RUNNING}",
        f"{OVER} NULL",
        f"{GOES_ON}, ended_by = 'admin', score = NULL, is_passed = NULL",
    ),
    "attempts_extended_seconds_check": (
        "extended_seconds = -1",
        "extended_seconds = 86401",
    ),
    "attempts_is_passed_check": (
        f"{OVER} 'student', score = 1, is_passed = NULL",
        f"{OVER} 'student', score = NULL, is_passed = true",
    ),
    "attempts_layout_check": ("layout = '{}'",),
    "attempts_notice_seconds_check": ("notice_seconds = -1",),
    "attempts_number_check": ("attempt_number = 0",),
    "attempts_paused_check": (
        f"status = 'paused', paused_at = NULL, {RUNNING}",
        f"status = 'in_progress', paused_at = now(), {RUNNING}",
        f"status = 'voided', paused_at = now(), {ENDED}",
    ),
    "attempts_paused_seconds_check": ("paused_seconds = -1",),
    "attempts_review_note_check": ("review_note = repeat('x', 5001)",),
    "attempts_review_status_check": ("review_status = 'guilty'",),
    "attempts_score_check": (
        f"{OVER} 'student', score = -0.01, is_passed = false",
        f"{OVER} 'student', score = max_score + 0.01, is_passed = true",
    ),
    "attempts_score_status_check": (
        f"{VOIDED}, score = 0, is_passed = false",
        f"{GOES_ON}, ended_by = NULL, score = 0, is_passed = false",
    ),
    "attempts_status_check": (f"status = 'lost', paused_at = NULL, {ENDED}",),
    "audit_digest_check": ("hash = 'x'",),
    "audit_event_type_check": (
        "event_type = 'noted'",
        "event_type = 'a.' || repeat('x', 99)",
    ),
    "audit_log_header_check": (
        "flags = -1",
        "schema_version = 0",
        "recorded_at = 'infinity'",
    ),
    "audit_log_id_check": ("log_id = 'x'",),
    "audit_log_redaction_check": ("payload = NULL", "payload_salt = NULL"),
    "audit_name_check": ("entity_id = ''", "actor_id = repeat('x', 501)"),
    "audit_origin_check": (
        "origin = ''",
        "origin = 'a log'",
        "origin = 'a+log'",
        "origin = repeat('x', 201)",
    ),
    "audit_payload_check": ("payload = repeat('x', 1048577)",),
    "audit_seq_check": ("next_seq = -1",),
    "audit_state_check": ("state = repeat('x', 67108865)",),
    "audit_suspensions_contradiction_check": (
        "size = 1",
        "log_root = sha256('2')",
        "log_root = root, log_size = 2",
    ),
    "audit_suspensions_note_check": ("note = ''", "note = repeat('x', 131073)"),
    "audit_suspensions_seen_by_check": ("seen_by = ''", "seen_by = repeat('x', 501)"),
    "checkpoint_timestamps_note_check": ("note = ''", "note = repeat('x', 65537)"),
    "checkpoint_timestamps_response_check": (
        "response = ''",
        "response = repeat('x', 65537)::bytea",
    ),
    "checkpoint_timestamps_tsa_url_check": (
        "tsa_url = ''",
        "tsa_url = repeat('x', 501)",
    ),
    "checkpoints_cosigned_check": ("cosigned_note = NULL", "cosigned_at = NULL"),
    "checkpoints_cosigned_note_check": (
        "cosigned_note = ''",
        "cosigned_note = repeat('x', 65537)",
    ),
    "checkpoints_note_check": ("note = ''", "note = repeat('x', 65537)"),
    "checkpoints_size_check": ("size = 0",),
    "checkpoints_witnessed_check": (
        "cosigned_note = NULL, cosigned_at = NULL, witnessed_at = now()",
    ),
    "evidence_views_subject_type_check": ("subject_type = 'session'",),
    "evidence_views_what_check": ("what = ''", "what = repeat('x', 65)"),
    "exam_assignments_extra_time_minutes_check": (
        "extra_time_minutes = -1",
        "extra_time_minutes = 1441",
    ),
    "exam_assignments_time_multiplier_check": (
        "time_multiplier = 0.99",
        "time_multiplier = 5.01",
    ),
    "exams_description_check": ("description = repeat('x', 5001)",),
    "exams_duration_minutes_check": ("duration_minutes = 0", "duration_minutes = 1441"),
    "exams_instructions_check": ("instructions = repeat('x', 10001)",),
    "exams_max_attempts_check": ("max_attempts = 0", "max_attempts = 21"),
    "exams_passing_score_percent_check": (
        "passing_score_percent = -0.01",
        "passing_score_percent = 100.01",
    ),
    "exams_proctoring_check": ("proctoring = '[]'",),
    "exams_scheduled_window_check": (
        "status = 'scheduled', starts_at = NULL",
        "status = 'active', ends_at = NULL",
        "status = 'completed', ends_at = NULL",
    ),
    "exams_status_check": ("status = 'lost', starts_at = now(), ends_at = 'infinity'",),
    "exams_title_check": ("title = ''", "title = repeat('x', 201)"),
    "exams_window_check": ("starts_at = now(), ends_at = now()",),
    "idempotency_keys_body_hash_check": ("body_hash = 'x'",),
    "idempotency_keys_headers_check": ("headers = '[]'",),
    "idempotency_keys_key_check": ("key = ''", "key = repeat('x', 256)"),
    "legal_holds_reason_check": ("reason = ''", "reason = repeat('x', 2001)"),
    "legal_holds_release_reason_check": (
        "released_at = now(), release_reason = ''",
        "released_at = now(), release_reason = repeat('x', 2001)",
    ),
    "legal_holds_released_check": (
        "released_at = now(), release_reason = NULL",
        "released_at = NULL, release_reason = 'settled'",
        "released_at = NULL, release_reason = NULL, released_by = gen_random_uuid()",
    ),
    "legal_holds_target_check": (
        "user_id = NULL, attempt_id = NULL, exam_id = NULL",
        "user_id = gen_random_uuid(), attempt_id = gen_random_uuid(), exam_id = NULL",
        "user_id = gen_random_uuid(), attempt_id = NULL, exam_id = gen_random_uuid()",
    ),
    "merkle_tiles_hashes_check": (
        "hashes = ''",
        "hashes = repeat('x', 33)::bytea",
        "hashes = repeat('x', 257 * 32)::bytea",
    ),
    "merkle_tiles_level_check": ("level = -1", "level = 64"),
    "merkle_tiles_tile_index_check": ("tile_index = -1",),
    "proctoring_events_event_class_check": ("event_class = 'cheating'",),
    "proctoring_events_event_type_check": (
        "event_type = 'noted'",
        "event_type = 'a.' || repeat('x', 63)",
    ),
    "proctoring_events_payload_check": ("payload = '[]'",),
    "proctoring_events_sequence_check": ("sequence = 0",),
    "proctoring_events_severity_check": ("severity = 'fatal'",),
    "questions_answer_key_check": ("answer_key = '[]'",),
    "questions_body_check": ("body = '[]'",),
    "questions_kind_check": ("kind = 'riddle'",),
    "questions_points_check": ("points = 0", "points = 1000.01"),
    "questions_position_check": ("position = 0", "position = 1001"),
    "questions_text_check": ("text = ''", "text = repeat('x', 10001)"),
    "refresh_tokens_token_hash_check": ("token_hash = 'x'",),
    "retention_rules_data_class_check": ("data_class = 'audit_log'",),
    "retention_rules_days_check": ("days = 0", "days = 36501"),
    "schema_migrations_sha256_check": ("sha256 = repeat('X', 64)",),
    "sessions_ended_check": (
        "ended_at = now(), ended_reason = NULL",
        "ended_at = NULL, ended_reason = 'logout'",
    ),
    "sessions_ended_reason_check": ("ended_at = now(), ended_reason = 'lost'",),
    "sessions_expires_at_check": ("expires_at = created_at",),
    "sessions_user_agent_check": ("user_agent = repeat('x', 501)",),
    "users_email_check": (
        "email = 'a@'",
        "email = 'nobody'",
        "email = 'a@' || repeat('x', 253)",
    ),
    "users_full_name_check": ("full_name = ''", "full_name = repeat('x', 201)"),
    "users_password_hash_check": ("password_hash = 'in clear'",),
    "users_role_check": ("role = 'owner'",),
    "verification_runs_ended_check": (
        "state = 'running', result = NULL, ended_at = now()",
        "state = 'cancelled', result = NULL, ended_at = NULL",
    ),
    "verification_runs_entries_check": ("entries_total = -1", "entries_checked = -1"),
    "verification_runs_result_check": (
        "state = 'finished', result = NULL, ended_at = now()",
        "state = 'cancelled', result = '{}', ended_at = now()",
    ),
    "verification_runs_state_check": (
        "state = 'lost', result = NULL, ended_at = now()",
    ),
}


def refused_by(sql: connection, statement: str) -> str | None:
    try:
        run(sql, statement)
    except psycopg2.Error as error:
        return error.diag.constraint_name
    return None


def test_every_check_refuses_what_it_must(played: str) -> None:
    with closing(psycopg2.connect(played)) as sql:
        sql.autocommit = True
        run(sql, WITHOUT_OTHER_RULES)
        run(sql, ROWS)
        tables = dict(run(sql, CHECKS))
        assert set(REFUSED) == set(tables)

        found = {
            f"UPDATE {tables[constraint]} SET {change}": constraint  # noqa: S608
            for constraint, changes in REFUSED.items()
            for change in changes
        }
        assert {each: refused_by(sql, each) for each in found} == found
