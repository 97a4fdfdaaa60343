-- Rules of an attempt that only the code has kept: where it can begin, how long answers are
-- taken, what it can be worth, and that nobody archives an exam that is still sat.
-- docs/decisions/0007-attempt-rules.md
SET LOCAL ROLE proctoring_owner;

ALTER TABLE attempts
    ADD CONSTRAINT attempts_score_status_check
        CHECK (score IS NULL OR status IN ('submitted', 'terminated'));

CREATE FUNCTION attempts_insert_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    -- The lock makes a start and the end of the exam wait for each other.
    PERFORM 1 FROM exams
      WHERE id = NEW.exam_id AND status = 'active' AND frozen_at IS NOT NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'exam % is not open', NEW.exam_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_exam_open';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER attempts_insert_guard BEFORE INSERT ON attempts
    FOR EACH ROW EXECUTE FUNCTION attempts_insert_guard();

-- As in 0005_event_limit_and_reopening.sql, but for max_score and archived exams.
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

-- As in 0002_schema.sql, but for archived exams.
CREATE OR REPLACE FUNCTION exams_guard() RETURNS trigger
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
    IF NEW.status = 'archived' AND OLD.status <> 'archived' AND EXISTS (
        SELECT FROM attempts
         WHERE exam_id = OLD.id AND status IN ('in_progress', 'paused')
    ) THEN
        RAISE EXCEPTION 'exam % is still sat', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exams_archived_unsat';
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

-- As in 0012_erasure.sql, but for the points and the time: what is saved was on its way two
-- seconds after the deadline. The code reads the clock after the transaction has begun, so
-- what it accepts is accepted here.
CREATE OR REPLACE FUNCTION answers_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.points_awarded IS NOT NULL AND NEW.points_awarded
           > (SELECT points FROM questions WHERE id = NEW.question_id) THEN
        RAISE EXCEPTION 'question % is not worth so much', NEW.question_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'answers_points_of_question';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.client_version = OLD.client_version
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
