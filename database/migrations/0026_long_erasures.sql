-- An erasure may name more entries than the payload of one entry can list: then several
-- entries record it. It was refused, and with it all retention, for ever.
--
-- Whoever erases what is said of logins looks for holds on their people, under the lock that
-- keeps new ones away; and finds the rows of others of whom an entry speaks, too.
-- docs/decisions/0015-erasure.md
SET LOCAL ROLE proctoring_audit;

-- As the function of one payload in 0012_erasure.sql. Forgets what the entries say that
-- the payloads name, all together, and appends an entry for each payload.
CREATE FUNCTION audit_redact(
    p_entity_type text, p_entity_id text, p_actor_id text, p_payloads text[]
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named    bigint;
    redacted bigint;
    payload_ text;
    appended text;
BEGIN
    IF coalesce(cardinality(p_payloads), 0) = 0 OR EXISTS (
        SELECT FROM unnest(p_payloads) AS payloads(payload)
         WHERE coalesce(btrim(payload::json ->> 'legal_basis'), '') = ''
    ) THEN
        RAISE EXCEPTION 'nothing is erased without a legal basis'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH wanted AS (
        SELECT generate_series((range ->> 0)::bigint, (range ->> 1)::bigint) AS seq
          FROM unnest(p_payloads) AS payloads(payload),
               json_array_elements(payload::json -> 'entries') AS ranges(range)
    ), changed AS (
        UPDATE public.audit_log AS entry
           SET payload = NULL, payload_salt = NULL, state = NULL
          FROM wanted
         WHERE entry.seq = wanted.seq AND entry.seq > 0 AND entry.payload IS NOT NULL
           -- What the log says of itself, and of what was erased, is kept.
           AND entry.event_type NOT LIKE 'log.%' AND entry.event_type <> 'data.erased'
        RETURNING entry.seq
    )
    SELECT (SELECT count(*) FROM wanted), (SELECT count(*) FROM changed)
      INTO named, redacted;
    IF redacted <> named THEN
        -- Somebody else erased them meanwhile: who looks again finds the others.
        RAISE EXCEPTION '% of % entries can not be erased', named - redacted, named
            USING ERRCODE = 'serialization_failure';
    END IF;
    FOREACH payload_ IN ARRAY p_payloads LOOP
        appended := public.audit_append_one(
            'data.erased', p_entity_type, p_entity_id, p_actor_id, NULL, payload_);
    END LOOP;
    RETURN appended;
END $$;
REVOKE ALL ON FUNCTION audit_redact(text, text, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_redact(text, text, text, text[]) TO proctoring_owner;

CREATE OR REPLACE FUNCTION audit_redact(
    p_entity_type text, p_entity_id text, p_actor_id text, p_payload text
) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT public.audit_redact(p_entity_type, p_entity_id, p_actor_id, ARRAY[p_payload])
$$;

SET LOCAL ROLE proctoring_owner;

-- As in 0020_erased_evidence.sql, but for several payloads, whom entries are about, and
-- where reports are looked for.
CREATE FUNCTION data_erase(
    p_user_id uuid, p_session_ids uuid[], p_attempt_ids uuid[], p_classes text[],
    p_pattern text, p_mentioned_in uuid[], p_entity_type text, p_entity_id text,
    p_actor_id text, p_payloads text[]
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    noted       constant text := current_setting('proctoring.noted', true);
    entries     bigint[];
    attempt_ids uuid[];
    people      uuid[];
    names       text[];
    looked_in   uuid[];
    said        text[];
    deviating   text;
BEGIN
    -- Nobody places a hold between our look and our commit, and one erases at a time.
    LOCK TABLE legal_holds IN SHARE ROW EXCLUSIVE MODE;
    PERFORM 1 FROM users WHERE id = p_user_id FOR UPDATE;
    -- Those of the entries too: others' entries may mention the person, and what is said
    -- of logins is of somebody without any of his rows being named.
    SELECT array_agg(entry.seq), array_agg(DISTINCT entry.attempt_id),
           array_agg(DISTINCT CASE WHEN concerned ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                   THEN concerned::uuid END)
      INTO entries, attempt_ids, people
      FROM unnest(p_payloads) AS payloads(payload),
           json_array_elements(payload::json -> 'entries') AS ranges(range),
           generate_series((range ->> 0)::bigint, (range ->> 1)::bigint) AS numbers(number)
      JOIN audit_log AS entry ON seq = number,
           LATERAL (SELECT CASE entry.entity_type WHEN 'user' THEN entry.entity_id::text
                                                  WHEN 'session' THEN entry.actor_id::text
                           END AS concerned) AS about;
    attempt_ids := array_remove(attempt_ids, NULL) || p_attempt_ids || p_mentioned_in;
    people := array_remove(people, NULL) || p_user_id
              || ARRAY(SELECT user_id FROM sessions WHERE id = ANY (p_session_ids));
    PERFORM 1 FROM attempts WHERE id = ANY (attempt_ids) ORDER BY id FOR UPDATE;
    IF EXISTS (SELECT FROM erasure_obstacles(
                   people,
                   attempt_ids || ARRAY(SELECT id FROM attempts
                                         WHERE student_id = ANY (people)))) THEN
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
          FROM audit_log,
               unnest(string_to_array(state::text, chr(10))) AS lines(line)
         WHERE seq = ANY (entries) AND line <> ''
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
    -- An entry of before 0025_states_of_entries.sql may speak of others who ended with him.
    looked_in := attempt_ids || ARRAY(
        SELECT DISTINCT split_part(split_part(name, ' ', 2), '/', 1)::uuid
          FROM unnest(names) AS ids(name)
         WHERE split_part(name, ' ', 1) IN ('attempts', 'answers'));
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
          FULL JOIN unnest(erasure_lines(names, looked_in)) AS there(line)
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
                         FROM (SELECT unnest(erasure_lines(names, looked_in))
                               UNION ALL
                               SELECT line FROM unnest(said) AS deleted(line)
                                WHERE line LIKE '% 0 -') AS lines(line))), true);
    RETURN audit_redact(p_entity_type, p_entity_id, p_actor_id, p_payloads);
END $$;
REVOKE ALL ON FUNCTION
    data_erase(uuid, uuid[], uuid[], text[], text, uuid[], text, text, text, text[])
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    data_erase(uuid, uuid[], uuid[], text[], text, uuid[], text, text, text, text[])
    TO proctoring_app;

-- For processes that were started before this migration.
CREATE OR REPLACE FUNCTION data_erase(
    p_user_id uuid, p_session_ids uuid[], p_attempt_ids uuid[], p_classes text[],
    p_pattern text, p_mentioned_in uuid[], p_entity_type text, p_entity_id text,
    p_actor_id text, p_payload text
) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT public.data_erase(p_user_id, p_session_ids, p_attempt_ids, p_classes,
                             p_pattern, p_mentioned_in, p_entity_type, p_entity_id,
                             p_actor_id, ARRAY[p_payload])
$$;
