-- Who is being erased starts no attempt: an erasure refuses one that runs, and what began
-- while it searched the log outlived it. docs/decisions/0015-erasure.md
SET LOCAL ROLE proctoring_owner;

-- As in 0021_attempt_rules.sql, but for the account.
CREATE OR REPLACE FUNCTION attempts_insert_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    -- The lock makes a start and the end of the exam wait for each other.
    PERFORM 1 FROM exams
      WHERE id = NEW.exam_id AND status = 'active' AND frozen_at IS NOT NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'exam % is not open', NEW.exam_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_exam_open';
    END IF;
    -- And this one a start and an erasure.
    PERFORM 1 FROM users WHERE id = NEW.student_id AND is_active FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'student % has no account in use', NEW.student_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_student_active';
    END IF;
    RETURN NEW;
END $$;
