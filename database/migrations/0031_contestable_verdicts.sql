-- What a verdict rests on is kept while it can still be contested.
-- docs/decisions/0020-appeals.md
SET LOCAL ROLE proctoring_owner;

-- As in 0029_appeals.sql, but for verdicts that nobody has contested yet.
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
    UNION ALL
    -- A verdict that can still be contested, too.
    SELECT 'appeal', attempts.id, attempts.id
      FROM attempts
     WHERE attempts.id = ANY (p_attempt_ids) AND review_status = 'confirmed_violation'
       AND statement_timestamp() <= appeal_until(attempts.exam_id, reviewed_at)
       AND NOT EXISTS (SELECT FROM appeals
                        WHERE appeals.attempt_id = attempts.id
                          AND verdict_at = reviewed_at AND appeals.status <> 'withdrawn')
$$;
