-- The steps of a review are the database's too, and a second review is somebody else's.
-- docs/decisions/0007-attempt-rules.md
SET LOCAL ROLE proctoring_owner;

CREATE FUNCTION attempts_review_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
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
    ) THEN
        RAISE EXCEPTION 'the review of attempt % can not go from % to %',
            OLD.id, OLD.review_status, NEW.review_status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempts_review_step';
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

CREATE TRIGGER attempts_review_guard
    BEFORE UPDATE OF review_status, reviewed_by ON attempts
    FOR EACH ROW EXECUTE FUNCTION attempts_review_guard();
