-- What the rules of attempts have to remember: how much was reported, which device was
-- displaced, and how much notice was given. And how an ended attempt begins again.
SET LOCAL ROLE proctoring_owner;

ALTER TABLE attempt_activity
    -- Of what a client reported; the server and proctors are not counted.
    ADD COLUMN reported_events integer NOT NULL DEFAULT 0,
    -- The login from which another one took the attempt over, while nothing more has
    -- been heard of it.
    ADD COLUMN displaced_session uuid,
    ADD COLUMN displaced_at timestamptz;
UPDATE attempt_activity
   SET reported_events = least(20000, found.count)
  FROM (SELECT attempt_id, count(*) AS count FROM proctoring_events
         WHERE sequence IS NOT NULL
         GROUP BY attempt_id) AS found
 WHERE found.attempt_id = attempt_activity.attempt_id;
ALTER TABLE attempt_activity
    -- Whoever reports more has nothing more to say, and all of it would be analysed.
    ADD CONSTRAINT attempt_activity_reported_events_check
        CHECK (reported_events BETWEEN 0 AND 20000),
    ADD CONSTRAINT attempt_activity_displaced_session_fkey
        FOREIGN KEY (displaced_session) REFERENCES sessions (id),
    ADD CONSTRAINT attempt_activity_displaced_check
        CHECK ((displaced_session IS NULL) = (displaced_at IS NULL));

-- What keeps a deadline from moving into the past when extra time is taken away.
ALTER TABLE attempts
    ADD COLUMN notice_seconds integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT attempts_notice_seconds_check CHECK (notice_seconds >= 0);

CREATE OR REPLACE FUNCTION attempts_guard() RETURNS trigger
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
    ) AND NOT (
        -- Reopened. What its student has handed in himself stays handed in, and what
        -- was graded is graded anew.
        OLD.status IN ('submitted', 'terminated') AND OLD.ended_by <> 'student'
        AND NEW.status = 'in_progress' AND NEW.score IS NULL
    ) THEN
        RAISE EXCEPTION 'attempt % can not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_status_step';
    END IF;
    RETURN NEW;
END $$;

COMMENT ON COLUMN idempotency_keys.scope IS
    'A login, as user:session; of a caller without one, a keyed hash of his address.';
