-- A student can contest a verdict, and somebody else decides: docs/decisions/0020-appeals.md
SET LOCAL ROLE proctoring_owner;

CREATE TABLE appeals (
    id              uuid        NOT NULL,
    attempt_id      uuid        NOT NULL,
    status          text        NOT NULL DEFAULT 'open',
    -- The verdict that it is against.
    verdict_by      uuid        NOT NULL,
    verdict_at      timestamptz NOT NULL,
    -- NULL once it was erased.
    reason          text,
    lodged_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Who looks into it, and then has decided.
    reviewer_id     uuid,
    -- Decided or withdrawn.
    ended_at        timestamptz,
    decision_reason text,
    CONSTRAINT appeals_pkey PRIMARY KEY (id),
    CONSTRAINT appeals_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES attempts (id),
    CONSTRAINT appeals_verdict_by_fkey FOREIGN KEY (verdict_by) REFERENCES users (id),
    CONSTRAINT appeals_reviewer_id_fkey FOREIGN KEY (reviewer_id) REFERENCES users (id),
    CONSTRAINT appeals_status_check CHECK (status IN
        ('open', 'under_review', 'upheld', 'overturned', 'withdrawn')),
    CONSTRAINT appeals_reason_check CHECK (char_length(reason) BETWEEN 1 AND 5000),
    CONSTRAINT appeals_decision_reason_check
        CHECK (char_length(decision_reason) BETWEEN 1 AND 5000),
    CONSTRAINT appeals_ended_check
        CHECK ((ended_at IS NULL) = (status IN ('open', 'under_review'))),
    CONSTRAINT appeals_reviewer_check
        CHECK (CASE status WHEN 'open' THEN reviewer_id IS NULL
                           WHEN 'withdrawn' THEN true
                           ELSE reviewer_id IS NOT NULL END),
    CONSTRAINT appeals_decided_check
        CHECK (decision_reason IS NULL OR status IN ('upheld', 'overturned')),
    -- Nobody decides about a verdict of his own.
    CONSTRAINT appeals_somebody_else_check CHECK (reviewer_id <> verdict_by)
);
-- A verdict is contested once. What was withdrawn can be lodged again.
CREATE UNIQUE INDEX appeals_verdict_key ON appeals (attempt_id, verdict_at)
    WHERE status <> 'withdrawn';
CREATE INDEX appeals_attempt_id_idx ON appeals (attempt_id);

GRANT SELECT, INSERT ON appeals TO proctoring_app;
GRANT UPDATE (status, reviewer_id, ended_at, decision_reason) ON appeals
    TO proctoring_app;
GRANT SELECT ON appeals TO proctoring_auditor;

-- Until when a verdict can be contested. The default is that of ProctoringPolicy.
CREATE FUNCTION appeal_until(p_exam_id uuid, p_verdict_at timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT p_verdict_at
           + make_interval(hours => 24 * coalesce((proctoring ->> 'appeal_days')::integer, 14))
      FROM exams WHERE id = p_exam_id
$$;
REVOKE ALL ON FUNCTION appeal_until(uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION appeal_until(uuid, timestamptz) TO proctoring_app;

CREATE FUNCTION appeals_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    contested record;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.status = OLD.status
       AND current_user = 'proctoring_owner' THEN
        -- What was said of a person may be emptied, and nothing else.
        OLD.reason := NEW.reason;
        OLD.decision_reason := NEW.decision_reason;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'appeal % has ended', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'appeals_ended';
    END IF;
    SELECT exam_id, student_id, review_status, reviewed_by, reviewed_at INTO contested
      FROM attempts WHERE id = NEW.attempt_id FOR SHARE;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'open' OR NEW.reason IS NULL
           OR (contested.review_status, contested.reviewed_by, contested.reviewed_at)
              IS DISTINCT FROM ('confirmed_violation', NEW.verdict_by, NEW.verdict_at) THEN
            RAISE EXCEPTION 'attempt % has no such verdict to contest', NEW.attempt_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'appeals_verdict';
        END IF;
        IF clock_timestamp() > appeal_until(contested.exam_id, NEW.verdict_at) THEN
            RAISE EXCEPTION 'the verdict on attempt % stands', NEW.attempt_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'appeals_in_time';
        END IF;
        RETURN NEW;
    END IF;
    IF NOT ((OLD.status, NEW.status) IN (
                ('open', 'under_review'), ('open', 'withdrawn'),
                ('under_review', 'withdrawn'))
            -- A colleague goes on with it.
            OR (OLD.status, NEW.status) = ('under_review', 'under_review')
            OR OLD.status = 'under_review' AND NEW.status IN ('upheld', 'overturned')
               AND NEW.reviewer_id = OLD.reviewer_id AND NEW.decision_reason IS NOT NULL)
    THEN
        RAISE EXCEPTION 'appeal % can not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'appeals_step';
    END IF;
    IF NEW.reviewer_id = contested.student_id THEN
        RAISE EXCEPTION 'appeal % is his own', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'appeals_own';
    END IF;
    -- Who finds for the student has cleared him by now, and who does not has not.
    IF NEW.status = 'overturned'
       AND (contested.review_status, contested.reviewed_by)
           IS DISTINCT FROM ('cleared', NEW.reviewer_id)
       OR NEW.status = 'upheld' AND contested.reviewed_at <> NEW.verdict_at THEN
        RAISE EXCEPTION 'the review of attempt % says otherwise', NEW.attempt_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'appeals_outcome';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER appeals_guard BEFORE INSERT OR UPDATE ON appeals
    FOR EACH ROW EXECUTE FUNCTION appeals_guard();

-- As in 0028_second_reviewer.sql, but for appeals.
CREATE OR REPLACE FUNCTION attempts_review_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.review_status <> OLD.review_status AND NOT (
        (OLD.review_status, NEW.review_status) IN (
            ('none', 'queued'), ('none', 'in_review'), ('queued', 'in_review'),
            ('in_review', 'needs_second_review'))
        OR (OLD.review_status IN ('in_review', 'needs_second_review')
            AND NEW.review_status IN
                ('cleared', 'confirmed_violation', 'technical_error')
            -- Nobody is judged while he still writes.
            AND NEW.status NOT IN ('in_progress', 'paused'))
        OR (OLD.review_status IN ('cleared', 'confirmed_violation', 'technical_error')
            AND NEW.review_status = 'in_review')
        -- Who decides about the appeal has found for the student.
        OR (OLD.review_status, NEW.review_status) = ('confirmed_violation', 'cleared')
           AND EXISTS (SELECT FROM appeals
                        WHERE attempt_id = OLD.id AND status = 'under_review'
                          AND reviewer_id = NEW.reviewed_by)
    ) THEN
        RAISE EXCEPTION 'the review of attempt % can not go from % to %',
            OLD.id, OLD.review_status, NEW.review_status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_review_step';
    END IF;
    -- The verdict stays as it is while its student contests it.
    IF (NEW.review_status, NEW.reviewed_by, NEW.reviewed_at)
           IS DISTINCT FROM (OLD.review_status, OLD.reviewed_by, OLD.reviewed_at)
       AND (OLD.review_status, NEW.review_status)
           IS DISTINCT FROM ('confirmed_violation', 'cleared')
       AND EXISTS (SELECT FROM appeals WHERE attempt_id = OLD.id AND ended_at IS NULL)
    THEN
        RAISE EXCEPTION 'there is an appeal against the verdict on attempt %', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_appeal_pending';
    END IF;
    -- Who has asked for it stays on record until somebody else decides.
    IF OLD.review_status = 'needs_second_review'
       AND (NEW.review_status <> OLD.review_status)
           <> (NEW.reviewed_by IS DISTINCT FROM OLD.reviewed_by) THEN
        RAISE EXCEPTION 'attempt % needs a second reviewer', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_second_reviewer';
    END IF;
    RETURN NEW;
END $$;

-- As in 0012_erasure.sql, but for appeals.
CREATE OR REPLACE FUNCTION erasure_obstacles(p_user_ids uuid[], p_attempt_ids uuid[])
RETURNS TABLE (kind text, id uuid, attempt_id uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT 'hold', legal_holds.id, legal_holds.attempt_id
      FROM legal_holds
     WHERE released_at IS NULL
       AND (legal_holds.user_id = ANY (p_user_ids)
            OR legal_holds.user_id IN (SELECT attempts.student_id FROM attempts
                                        WHERE attempts.id = ANY (p_attempt_ids))
            OR legal_holds.attempt_id = ANY (p_attempt_ids)
            OR legal_holds.exam_id IN (SELECT attempts.exam_id FROM attempts
                                        WHERE attempts.id = ANY (p_attempt_ids)))
    UNION ALL
    SELECT CASE WHEN status IN ('in_progress', 'paused') THEN 'running' ELSE 'review' END,
           attempts.id, attempts.id
      FROM attempts
     WHERE attempts.id = ANY (p_attempt_ids)
       AND (status IN ('in_progress', 'paused')
            OR review_status IN ('queued', 'in_review', 'needs_second_review'))
    UNION ALL
    SELECT 'appeal', appeals.attempt_id, appeals.attempt_id
      FROM appeals
     WHERE appeals.attempt_id = ANY (p_attempt_ids) AND ended_at IS NULL
$$;

-- As in 0023_erased_address.sql, but for appeals.
CREATE OR REPLACE PROCEDURE erasure_empty(
    p_user_id uuid, p_session_ids uuid[], p_attempt_ids uuid[], p_classes text[],
    p_pattern text, p_mentioned_in uuid[]
)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF 'account' = ANY (p_classes) THEN
        UPDATE users
           SET email = 'erased-' || id || '@erased.invalid',
               -- No address is written so: nobody can have taken it before.
               email_canonical = 'erased-' || id || '@',
               full_name = 'Erased person',
               -- No password has this hash.
               password_hash = '$2b$12$' || repeat('.', 53),
               must_change_password = false, is_active = false,
               updated_at = clock_timestamp()
         WHERE id = p_user_id;
        DELETE FROM rate_limits USING sessions
         WHERE user_id = p_user_id AND position(host(ip_address) IN key) > 0;
        UPDATE sessions
           SET ended_at = clock_timestamp(), ended_reason = 'account_disabled'
         WHERE user_id = p_user_id AND ended_at IS NULL;
        DELETE FROM refresh_tokens USING sessions
         WHERE sessions.id = session_id AND user_id = p_user_id;
        DELETE FROM idempotency_keys
         WHERE scope LIKE p_user_id || ':%' OR body ~* p_pattern
            OR position(p_user_id::text IN body) > 0
            OR EXISTS (SELECT FROM unnest(p_attempt_ids) AS ids(id)
                        WHERE position(id::text IN route) > 0);
        UPDATE legal_holds
           SET reason = '(erased)',
               release_reason = CASE WHEN release_reason IS NOT NULL
                                     THEN '(erased)' END
         WHERE released_at IS NOT NULL
           AND (user_id = p_user_id OR attempt_id = ANY (p_attempt_ids)
                OR 'mentions' = ANY (p_classes)
                   AND concat(reason, ' ', release_reason) ~* p_pattern);
    END IF;
    IF 'network_addresses' = ANY (p_classes) THEN
        UPDATE sessions SET ip_address = NULL, user_agent = ''
         WHERE id = ANY (p_session_ids);
    END IF;
    IF 'answers' = ANY (p_classes) THEN
        UPDATE answers SET response = 'null', grader_comment = NULL
         WHERE attempt_id = ANY (p_attempt_ids);
        -- A digest of answers that a device was kept from saving.
        UPDATE attempt_activity
           SET displaced_session = NULL, displaced_at = NULL, refused_digest = NULL
         WHERE attempt_id = ANY (p_attempt_ids);
    END IF;
    IF p_classes && ARRAY['answers', 'event_payloads'] THEN
        UPDATE attempt_activity SET is_evidence_erased = true
         WHERE attempt_id = ANY (p_attempt_ids);
    END IF;
    IF 'event_payloads' = ANY (p_classes) THEN
        UPDATE proctoring_events SET payload = '{}'
         WHERE attempt_id = ANY (p_attempt_ids);
    END IF;
    IF 'analyses' = ANY (p_classes) THEN
        UPDATE ai_analyses SET result = erased_result(result)
         WHERE attempt_id = ANY (p_attempt_ids);
    END IF;
    IF 'notes' = ANY (p_classes) THEN
        UPDATE attempts SET end_reason = NULL, review_note = NULL
         WHERE id = ANY (p_attempt_ids);
        UPDATE attempts
           SET end_reason = CASE WHEN end_reason ~* p_pattern
                                 THEN NULL ELSE end_reason END,
               review_note = CASE WHEN review_note ~* p_pattern
                                  THEN NULL ELSE review_note END
         WHERE id = ANY (p_mentioned_in)
           AND concat(end_reason, ' ', review_note) ~* p_pattern;
        UPDATE answers SET grader_comment = NULL
         WHERE attempt_id = ANY (p_mentioned_in)
           AND grader_comment ~* p_pattern;
        UPDATE proctoring_events SET payload = '{}'
         WHERE attempt_id = ANY (p_mentioned_in) AND sequence IS NULL
           AND concat_ws(chr(10), payload ->> 'text', payload ->> 'reason') ~* p_pattern;
        UPDATE appeals SET reason = NULL, decision_reason = NULL
         WHERE attempt_id = ANY (p_attempt_ids);
        UPDATE appeals
           SET reason = CASE WHEN reason ~* p_pattern THEN NULL ELSE reason END,
               decision_reason = CASE WHEN decision_reason ~* p_pattern
                                      THEN NULL ELSE decision_reason END
         WHERE attempt_id = ANY (p_mentioned_in)
           AND concat(reason, ' ', decision_reason) ~* p_pattern;
    END IF;
END $$;

-- As in 0007_domain_rows.sql, but for appeals.
CREATE OR REPLACE FUNCTION audit_catalogue() RETURNS TABLE (
    row_table text, row_key text[], row_order text, row_columns text[]
)
LANGUAGE sql IMMUTABLE AS $$
    VALUES
    ('users', ARRAY['id'], 'id', ARRAY[
        'id', 'email', 'email_canonical', 'full_name', 'role', 'password_hash',
        'must_change_password', 'is_active', 'created_at', 'updated_at']),
    ('exams', ARRAY['id'], 'id', ARRAY[
        'id', 'title', 'description', 'instructions', 'duration_minutes', 'starts_at',
        'ends_at', 'passing_score_percent', 'shuffle_questions', 'shuffle_options',
        'max_attempts', 'status', 'proctoring', 'version', 'frozen_at', 'created_by',
        'created_at', 'updated_at']),
    ('exam_proctors', ARRAY['exam_id', 'proctor_id'], 'exam_id', ARRAY[
        'exam_id', 'proctor_id', 'assigned_at']),
    ('questions', ARRAY['id'], 'id', ARRAY[
        'id', 'exam_id', 'position', 'kind', 'text', 'points', 'body', 'answer_key']),
    ('exam_assignments', ARRAY['exam_id', 'student_id'], 'exam_id', ARRAY[
        'exam_id', 'student_id', 'extra_time_minutes', 'time_multiplier',
        'assigned_at']),
    ('attempts', ARRAY['id'], 'id', ARRAY[
        'id', 'exam_id', 'student_id', 'attempt_number', 'status', 'started_at',
        'deadline_at', 'paused_at', 'paused_seconds', 'extended_seconds', 'ended_at',
        'ended_by', 'end_reason', 'held_by_session', 'layout', 'score', 'max_score',
        'is_passed', 'review_status', 'review_note', 'reviewed_by', 'reviewed_at',
        'notice_seconds']),
    ('answers', ARRAY['attempt_id', 'question_id'], 'attempt_id', ARRAY[
        'attempt_id', 'exam_id', 'question_id', 'response', 'client_version',
        'first_saved_at', 'saved_at', 'points_awarded', 'grader_comment', 'graded_by']),
    ('proctoring_events', ARRAY['batch_id'], 'id', ARRAY[
        'id', 'attempt_id', 'batch_id', 'client_event_id', 'sequence', 'event_type',
        'event_class', 'severity', 'occurred_at', 'received_at', 'payload']),
    ('ai_analyses', ARRAY['id'], 'id', ARRAY[
        'id', 'attempt_id', 'model_version', 'is_official', 'risk_score', 'risk_level',
        'confidence', 'result', 'inputs_hash', 'created_at']),
    ('appeals', ARRAY['id'], 'id', ARRAY[
        'id', 'attempt_id', 'status', 'verdict_by', 'verdict_at', 'reason', 'lodged_at',
        'reviewer_id', 'ended_at', 'decision_reason'])
$$;

-- As audit_cover() there, but for one table: nobody waits for the others.
CREATE PROCEDURE audit_cover(p_table text)
LANGUAGE plpgsql AS $$
DECLARE
    covered record;
    change  record;
BEGIN
    FOR covered IN SELECT row_table, row_key FROM audit_catalogue()
                    WHERE row_table = p_table
    LOOP
        EXECUTE format($function$
            CREATE OR REPLACE FUNCTION audit_note_%1$s() RETURNS trigger
            LANGUAGE plpgsql AS $body$
            DECLARE
                noted text;
            BEGIN
                IF TG_OP = 'DELETE' THEN
                    SELECT string_agg(line, '') INTO noted FROM (
                        SELECT DISTINCT concat('%1$s ', concat_ws('/', %2$s), E' 0 -\n')
                                        AS line
                          FROM changed) AS lines;
                ELSE
                    SELECT string_agg(line, '') INTO noted FROM (
                        %3$s) AS lines;
                END IF;
                IF noted IS NOT NULL THEN
                    PERFORM set_config(
                        'proctoring.noted',
                        concat(current_setting('proctoring.noted', true), noted), true);
                END IF;
                RETURN NULL;
            END $body$ $function$,
            covered.row_table, array_to_string(covered.row_key, ', '),
            audit_lines_of(covered.row_table, 'changed'));
        FOR change IN
            SELECT * FROM (VALUES ('INSERT', 'NEW'), ('UPDATE', 'NEW'), ('DELETE', 'OLD'))
                          AS changes(kind, rows)
        LOOP
            EXECUTE format(
                'DROP TRIGGER IF EXISTS audit_note_%2$s ON %1$I;'
                ' CREATE TRIGGER audit_note_%2$s AFTER %3$s ON %1$I'
                ' REFERENCING %4$s TABLE AS changed'
                ' FOR EACH STATEMENT EXECUTE FUNCTION audit_note_%1$s()',
                covered.row_table, lower(change.kind), change.kind, change.rows);
        END LOOP;
    END LOOP;
END $$;
DROP PROCEDURE audit_cover();
REVOKE ALL ON PROCEDURE audit_cover(text) FROM PUBLIC;
CALL audit_cover('appeals');
