-- What was erased while 0020_erased_evidence.sql looked for what had been erased: it had
-- no lock. Meanwhile nothing is erased, and what waits is erased by the new rules. And
-- answers that are gone wait for nobody's points.
SET LOCAL ROLE proctoring_owner;

-- As in 0020_erased_evidence.sql, but for answers that are there.
CREATE OR REPLACE FUNCTION erasure_ungraded(p_attempt_ids uuid[])
RETURNS TABLE (attempt_id uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog, public AS $$
    SELECT id FROM attempts
     WHERE id = ANY (p_attempt_ids) AND score IS NULL
       AND status IN ('submitted', 'terminated')
       AND EXISTS (SELECT FROM answers
                    WHERE answers.attempt_id = attempts.id
                      AND points_awarded IS NULL AND response <> 'null')
$$;

LOCK TABLE legal_holds IN SHARE ROW EXCLUSIVE MODE;
UPDATE attempt_activity
   SET is_evidence_erased = true, displaced_session = NULL, displaced_at = NULL,
       refused_digest = NULL
 WHERE NOT is_evidence_erased AND attempt_id IN (
       SELECT attempts.id
         FROM audit_log JOIN attempts ON attempts.id = audit_log.attempt_id
        WHERE payload IS NULL AND actor_id = student_id::text
          AND event_type IN ('attempt.answers_saved', 'attempt.submitted',
                             'proctoring.events_recorded'));
