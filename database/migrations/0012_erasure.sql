-- What was recorded of a person can be forgotten, and the log still verifies.
--
-- One function does it, data_erase: it refuses while a case is open, compares the rows
-- with the log, empties them, forgets what the log's entries say, and leaves an entry
-- that names them, all in one transaction. docs/decisions/0015-erasure.md
SET LOCAL ROLE proctoring_audit;

-- As before, but for forgetting: the three columns that a hash only commits to become
-- NULL together, in a function of ours, and nothing else changes.
CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_log'
       AND current_user = 'proctoring_audit' THEN
        OLD.payload := NULL;
        OLD.payload_salt := NULL;
        OLD.state := NULL;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: no %', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- Forgets what the entries say that the payload names, no more and no fewer, and appends
-- the entry with this payload: {"entries": [[first, last], …], "legal_basis": …, …}.
-- Returns "seq:hash" of it.
CREATE FUNCTION audit_redact(
    p_entity_type text, p_entity_id text, p_actor_id text, p_payload text
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named    bigint;
    redacted bigint;
BEGIN
    IF coalesce(btrim(p_payload::json ->> 'legal_basis'), '') = '' THEN
        RAISE EXCEPTION 'nothing is erased without a legal basis'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH wanted AS (
        SELECT generate_series((range ->> 0)::bigint, (range ->> 1)::bigint) AS seq
          FROM json_array_elements(p_payload::json -> 'entries') AS ranges(range)
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
    RETURN public.audit_append_one(
        'data.erased', p_entity_type, p_entity_id, p_actor_id, NULL, p_payload);
END $$;

REVOKE ALL ON FUNCTION audit_redact(text, text, text, text) FROM PUBLIC;
-- Not to the application: it erases through data_erase.
GRANT EXECUTE ON FUNCTION audit_redact(text, text, text, text) TO proctoring_owner;
GRANT SELECT ON audit_log TO proctoring_owner;

SET LOCAL ROLE proctoring_owner;

-- Why something must be kept although somebody asks for its erasure.
CREATE TABLE legal_holds (
    id              uuid        NOT NULL,
    -- One of the three: everything of a person, an attempt, or all of an exam.
    user_id         uuid,
    attempt_id      uuid,
    exam_id         uuid,
    reason          text        NOT NULL,
    placed_by       uuid,
    placed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    released_by     uuid,
    released_at     timestamptz,
    release_reason  text,
    CONSTRAINT legal_holds_pkey PRIMARY KEY (id),
    CONSTRAINT legal_holds_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT legal_holds_attempt_id_fkey
        FOREIGN KEY (attempt_id) REFERENCES attempts (id),
    CONSTRAINT legal_holds_exam_id_fkey
        FOREIGN KEY (exam_id) REFERENCES exams (id) ON DELETE CASCADE,
    CONSTRAINT legal_holds_placed_by_fkey FOREIGN KEY (placed_by) REFERENCES users (id),
    CONSTRAINT legal_holds_released_by_fkey
        FOREIGN KEY (released_by) REFERENCES users (id),
    CONSTRAINT legal_holds_target_check
        CHECK (num_nonnulls(user_id, attempt_id, exam_id) = 1),
    CONSTRAINT legal_holds_reason_check CHECK (char_length(reason) BETWEEN 1 AND 2000),
    CONSTRAINT legal_holds_release_reason_check
        CHECK (char_length(release_reason) BETWEEN 1 AND 2000),
    CONSTRAINT legal_holds_released_check
        CHECK ((released_at IS NULL) = (release_reason IS NULL)
               AND (released_at IS NOT NULL OR released_by IS NULL))
);
CREATE INDEX legal_holds_user_id_idx ON legal_holds (user_id)
    WHERE released_at IS NULL;
CREATE INDEX legal_holds_attempt_id_idx ON legal_holds (attempt_id)
    WHERE released_at IS NULL;
CREATE INDEX legal_holds_exam_id_idx ON legal_holds (exam_id)
    WHERE released_at IS NULL;

-- How long each class of data is kept once nothing needs it. Keeping is the default.
CREATE TABLE retention_rules (
    data_class  text        NOT NULL,
    -- NULL: kept.
    days        integer,
    updated_by  uuid,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The day, UTC, for which all was done.
    applied_on  date,
    CONSTRAINT retention_rules_pkey PRIMARY KEY (data_class),
    CONSTRAINT retention_rules_updated_by_fkey
        FOREIGN KEY (updated_by) REFERENCES users (id),
    CONSTRAINT retention_rules_data_class_check CHECK (data_class IN
        ('event_payloads', 'answers', 'analyses', 'network_addresses', 'accounts')),
    CONSTRAINT retention_rules_days_check CHECK (days BETWEEN 1 AND 36500)
);
INSERT INTO retention_rules (data_class)
VALUES ('event_payloads'), ('answers'), ('analyses'), ('network_addresses'),
       ('accounts');
-- What the retention looks for.
CREATE INDEX attempts_ended_at_idx ON attempts (ended_at) WHERE ended_at IS NOT NULL;

GRANT SELECT, INSERT ON legal_holds TO proctoring_app;
GRANT UPDATE (released_by, released_at, release_reason) ON legal_holds
    TO proctoring_app;
GRANT SELECT ON retention_rules TO proctoring_app;
GRANT UPDATE (days, updated_by, updated_at, applied_on) ON retention_rules
    TO proctoring_app;
GRANT SELECT ON legal_holds, retention_rules TO proctoring_auditor;

-- What a hold says is never changed, but for its release. A reason is emptied when the
-- person whom it is about is erased.
CREATE FUNCTION legal_holds_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF OLD.released_at IS NOT NULL AND current_user <> 'proctoring_owner' THEN
        RAISE EXCEPTION 'hold % was released', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'legal_holds_released';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER legal_holds_guard BEFORE UPDATE ON legal_holds
    FOR EACH ROW EXECUTE FUNCTION legal_holds_guard();

-- What keeps these people's and attempts' data from being erased: (what, which, why).
CREATE FUNCTION erasure_obstacles(p_user_ids uuid[], p_attempt_ids uuid[])
RETURNS TABLE (kind text, id uuid, attempt_id uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog, public AS $$
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
$$;

-- Evidence is added, never changed: but what it says of a person may be emptied.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_user = 'proctoring_owner' THEN
        IF TG_TABLE_NAME = 'proctoring_events' THEN
            OLD.payload := '{}';
        ELSIF TG_TABLE_NAME = 'ai_analyses' THEN
            OLD.result := erased_result(OLD.result);
        END IF;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- What is left of an analysis: how much was observed, and no event or other student.
CREATE FUNCTION erased_result(p_result jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_result || jsonb_build_object(
        'factors', '[]'::jsonb,
        'cohort', coalesce(p_result -> 'cohort', '{}'::jsonb)
                  || '{"factors": [], "similar_attempts": []}'::jsonb)
$$;

CREATE OR REPLACE FUNCTION answers_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.client_version = OLD.client_version
       AND (NEW.response = OLD.response
            OR NEW.response = 'null' AND current_user = 'proctoring_owner') THEN
        RETURN NEW;
    END IF;
    PERFORM 1 FROM attempts WHERE id = NEW.attempt_id AND status = 'in_progress' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % takes no answers', NEW.attempt_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'answers_attempt_running';
    END IF;
    RETURN NEW;
END $$;

-- The lines that the log should have of rows, as they are now; locks them. Each of
-- `p_names` is "table key". Reports are looked for in `p_attempt_ids`: there is no index
-- on their ids alone.
CREATE FUNCTION erasure_lines(p_names text[], p_attempt_ids uuid[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public AS $$
DECLARE
    covered record;
    keys    text[];
    found   text[];
    lines   text[] := '{}';
BEGIN
    FOR covered IN SELECT row_table, row_key FROM audit_catalogue() LOOP
        SELECT array_agg(DISTINCT split_part(name, ' ', 2)) INTO keys
          FROM unnest(p_names) AS names(name)
         WHERE split_part(name, ' ', 1) = covered.row_table;
        CONTINUE WHEN keys IS NULL;
        EXECUTE format(
            'WITH chosen AS (SELECT * FROM public.%I WHERE %s FOR NO KEY UPDATE)'
            ' SELECT array_agg(rtrim(line, chr(10))) FROM (%s) AS lines',
            covered.row_table,
            CASE WHEN covered.row_table = 'proctoring_events'
                     THEN 'attempt_id = ANY ($2) AND batch_id = ANY ($1::uuid[])'
                 WHEN cardinality(covered.row_key) = 1
                     THEN format('%I = ANY ($1::uuid[])', covered.row_key[1])
                 ELSE format('(%I, %I) IN (SELECT split_part(key, ''/'', 1)::uuid,'
                             ' split_part(key, ''/'', 2)::uuid'
                             ' FROM unnest($1) AS keys(key))',
                             covered.row_key[1], covered.row_key[2]) END,
            audit_lines_of(covered.row_table, 'chosen'))
            INTO found USING keys, p_attempt_ids;
        lines := lines || coalesce(found, '{}');
    END LOOP;
    RETURN lines;
END $$;

-- Empties what is personal of an account, of its logins, and of attempts, by class, and
-- what others have written of the person into the attempts `p_mentioned_in`. `p_pattern`
-- is a regular expression for text that mentions the person.
CREATE PROCEDURE erasure_empty(
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
                OR concat(reason, ' ', release_reason) ~* p_pattern);
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
         WHERE attempt_id = ANY (p_mentioned_in)
           AND payload::text ~* p_pattern;
    END IF;
END $$;

-- Erases, or refuses: with constraint erasure_held while a hold, a review or a running
-- attempt needs the data, and with erasure_rows_deviate if a row is not what the log
-- says: the erasure would make somebody's edit the truth. Returns "seq:hash" of the entry.
CREATE FUNCTION data_erase(
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

    -- The rows that are emptied, and those of which the log is about to forget what it
    -- says. What it says is looked for in all of it.
    SELECT array_agg(DISTINCT name) INTO names FROM (
        SELECT split_part(line, ' ', 1) || ' ' || split_part(line, ' ', 2) AS name
          FROM json_array_elements(p_payload::json -> 'entries') AS ranges(range)
          JOIN audit_log AS entry
            ON entry.seq BETWEEN (range ->> 0)::bigint AND (range ->> 1)::bigint,
               unnest(string_to_array(entry.state, chr(10))) AS lines(line)
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
          FROM audit_log, unnest(string_to_array(state, chr(10)))
                              WITH ORDINALITY AS lines(line, place)
          JOIN unnest(names) AS wanted(name)
            ON name = split_part(line, ' ', 1) || ' ' || split_part(line, ' ', 2)
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

REVOKE ALL ON FUNCTION
    erasure_lines(text[], uuid[]), erasure_obstacles(uuid[], uuid[]),
    erased_result(jsonb),
    data_erase(uuid, uuid[], uuid[], text[], text, uuid[], text, text, text, text)
    FROM PUBLIC;
REVOKE ALL ON PROCEDURE erasure_empty(uuid, uuid[], uuid[], text[], text, uuid[])
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    erasure_obstacles(uuid[], uuid[]),
    data_erase(uuid, uuid[], uuid[], text[], text, uuid[], text, text, text, text)
    TO proctoring_app;
