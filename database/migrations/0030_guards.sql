-- Guards that whoever has the application's login could get round. A temporary table of his
-- hid the real one from them: with one that is called `legal_holds` and is empty, what was
-- held could be erased. docs/threat-model.md
SET LOCAL ROLE proctoring_owner;

-- As in 0021_attempt_rules.sql, but for who has ended it.
CREATE OR REPLACE FUNCTION attempts_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF (NEW.id, NEW.exam_id, NEW.student_id, NEW.attempt_number, NEW.started_at,
        NEW.layout, NEW.max_score)
       IS DISTINCT FROM
       (OLD.id, OLD.exam_id, OLD.student_id, OLD.attempt_number, OLD.started_at,
        OLD.layout, OLD.max_score)
    THEN
        RAISE EXCEPTION 'what attempt % is can not change', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_identity';
    END IF;
    -- Whoever has handed in could be reopened as if the server had ended him.
    IF NEW.status = OLD.status AND NEW.ended_by IS DISTINCT FROM OLD.ended_by THEN
        RAISE EXCEPTION 'who has ended attempt % can not change', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_end';
    END IF;
    IF NEW.status <> OLD.status AND NOT (OLD.status, NEW.status) IN (
        ('in_progress', 'paused'), ('paused', 'in_progress'),
        ('in_progress', 'submitted'), ('paused', 'submitted'),
        ('in_progress', 'terminated'), ('paused', 'terminated'),
        ('in_progress', 'voided'), ('paused', 'voided'),
        ('submitted', 'voided'), ('terminated', 'voided')
    ) THEN
        -- Reopened. What its student has handed in himself stays handed in, and what was
        -- graded is graded anew.
        IF NOT (OLD.status IN ('submitted', 'terminated') AND OLD.ended_by <> 'student'
                AND NEW.status = 'in_progress' AND NEW.score IS NULL) THEN
            RAISE EXCEPTION 'attempt % can not go from % to %',
                OLD.id, OLD.status, NEW.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_status_step';
        END IF;
        PERFORM 1 FROM exams WHERE id = OLD.exam_id AND status <> 'archived' FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'exam % is archived', OLD.exam_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_exam_archived';
        END IF;
    END IF;
    RETURN NEW;
END $$;

-- As in 0021_attempt_rules.sql, but for what it answers and when it was saved.
CREATE OR REPLACE FUNCTION answers_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.points_awarded IS NOT NULL AND NEW.points_awarded
           > (SELECT points FROM questions WHERE id = NEW.question_id) THEN
        RAISE EXCEPTION 'question % is not worth so much', NEW.question_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'answers_points_of_question';
    END IF;
    IF TG_OP = 'UPDATE'
       AND (NEW.attempt_id, NEW.exam_id, NEW.question_id, NEW.first_saved_at)
           IS DISTINCT FROM
           (OLD.attempt_id, OLD.exam_id, OLD.question_id, OLD.first_saved_at) THEN
        RAISE EXCEPTION 'what an answer answers can not change'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'answers_identity';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.client_version = OLD.client_version
       AND NEW.saved_at = OLD.saved_at
       AND (NEW.response = OLD.response
            OR NEW.response = 'null' AND current_user = 'proctoring_owner') THEN
        RETURN NEW;
    END IF;
    PERFORM 1 FROM attempts
      WHERE id = NEW.attempt_id AND status = 'in_progress'
        AND transaction_timestamp() <= deadline_at + interval '2 seconds'
        FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % takes no answers', NEW.attempt_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'answers_attempt_running';
    END IF;
    RETURN NEW;
END $$;

-- As in 0002_schema.sql, but for the exam: a question left a frozen one for another.
CREATE OR REPLACE FUNCTION questions_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    frozen timestamptz;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.exam_id <> OLD.exam_id THEN
        RAISE EXCEPTION 'question % belongs to exam %', OLD.id, OLD.exam_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'questions_identity';
    END IF;
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

-- As in 0029_appeals.sql, but for reviews by nobody.
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
    IF NEW.review_status <> OLD.review_status AND NEW.reviewed_by IS NULL
       AND NEW.review_status NOT IN ('none', 'queued') THEN
        RAISE EXCEPTION 'nobody has reviewed attempt %', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_reviewer';
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

-- A login stays whose it is, and ends when it was to end.
REVOKE UPDATE ON sessions FROM proctoring_app;
GRANT UPDATE (last_used_at, ip_address, ended_at, ended_reason) ON sessions
    TO proctoring_app;

-- Unless it is named, pg_temp comes first where tables are looked for.
DO $$
DECLARE
    routine record;
BEGIN
    FOR routine IN
        SELECT pg_proc.oid::regprocedure AS name FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace
           AND pg_get_userbyid(proowner) = current_user
           AND proconfig @> ARRAY['search_path=pg_catalog, public']
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET search_path = pg_catalog, public, pg_temp',
                       routine.name);
    END LOOP;
END $$;
