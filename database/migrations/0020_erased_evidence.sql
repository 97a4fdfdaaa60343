-- What an attempt was judged by may be erased: its answers, or what its events say. Judged
-- again, it would be by what is left, and look innocent; graded, it would be worth nothing.
-- docs/decisions/0015-erasure.md
SET LOCAL ROLE proctoring_owner;

-- Looked for before anything is locked: it reads all of the log.
CREATE TEMPORARY TABLE erased_before ON COMMIT DROP AS
SELECT DISTINCT attempts.id
  FROM audit_log JOIN attempts ON attempts.id = audit_log.attempt_id
 WHERE payload IS NULL AND actor_id = student_id::text
   AND event_type IN ('attempt.answers_saved', 'attempt.submitted',
                      'proctoring.events_recorded');

ALTER TABLE attempt_activity
    ADD COLUMN is_evidence_erased boolean NOT NULL DEFAULT false;
UPDATE attempt_activity SET is_evidence_erased = true
 WHERE attempt_id IN (SELECT id FROM erased_before);
-- An erasure has left these behind.
UPDATE attempt_activity
   SET displaced_session = NULL, displaced_at = NULL, refused_digest = NULL
 WHERE displaced_session IS NOT NULL AND is_evidence_erased;

-- An analysis under way does not keep what is being erased.
CREATE FUNCTION ai_analyses_insert_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    -- An erasure locks the attempt first.
    PERFORM 1 FROM attempts WHERE id = NEW.attempt_id FOR KEY SHARE;
    PERFORM 1 FROM attempt_activity
      WHERE attempt_id = NEW.attempt_id AND is_evidence_erased;
    IF FOUND THEN
        RAISE EXCEPTION 'what attempt % was judged by was erased', NEW.attempt_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ai_analyses_evidence_erased';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ai_analyses_insert_guard BEFORE INSERT ON ai_analyses
    FOR EACH ROW EXECUTE FUNCTION ai_analyses_insert_guard();

-- Those of the attempts whose points nobody can award without their answers.
CREATE FUNCTION erasure_ungraded(p_attempt_ids uuid[]) RETURNS TABLE (attempt_id uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog, public AS $$
    SELECT id FROM attempts
     WHERE id = ANY (p_attempt_ids) AND score IS NULL
       AND status IN ('submitted', 'terminated')
$$;
REVOKE ALL ON FUNCTION erasure_ungraded(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erasure_ungraded(uuid[]) TO proctoring_app;

-- As in 0017_mentions.sql, but for attempt_activity.
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

-- As in 0017_mentions.sql, but for erasure_ungraded.
-- What the log says of the rows is that of its numbered entries, read by PostgreSQL's own
-- function: a row without a number, or a function that takes exactly the column's type,
-- would else speak for a row that somebody has edited, and the erasure would state it.
-- Erases, or refuses: with constraint erasure_held while a hold, a review or a running
-- attempt needs the data, with erasure_ungraded while answers have yet to be graded, and
-- with erasure_rows_deviate if a row is not what the log
-- says: the erasure would make somebody's edit the truth. Returns "seq:hash" of the entry.
CREATE OR REPLACE FUNCTION data_erase(
    p_user_id uuid, p_session_ids uuid[], p_attempt_ids uuid[], p_classes text[],
    p_pattern text, p_mentioned_in uuid[], p_entity_type text, p_entity_id text,
    p_actor_id text, p_payload text
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    noted       constant text := current_setting('proctoring.noted', true);
    attempt_ids uuid[];
    names       text[];
    said        text[];
    deviating   text;
BEGIN
    -- Nobody places a hold between our look and our commit, and one erases at a time.
    LOCK TABLE legal_holds IN SHARE ROW EXCLUSIVE MODE;
    PERFORM 1 FROM users WHERE id = p_user_id FOR UPDATE;
    -- Those of the entries too: others' entries may mention the person.
    SELECT array_agg(DISTINCT entry.attempt_id) INTO attempt_ids
      FROM json_array_elements(p_payload::json -> 'entries') AS ranges(range)
      JOIN audit_log AS entry
        ON entry.seq BETWEEN (range ->> 0)::bigint AND (range ->> 1)::bigint
     WHERE entry.attempt_id IS NOT NULL;
    attempt_ids := coalesce(attempt_ids, '{}') || p_attempt_ids || p_mentioned_in;
    PERFORM 1 FROM attempts WHERE id = ANY (attempt_ids) ORDER BY id FOR UPDATE;
    IF EXISTS (SELECT FROM erasure_obstacles(
                   ARRAY(SELECT user_id FROM sessions WHERE id = ANY (p_session_ids))
                   || p_user_id, attempt_ids)) THEN
        RAISE EXCEPTION 'the data are needed'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'erasure_held';
    END IF;
    IF 'answers' = ANY (p_classes)
       AND EXISTS (SELECT FROM erasure_ungraded(p_attempt_ids)) THEN
        RAISE EXCEPTION 'the answers have yet to be graded'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'erasure_ungraded';
    END IF;

    -- The rows that are emptied, and those of which the log is about to forget what it
    -- says. What it says is looked for in all of it.
    SELECT array_agg(DISTINCT name) INTO names FROM (
        SELECT split_part(line, ' ', 1) || ' ' || split_part(line, ' ', 2) AS name
          FROM json_array_elements(p_payload::json -> 'entries') AS ranges(range)
          JOIN audit_log AS entry
            ON entry.seq BETWEEN (range ->> 0)::bigint AND (range ->> 1)::bigint,
               unnest(string_to_array(entry.state::text, chr(10))) AS lines(line)
         WHERE line <> ''
        UNION ALL
        SELECT 'users ' || p_user_id
         WHERE p_user_id IS NOT NULL AND 'account' = ANY (p_classes)
        UNION ALL
        SELECT 'attempts ' || id FROM unnest(p_attempt_ids || p_mentioned_in) AS ids(id)
         WHERE 'notes' = ANY (p_classes)
        UNION ALL
        SELECT 'answers ' || attempt_id || '/' || question_id FROM answers
         WHERE attempt_id = ANY (p_attempt_ids) AND 'answers' = ANY (p_classes)
            OR attempt_id = ANY (p_mentioned_in) AND 'notes' = ANY (p_classes)
        UNION ALL
        SELECT 'proctoring_events ' || batch_id FROM proctoring_events
         WHERE attempt_id = ANY (p_attempt_ids) AND 'event_payloads' = ANY (p_classes)
            OR attempt_id = ANY (p_mentioned_in) AND 'notes' = ANY (p_classes)
        UNION ALL
        SELECT 'ai_analyses ' || id FROM ai_analyses
         WHERE attempt_id = ANY (p_attempt_ids) AND 'analyses' = ANY (p_classes)
    ) AS wanted;
    SELECT array_agg(line) INTO said FROM (
        SELECT DISTINCT ON (name) line
          FROM audit_log, unnest(string_to_array(state::text, chr(10)))
                              WITH ORDINALITY AS lines(line, place)
          JOIN unnest(names) AS wanted(name)
            ON name = split_part(line, ' ', 1) || ' ' || split_part(line, ' ', 2)
         WHERE seq >= 0
         ORDER BY name, seq DESC, place DESC) AS newest;
    SELECT string_agg(split_part(line, ' ', 1) || ' ' || split_part(line, ' ', 2), ', ')
      INTO deviating FROM (
        SELECT coalesce(stated.line, there.line) AS line
          FROM (SELECT line FROM unnest(said) AS lines(line)
                 WHERE line NOT LIKE '% 0 -') AS stated
          FULL JOIN unnest(erasure_lines(names, attempt_ids)) AS there(line)
               ON stated.line = there.line
         WHERE stated.line IS NULL OR there.line IS NULL LIMIT 5) AS differing;
    IF deviating IS NOT NULL THEN
        RAISE EXCEPTION 'the log says otherwise of %', deviating
            USING ERRCODE = 'check_violation', CONSTRAINT = 'erasure_rows_deviate';
    END IF;

    CALL erasure_empty(p_user_id, p_session_ids, p_attempt_ids, p_classes, p_pattern,
                       p_mentioned_in);
    -- In the place of the triggers' notes, which know of no row that only its entry
    -- has lost.
    PERFORM set_config(
        'proctoring.noted',
        concat(noted, (SELECT string_agg(line || chr(10), '' ORDER BY line)
                         FROM (SELECT unnest(erasure_lines(names, attempt_ids))
                               UNION ALL
                               SELECT line FROM unnest(said) AS deleted(line)
                                WHERE line LIKE '% 0 -') AS lines(line))), true);
    RETURN audit_redact(p_entity_type, p_entity_id, p_actor_id, p_payload);
END $$;
