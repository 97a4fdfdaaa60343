-- A person chooses his name, and may choose one that every entry contains (`user_agent`,
-- `integrity`): his erasure would then empty what is known of everybody. Mentions are what
-- staff has written, and nothing else. docs/decisions/0015-erasure.md
SET LOCAL ROLE proctoring_owner;

-- Returns what people have written in a payload of the log, a text in each line; of events
-- what staff and the server report, since what a client reports nobody has written.
CREATE FUNCTION erasure_written(p_payload json) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT concat_ws(chr(10),
        p_payload ->> 'reason', p_payload ->> 'note', p_payload ->> 'previous_note',
        (SELECT string_agg(mark ->> 'comment', chr(10))
           FROM json_array_elements(
                    CASE json_typeof(p_payload -> 'grades')
                    WHEN 'array' THEN p_payload -> 'grades' END) AS grades(mark)),
        (SELECT string_agg(
                    concat_ws(chr(10), event -> 'payload' ->> 'text',
                                       event -> 'payload' ->> 'reason'), chr(10))
           FROM json_array_elements(
                    CASE json_typeof(p_payload -> 'events')
                    WHEN 'array' THEN p_payload -> 'events' END) AS events(event)
          WHERE event ->> 'sequence' IS NULL))
$$;

-- Empties what is personal of an account, of its logins, and of attempts, by class, and
-- what others have written of the person into the attempts `p_mentioned_in`. `p_pattern`
-- is a regular expression for text that mentions the person. With the class `mentions`
-- the reasons of released holds that mention him go as well.
CREATE OR REPLACE PROCEDURE erasure_empty(
    p_user_id uuid, p_session_ids uuid[], p_attempt_ids uuid[], p_classes text[],
    p_pattern text, p_mentioned_in uuid[]
)
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF 'account' = ANY (p_classes) THEN
        UPDATE users
           SET email = 'erased-' || id || '@erased.invalid',
               email_canonical = 'erased-' || id || '@erased.invalid',
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
         WHERE scope LIKE p_user_id || ':%' OR body ~* p_pattern;
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

REVOKE ALL ON FUNCTION erasure_written(json) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erasure_written(json) TO proctoring_app;
