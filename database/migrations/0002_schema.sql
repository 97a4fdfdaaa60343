-- Users, exams, attempts, events and analyses.
--
-- Every rule that SQL can express stands here under a name of its own. The code above
-- it only makes the refusal polite.
SET LOCAL ROLE proctoring_owner;

CREATE TABLE users (
    id                   uuid        NOT NULL,
    email                text        NOT NULL,
    -- The address after case folding: what makes two addresses the same account.
    email_canonical      text        NOT NULL,
    full_name            text        NOT NULL,
    role                 text        NOT NULL,
    password_hash        text        NOT NULL,
    must_change_password boolean     NOT NULL DEFAULT false,
    is_active            boolean     NOT NULL DEFAULT true,
    created_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_canonical_key UNIQUE (email_canonical),
    CONSTRAINT users_email_check
        CHECK (char_length(email) BETWEEN 3 AND 254 AND email LIKE '%_@_%'),
    CONSTRAINT users_full_name_check CHECK (char_length(full_name) BETWEEN 1 AND 200),
    CONSTRAINT users_role_check CHECK (role IN ('admin', 'proctor', 'student')),
    CONSTRAINT users_password_hash_check CHECK (password_hash ~ '^\$2[aby]\$\d\d\$.{53}$')
);
CREATE INDEX users_role_idx ON users (role, id);

-- A session is one login: the family of all refresh tokens that follow from it.
CREATE TABLE sessions (
    id           uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Refreshing never moves this: a session ends seven days after its login.
    expires_at   timestamptz NOT NULL,
    ip_address   inet,
    user_agent   text        NOT NULL DEFAULT '',
    ended_at     timestamptz,
    ended_reason text,
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT sessions_expires_at_check CHECK (expires_at > created_at),
    CONSTRAINT sessions_user_agent_check CHECK (char_length(user_agent) <= 500),
    CONSTRAINT sessions_ended_reason_check CHECK (ended_reason IN
        ('logout', 'ended_by_user', 'token_reuse', 'password_changed',
         'password_reset', 'account_disabled', 'role_changed')),
    CONSTRAINT sessions_ended_check CHECK ((ended_at IS NULL) = (ended_reason IS NULL))
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id, id);

-- Only the SHA-256 of a token's id is kept, so a copy of this table opens nothing.
CREATE TABLE refresh_tokens (
    token_hash bytea       NOT NULL,
    session_id uuid        NOT NULL,
    issued_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at    timestamptz,
    CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token_hash),
    CONSTRAINT refresh_tokens_session_id_fkey
        FOREIGN KEY (session_id) REFERENCES sessions (id),
    CONSTRAINT refresh_tokens_token_hash_check CHECK (octet_length(token_hash) = 32)
);
-- A session has one token that can still be used: there is never a second branch.
CREATE UNIQUE INDEX refresh_tokens_one_live_key
    ON refresh_tokens (session_id) WHERE used_at IS NULL;

CREATE TABLE exams (
    id                    uuid          NOT NULL,
    title                 text          NOT NULL,
    description           text          NOT NULL DEFAULT '',
    instructions          text          NOT NULL DEFAULT '',
    duration_minutes      integer       NOT NULL,
    starts_at             timestamptz,
    ends_at               timestamptz,
    passing_score_percent numeric(5, 2) NOT NULL DEFAULT 50,
    shuffle_questions     boolean       NOT NULL DEFAULT false,
    shuffle_options       boolean       NOT NULL DEFAULT false,
    max_attempts          integer       NOT NULL DEFAULT 1,
    status                text          NOT NULL DEFAULT 'draft',
    proctoring            jsonb         NOT NULL DEFAULT '{}',
    -- Counts every change; the ETag.
    version               integer       NOT NULL DEFAULT 1,
    -- Set by the first attempt: from then on questions and policy are frozen.
    frozen_at             timestamptz,
    created_by            uuid          NOT NULL,
    created_at            timestamptz   NOT NULL DEFAULT clock_timestamp(),
    updated_at            timestamptz   NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT exams_pkey PRIMARY KEY (id),
    CONSTRAINT exams_created_by_fkey FOREIGN KEY (created_by) REFERENCES users (id),
    CONSTRAINT exams_title_check CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT exams_description_check CHECK (char_length(description) <= 5000),
    CONSTRAINT exams_instructions_check CHECK (char_length(instructions) <= 10000),
    CONSTRAINT exams_duration_minutes_check CHECK (duration_minutes BETWEEN 1 AND 1440),
    CONSTRAINT exams_window_check CHECK (ends_at > starts_at),
    CONSTRAINT exams_passing_score_percent_check
        CHECK (passing_score_percent BETWEEN 0 AND 100),
    CONSTRAINT exams_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 20),
    CONSTRAINT exams_status_check CHECK (status IN
        ('draft', 'scheduled', 'active', 'completed', 'cancelled', 'archived')),
    -- Only a draft may leave open when it takes place.
    CONSTRAINT exams_scheduled_window_check
        CHECK (status IN ('draft', 'cancelled', 'archived')
               OR (starts_at IS NOT NULL AND ends_at IS NOT NULL)),
    CONSTRAINT exams_proctoring_check CHECK (jsonb_typeof(proctoring) = 'object')
);
CREATE INDEX exams_status_idx ON exams (status, id);
-- What the sweeper looks for: exams that the clock opens or closes.
CREATE INDEX exams_starts_at_idx ON exams (starts_at) WHERE status = 'scheduled';
CREATE INDEX exams_ends_at_idx ON exams (ends_at) WHERE status = 'active';

CREATE TABLE exam_proctors (
    exam_id     uuid        NOT NULL,
    proctor_id  uuid        NOT NULL,
    assigned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT exam_proctors_pkey PRIMARY KEY (exam_id, proctor_id),
    CONSTRAINT exam_proctors_exam_id_fkey
        FOREIGN KEY (exam_id) REFERENCES exams (id) ON DELETE CASCADE,
    CONSTRAINT exam_proctors_proctor_id_fkey
        FOREIGN KEY (proctor_id) REFERENCES users (id)
);
CREATE INDEX exam_proctors_proctor_id_idx ON exam_proctors (proctor_id, exam_id);

CREATE TABLE questions (
    id         uuid          NOT NULL,
    exam_id    uuid          NOT NULL,
    position   integer       NOT NULL,
    kind       text          NOT NULL,
    text       text          NOT NULL,
    points     numeric(6, 2) NOT NULL,
    -- What a student may see of the question, apart from its text.
    body       jsonb         NOT NULL,
    -- What makes an answer right. No query made for a student names this column.
    answer_key jsonb         NOT NULL,
    CONSTRAINT questions_pkey PRIMARY KEY (id),
    -- Lets an answer prove that its question belongs to its attempt's exam.
    CONSTRAINT questions_exam_id_id_key UNIQUE (exam_id, id),
    CONSTRAINT questions_exam_id_position_key
        UNIQUE (exam_id, position) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT questions_exam_id_fkey
        FOREIGN KEY (exam_id) REFERENCES exams (id) ON DELETE CASCADE,
    CONSTRAINT questions_position_check CHECK (position BETWEEN 1 AND 1000),
    CONSTRAINT questions_kind_check CHECK (kind IN
        ('single_choice', 'multiple_choice', 'true_false', 'numeric',
         'short_text', 'essay')),
    CONSTRAINT questions_text_check CHECK (char_length(text) BETWEEN 1 AND 10000),
    CONSTRAINT questions_points_check CHECK (points > 0 AND points <= 1000),
    CONSTRAINT questions_body_check CHECK (jsonb_typeof(body) = 'object'),
    CONSTRAINT questions_answer_key_check CHECK (jsonb_typeof(answer_key) = 'object')
);

CREATE TABLE exam_assignments (
    exam_id            uuid          NOT NULL,
    student_id         uuid          NOT NULL,
    extra_time_minutes integer       NOT NULL DEFAULT 0,
    time_multiplier    numeric(4, 2) NOT NULL DEFAULT 1,
    assigned_at        timestamptz   NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT exam_assignments_pkey PRIMARY KEY (exam_id, student_id),
    CONSTRAINT exam_assignments_exam_id_fkey
        FOREIGN KEY (exam_id) REFERENCES exams (id) ON DELETE CASCADE,
    CONSTRAINT exam_assignments_student_id_fkey
        FOREIGN KEY (student_id) REFERENCES users (id),
    CONSTRAINT exam_assignments_extra_time_minutes_check
        CHECK (extra_time_minutes BETWEEN 0 AND 1440),
    CONSTRAINT exam_assignments_time_multiplier_check
        CHECK (time_multiplier BETWEEN 1 AND 5)
);
CREATE INDEX exam_assignments_student_id_idx ON exam_assignments (student_id, exam_id);

CREATE TABLE attempts (
    id              uuid        NOT NULL,
    exam_id         uuid        NOT NULL,
    student_id      uuid        NOT NULL,
    attempt_number  integer     NOT NULL,
    status          text        NOT NULL DEFAULT 'in_progress',
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Moved by extra time and by resuming after a pause, never by a client.
    deadline_at     timestamptz NOT NULL,
    paused_at       timestamptz,
    paused_seconds  integer     NOT NULL DEFAULT 0,
    -- What a proctor gave during the attempt, on top of the assignment's own.
    extended_seconds integer    NOT NULL DEFAULT 0,
    ended_at        timestamptz,
    -- Who or what ended it.
    ended_by        text,
    end_reason      text,
    -- The login that may write to the attempt: the device that holds it.
    held_by_session uuid,
    -- Question and option ids in this student's order.
    layout          jsonb       NOT NULL,
    score           numeric(8, 2),
    max_score       numeric(8, 2) NOT NULL,
    is_passed       boolean,
    review_status   text        NOT NULL DEFAULT 'none',
    review_note     text,
    reviewed_by     uuid,
    reviewed_at     timestamptz,
    CONSTRAINT attempts_pkey PRIMARY KEY (id),
    CONSTRAINT attempts_exam_id_id_key UNIQUE (exam_id, id),
    CONSTRAINT attempts_number_key UNIQUE (exam_id, student_id, attempt_number),
    -- Who was assigned can't be unassigned once there is an attempt.
    CONSTRAINT attempts_assignment_fkey FOREIGN KEY (exam_id, student_id)
        REFERENCES exam_assignments (exam_id, student_id),
    CONSTRAINT attempts_held_by_session_fkey
        FOREIGN KEY (held_by_session) REFERENCES sessions (id),
    CONSTRAINT attempts_reviewed_by_fkey FOREIGN KEY (reviewed_by) REFERENCES users (id),
    CONSTRAINT attempts_number_check CHECK (attempt_number >= 1),
    CONSTRAINT attempts_status_check CHECK (status IN
        ('in_progress', 'paused', 'submitted', 'terminated', 'voided')),
    CONSTRAINT attempts_deadline_check CHECK (deadline_at > started_at),
    CONSTRAINT attempts_paused_check CHECK ((status = 'paused') = (paused_at IS NOT NULL)),
    CONSTRAINT attempts_paused_seconds_check CHECK (paused_seconds >= 0),
    CONSTRAINT attempts_extended_seconds_check
        CHECK (extended_seconds BETWEEN 0 AND 86400),
    CONSTRAINT attempts_ended_check CHECK
        ((status IN ('in_progress', 'paused')) = (ended_at IS NULL)
         AND (ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT attempts_ended_by_check CHECK (ended_by IN
        ('student', 'deadline', 'exam_closed', 'proctor', 'admin')),
    CONSTRAINT attempts_end_reason_check CHECK (char_length(end_reason) <= 2000),
    CONSTRAINT attempts_layout_check CHECK (jsonb_typeof(layout) = 'array'),
    CONSTRAINT attempts_score_check CHECK (score BETWEEN 0 AND max_score),
    CONSTRAINT attempts_is_passed_check CHECK ((is_passed IS NULL) = (score IS NULL)),
    CONSTRAINT attempts_review_status_check CHECK (review_status IN
        ('none', 'queued', 'in_review', 'needs_second_review', 'cleared',
         'confirmed_violation', 'technical_error')),
    CONSTRAINT attempts_review_note_check CHECK (char_length(review_note) <= 5000)
);
-- A student has one running attempt, whatever any code believes.
CREATE UNIQUE INDEX attempts_one_running_key
    ON attempts (student_id) WHERE status IN ('in_progress', 'paused');
CREATE INDEX attempts_student_id_idx ON attempts (student_id, exam_id, attempt_number);
CREATE INDEX attempts_deadline_idx ON attempts (deadline_at) WHERE status = 'in_progress';

-- What changes with every report, apart from the attempt itself, so that reporting
-- never waits for, nor bloats, the row that decides.
CREATE TABLE attempt_activity (
    attempt_id          uuid        NOT NULL,
    last_seen_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Every client sequence number up to and with this one has arrived.
    contiguous_sequence bigint      NOT NULL DEFAULT 0,
    -- The highest that has arrived; between the two there are holes.
    highest_sequence    bigint      NOT NULL DEFAULT 0,
    -- Something came that no analysis has seen yet. In the future: somebody is at it,
    -- and until then nobody else need be.
    analysis_due_since  timestamptz,
    CONSTRAINT attempt_activity_pkey PRIMARY KEY (attempt_id),
    CONSTRAINT attempt_activity_attempt_id_fkey
        FOREIGN KEY (attempt_id) REFERENCES attempts (id),
    CONSTRAINT attempt_activity_contiguous_sequence_check
        CHECK (contiguous_sequence BETWEEN 0 AND highest_sequence)
) WITH (fillfactor = 50);
CREATE INDEX attempt_activity_due_idx
    ON attempt_activity (analysis_due_since) WHERE analysis_due_since IS NOT NULL;

CREATE TABLE answers (
    attempt_id     uuid          NOT NULL,
    exam_id        uuid          NOT NULL,
    question_id    uuid          NOT NULL,
    -- JSON null: the student cleared the answer.
    response       jsonb         NOT NULL,
    client_version bigint        NOT NULL,
    first_saved_at timestamptz   NOT NULL DEFAULT clock_timestamp(),
    saved_at       timestamptz   NOT NULL DEFAULT clock_timestamp(),
    -- NULL until it is graded; an essay waits for a human.
    points_awarded numeric(6, 2),
    grader_comment text,
    graded_by      uuid,
    CONSTRAINT answers_pkey PRIMARY KEY (attempt_id, question_id),
    CONSTRAINT answers_attempt_fkey FOREIGN KEY (exam_id, attempt_id)
        REFERENCES attempts (exam_id, id),
    CONSTRAINT answers_question_fkey FOREIGN KEY (exam_id, question_id)
        REFERENCES questions (exam_id, id),
    CONSTRAINT answers_graded_by_fkey FOREIGN KEY (graded_by) REFERENCES users (id),
    CONSTRAINT answers_client_version_check CHECK (client_version >= 0),
    CONSTRAINT answers_points_awarded_check CHECK (points_awarded >= 0),
    CONSTRAINT answers_grader_comment_check CHECK (char_length(grader_comment) <= 5000)
);
CREATE INDEX answers_question_id_idx ON answers (question_id, attempt_id);

CREATE TABLE proctoring_events (
    id              uuid        NOT NULL,
    attempt_id      uuid        NOT NULL,
    -- The report that brought it; the audit entry of that report has this entity id.
    batch_id        uuid        NOT NULL,
    -- The client's own name for the event: what makes a second delivery a duplicate.
    client_event_id uuid        NOT NULL,
    -- The client's counter over the attempt. Events of the server have none.
    sequence        bigint,
    event_type      text        NOT NULL,
    event_class     text        NOT NULL,
    severity        text        NOT NULL,
    occurred_at     timestamptz NOT NULL,
    received_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    payload         jsonb       NOT NULL,
    CONSTRAINT proctoring_events_pkey PRIMARY KEY (id),
    CONSTRAINT proctoring_events_client_event_id_key
        UNIQUE (attempt_id, client_event_id),
    CONSTRAINT proctoring_events_attempt_id_fkey
        FOREIGN KEY (attempt_id) REFERENCES attempts (id),
    CONSTRAINT proctoring_events_sequence_check CHECK (sequence >= 1),
    CONSTRAINT proctoring_events_event_type_check
        CHECK (event_type ~ '^[a-z_]+\.[a-z_]+$' AND char_length(event_type) <= 64),
    CONSTRAINT proctoring_events_event_class_check CHECK (event_class IN
        ('lifecycle', 'technical', 'environment', 'support', 'integrity')),
    CONSTRAINT proctoring_events_severity_check CHECK (severity IN
        ('info', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT proctoring_events_payload_check CHECK (jsonb_typeof(payload) = 'object')
);
CREATE INDEX proctoring_events_occurred_at_idx
    ON proctoring_events (attempt_id, occurred_at, id);
CREATE INDEX proctoring_events_sequence_idx
    ON proctoring_events (attempt_id, sequence) WHERE sequence IS NOT NULL;

-- One row an analysis. Rows are added, never changed: an old score can be shown as it was.
CREATE TABLE ai_analyses (
    id            uuid          NOT NULL,
    attempt_id    uuid          NOT NULL,
    model_version text          NOT NULL,
    -- False for a new weighting that is only being tried over an old exam.
    is_official   boolean       NOT NULL DEFAULT true,
    risk_score    numeric(5, 2) NOT NULL,
    risk_level    text          NOT NULL,
    confidence    numeric(4, 3) NOT NULL,
    -- Factors, cohort and coverage as the model gave them.
    result        jsonb         NOT NULL,
    inputs_hash   bytea         NOT NULL,
    created_at    timestamptz   NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT ai_analyses_pkey PRIMARY KEY (id),
    CONSTRAINT ai_analyses_attempt_id_fkey
        FOREIGN KEY (attempt_id) REFERENCES attempts (id),
    CONSTRAINT ai_analyses_model_version_check
        CHECK (char_length(model_version) BETWEEN 1 AND 64),
    CONSTRAINT ai_analyses_risk_score_check CHECK (risk_score BETWEEN 0 AND 100),
    CONSTRAINT ai_analyses_risk_level_check
        CHECK (risk_level IN ('none', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT ai_analyses_confidence_check CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT ai_analyses_result_check CHECK (jsonb_typeof(result) = 'object'),
    CONSTRAINT ai_analyses_inputs_hash_check CHECK (octet_length(inputs_hash) = 32)
);
CREATE INDEX ai_analyses_attempt_id_idx ON ai_analyses (attempt_id, created_at, id);

-- Points at the newest official analysis, so that a list by risk is one index scan.
CREATE TABLE attempt_risk (
    attempt_id  uuid          NOT NULL,
    exam_id     uuid          NOT NULL,
    analysis_id uuid          NOT NULL,
    risk_score  numeric(5, 2) NOT NULL,
    -- When it was last found to be what the analysis says, by the data of that moment.
    checked_at  timestamptz   NOT NULL,
    CONSTRAINT attempt_risk_pkey PRIMARY KEY (attempt_id),
    CONSTRAINT attempt_risk_attempt_fkey
        FOREIGN KEY (exam_id, attempt_id) REFERENCES attempts (exam_id, id),
    CONSTRAINT attempt_risk_analysis_id_fkey
        FOREIGN KEY (analysis_id) REFERENCES ai_analyses (id)
);
CREATE INDEX attempt_risk_score_idx ON attempt_risk (risk_score DESC, attempt_id DESC);
CREATE INDEX attempt_risk_exam_id_idx
    ON attempt_risk (exam_id, risk_score DESC, attempt_id DESC);

-- Not part of the record: what follows may be lost without losing evidence, and is not audited.

CREATE TABLE idempotency_keys (
    -- The user, or NULL's stand-in for a caller who is not logged in.
    scope       text        NOT NULL,
    route       text        NOT NULL,
    key         text        NOT NULL,
    body_hash   bytea       NOT NULL,
    -- NULL between the commit of the work and the keeping of its answer.
    status      integer,
    body        text,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, route, key),
    CONSTRAINT idempotency_keys_key_check CHECK (char_length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_body_hash_check CHECK (octet_length(body_hash) = 32)
);
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);

CREATE UNLOGGED TABLE rate_limits (
    key        text        NOT NULL,
    hits       integer     NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT rate_limits_pkey PRIMARY KEY (key)
) WITH (fillfactor = 50);
CREATE INDEX rate_limits_expires_at_idx ON rate_limits (expires_at);

CREATE FUNCTION exams_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT (OLD.status, NEW.status) IN (
        ('draft', 'scheduled'), ('scheduled', 'active'), ('active', 'completed'),
        ('draft', 'cancelled'), ('scheduled', 'cancelled'), ('active', 'cancelled'),
        ('completed', 'archived'), ('cancelled', 'archived')
    ) THEN
        RAISE EXCEPTION 'exam % can not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exams_status_step';
    END IF;
    IF OLD.frozen_at IS NOT NULL AND (
        NEW.frozen_at IS DISTINCT FROM OLD.frozen_at
        OR NEW.proctoring <> OLD.proctoring
        OR NEW.duration_minutes <> OLD.duration_minutes
        OR NEW.passing_score_percent <> OLD.passing_score_percent
        OR NEW.shuffle_questions <> OLD.shuffle_questions
        OR NEW.shuffle_options <> OLD.shuffle_options
    ) THEN
        RAISE EXCEPTION 'exam % is frozen', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exams_frozen';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER exams_guard BEFORE UPDATE ON exams
    FOR EACH ROW EXECUTE FUNCTION exams_guard();

CREATE FUNCTION questions_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    frozen timestamptz;
BEGIN
    -- The lock makes a change of questions and the first attempt wait for each other.
    SELECT frozen_at INTO frozen FROM exams
     WHERE id = coalesce(NEW.exam_id, OLD.exam_id) FOR SHARE;
    IF frozen IS NOT NULL THEN
        RAISE EXCEPTION 'the questions of exam % are frozen',
            coalesce(NEW.exam_id, OLD.exam_id)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exams_frozen';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER questions_guard BEFORE INSERT OR UPDATE OR DELETE ON questions
    FOR EACH ROW EXECUTE FUNCTION questions_guard();

CREATE FUNCTION attempts_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF (NEW.id, NEW.exam_id, NEW.student_id, NEW.attempt_number, NEW.started_at, NEW.layout)
       IS DISTINCT FROM
       (OLD.id, OLD.exam_id, OLD.student_id, OLD.attempt_number, OLD.started_at, OLD.layout)
    THEN
        RAISE EXCEPTION 'what attempt % is can not change', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_identity';
    END IF;
    IF NEW.status <> OLD.status AND NOT (OLD.status, NEW.status) IN (
        ('in_progress', 'paused'), ('paused', 'in_progress'),
        ('in_progress', 'submitted'), ('paused', 'submitted'),
        ('in_progress', 'terminated'), ('paused', 'terminated'),
        ('in_progress', 'voided'), ('paused', 'voided'),
        ('submitted', 'voided'), ('terminated', 'voided')
    ) THEN
        RAISE EXCEPTION 'attempt % can not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_status_step';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER attempts_guard BEFORE UPDATE ON attempts
    FOR EACH ROW EXECUTE FUNCTION attempts_guard();

-- An answer belongs to a running attempt; afterwards only its grade may change.
CREATE FUNCTION answers_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.response = OLD.response
       AND NEW.client_version = OLD.client_version THEN
        RETURN NEW;
    END IF;
    PERFORM 1 FROM attempts WHERE id = NEW.attempt_id AND status = 'in_progress' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % takes no answers', NEW.attempt_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'answers_attempt_running';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER answers_guard BEFORE INSERT OR UPDATE ON answers
    FOR EACH ROW EXECUTE FUNCTION answers_guard();

-- Evidence is added, never changed.
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER proctoring_events_guard BEFORE UPDATE OR DELETE ON proctoring_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ai_analyses_guard BEFORE UPDATE OR DELETE ON ai_analyses
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT, UPDATE ON
    users, sessions, refresh_tokens, exams, questions, exam_assignments, exam_proctors,
    attempts, attempt_activity, answers, attempt_risk, idempotency_keys, rate_limits
    TO proctoring_app;
GRANT SELECT, INSERT ON proctoring_events, ai_analyses TO proctoring_app;
-- Attempts, answers, events, users and sessions are never deleted.
GRANT DELETE ON
    exams, questions, exam_assignments, exam_proctors, refresh_tokens,
    idempotency_keys, rate_limits
    TO proctoring_app;

GRANT SELECT ON
    exams, questions, exam_assignments, exam_proctors, attempts, attempt_activity,
    answers, proctoring_events, ai_analyses, attempt_risk
    TO proctoring_auditor;
GRANT SELECT (id, email, full_name, role, is_active, created_at, updated_at)
    ON users TO proctoring_auditor;
