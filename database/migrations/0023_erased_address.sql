-- Whoever had registered the address that an erased account gets (erased-…@erased.invalid,
-- with somebody's id) kept that person from being erased. And of what staff had asked for
-- about his attempts under an Idempotency-Key, the answer was kept for a day.
-- docs/decisions/0015-erasure.md
SET LOCAL ROLE proctoring_owner;

-- As in 0020_erased_evidence.sql, but for the two.
CREATE OR REPLACE PROCEDURE erasure_empty(
    p_user_id uuid, p_session_ids uuid[], p_attempt_ids uuid[], p_classes text[],
    p_pattern text, p_mentioned_in uuid[]
)
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
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
    END IF;
END $$;
