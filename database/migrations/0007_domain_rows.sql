-- The rows of other tables are covered by the log: whoever changes, adds or removes one
-- of them with SQL, and leaves the log alone, is found by `verify --deep`.
--
-- Triggers note what a transaction has left of every row that it touched, and the append
-- at its end commits to the notes. docs/decisions/0012-domain-rows.md
SET LOCAL ROLE proctoring_audit;

CREATE DOMAIN audit_state AS text
    CONSTRAINT audit_state_check CHECK (octet_length(VALUE) <= 67108864);
-- A line for each row that changed: table, key, number of rows, and the SHA-256 of what
-- they are afterwards. Of one row the last line counts. It is NULL when no protected row
-- changed, and once the payload has been redacted.
ALTER TABLE audit_log ADD COLUMN state audit_state;

CREATE FUNCTION audit_state_hash(p_salt bytea, p_state text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_state IS NULL THEN decode(repeat('00', 32), 'hex')
                ELSE sha256(E'PROCTORAUDIT/s1\\012'::bytea || p_salt
                            || int8send(octet_length(p_state)::bigint)
                            || convert_to(p_state, 'UTF8')) END
$$;

-- Appends entries, numbered without a gap in the order of the arrays, and returns the
-- number of the first. Who calls it waits for whoever called it before to commit, so it
-- is the last statement of a transaction (docs/decisions/0002-fast-commit.md). The
-- setting proctoring.appended tells the caller "first seq:last hash" after the commit.
-- The first of them gets the notes.
CREATE OR REPLACE FUNCTION audit_append(
    p_event_types text[], p_entity_types text[], p_entity_ids text[],
    p_actor_ids text[], p_attempt_ids uuid[], p_payloads text[]
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Statistics of a table of one row tell the planner to read all of it.
SET enable_seqscan = off
AS $$
DECLARE
    entries        constant integer := coalesce(cardinality(p_event_types), 0);
    transaction_id constant bigint  := pg_current_xact_id()::text::bigint;
    noted          constant text    :=
        nullif(current_setting('proctoring.noted', true), '');
    -- 122 random bits, without an extension. It is not kept: who erases an entry's salt
    -- leaves nobody able to make it again.
    seed           constant bytea   := uuid_send(gen_random_uuid());
    salts          bytea[]          := '{}';
    payload_hashes bytea[]          := '{}';
    subjects       bytea[]          := '{}';
    state_         text;
    state_hash_    bytea;
    first_seq      bigint;
    next_seq_      bigint;
    last_hash      bytea;
    last_time      timestamptz;
    log_id_        bytea;
    entry_time     timestamptz;
    entry_flags    smallint;
    entry_hash     bytea;
BEGIN
    IF entries = 0
       OR cardinality(p_entity_types) IS DISTINCT FROM entries
       OR cardinality(p_entity_ids) IS DISTINCT FROM entries
       OR cardinality(p_actor_ids) IS DISTINCT FROM entries
       OR cardinality(p_attempt_ids) IS DISTINCT FROM entries
       OR cardinality(p_payloads) IS DISTINCT FROM entries THEN
        RAISE EXCEPTION 'the arrays must have one length, which is not 0'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- All that does not depend on the predecessor is done before anybody has to wait.
    FOR i IN 1 .. entries LOOP
        IF json_typeof(p_payloads[i]::json) IS DISTINCT FROM 'object' THEN
            RAISE EXCEPTION 'payload % is not a JSON object', i
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        salts[i] := sha256(seed || int4send(i));
        payload_hashes[i] := public.audit_payload_hash(salts[i], p_payloads[i]);
        subjects[i] := public.audit_subject(
            p_attempt_ids[i]::text, p_actor_ids[i], p_event_types[i], p_entity_types[i],
            p_entity_ids[i]);
    END LOOP;
    state_ := noted;
    state_hash_ := public.audit_state_hash(salts[1], noted);

    -- A statement of its own: only the next one sees what the lock was waiting for.
    SELECT next_seq, hash, recorded_at, log_id
      INTO next_seq_, last_hash, last_time, log_id_
      FROM public.audit_head ORDER BY next_seq DESC LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the audit log has no head: see audit_initialize'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    first_seq := next_seq_;
    FOR i IN 1 .. entries LOOP
        entry_time := clock_timestamp();
        entry_flags := 0;
        IF entry_time < last_time THEN
            entry_time := last_time;
            entry_flags := 1;
        END IF;
        entry_hash := public.audit_hash(
            log_id_, next_seq_, last_hash, entry_time, transaction_id, entry_flags, 1,
            payload_hashes[i], state_hash_, subjects[i]);
        INSERT INTO public.audit_log (
            seq, recorded_at, xid, flags, schema_version, event_type, entity_type,
            entity_id, actor_id, attempt_id, payload, payload_salt, payload_hash,
            state_hash, previous_hash, hash, state)
        VALUES (
            next_seq_, entry_time, transaction_id, entry_flags, 1, p_event_types[i],
            p_entity_types[i], p_entity_ids[i], p_actor_ids[i], p_attempt_ids[i],
            p_payloads[i], salts[i], payload_hashes[i], state_hash_, last_hash, entry_hash,
            state_);
        IF i = 1 THEN
            state_ := NULL;
            state_hash_ := public.audit_state_hash(NULL, NULL);
        END IF;
        next_seq_ := next_seq_ + 1;
        last_hash := entry_hash;
        last_time := entry_time;
    END LOOP;
    -- Once: a row that is updated n times in one transaction takes n steps to read.
    UPDATE public.audit_head
       SET next_seq = next_seq_, hash = last_hash, recorded_at = last_time
     WHERE next_seq = first_seq;
    PERFORM set_config(
        'proctoring.appended', first_seq || ':' || encode(last_hash, 'hex'), false);
    PERFORM set_config('proctoring.noted', '', true);
    RETURN first_seq;
END $$;

-- Does for one entry what audit_append does for many, and returns "seq:hash" of it.
-- Whoever appends keeps all writers waiting and, where the disk is fast, is what they
-- wait for: without arrays and loops, and with three statements in the place of twenty
-- expressions that are each set up anew in every transaction, it takes a third less.
CREATE OR REPLACE FUNCTION audit_append_one(
    p_event_type text, p_entity_type text, p_entity_id text, p_actor_id text,
    p_attempt_id uuid, p_payload text
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Statistics of a table of one row tell the planner to read all of it.
SET enable_seqscan = off
AS $$
DECLARE
    prepared record;
    head     record;
    entry    record;
    appended text;
BEGIN
    -- All that does not depend on the predecessor is done before anybody has to wait.
    -- OFFSET 0 keeps a volatile expression from being copied to where it is used.
    SELECT salt, public.audit_payload_hash(salt, p_payload) AS payload_hash,
           state, public.audit_state_hash(salt, state) AS state_hash,
           public.audit_subject(p_attempt_id::text, p_actor_id, p_event_type,
                                p_entity_type, p_entity_id) AS subject,
           pg_current_xact_id()::text::bigint AS xid,
           json_typeof(p_payload::json) AS payload_type
      INTO prepared
      FROM (SELECT sha256(uuid_send(gen_random_uuid())) AS salt,
                   nullif(current_setting('proctoring.noted', true), '') AS state
            OFFSET 0) AS random;
    IF prepared.payload_type IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the payload is not a JSON object'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- A statement of its own: only the next one sees what the lock was waiting for.
    SELECT next_seq, hash, recorded_at, log_id INTO head
      FROM public.audit_head ORDER BY next_seq DESC LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the audit log has no head: see audit_initialize'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO public.audit_log (
        seq, recorded_at, xid, flags, schema_version, event_type, entity_type,
        entity_id, actor_id, attempt_id, payload, payload_salt, payload_hash,
        state_hash, previous_hash, hash, state)
    SELECT head.next_seq, entry_time, prepared.xid, entry_flags, 1, p_event_type,
           p_entity_type, p_entity_id, p_actor_id, p_attempt_id, p_payload,
           prepared.salt, prepared.payload_hash, prepared.state_hash, head.hash,
           public.audit_hash(
               head.log_id, head.next_seq, head.hash, entry_time, prepared.xid,
               entry_flags, 1, prepared.payload_hash, prepared.state_hash,
               prepared.subject),
           prepared.state
      FROM (SELECT greatest(read_time, head.recorded_at) AS entry_time,
                   (read_time < head.recorded_at)::integer::smallint AS entry_flags
              FROM (SELECT clock_timestamp() AS read_time OFFSET 0) AS clock
            OFFSET 0) AS timed
    RETURNING recorded_at, hash INTO entry;
    UPDATE public.audit_head
       SET next_seq = head.next_seq + 1, hash = entry.hash,
           recorded_at = entry.recorded_at
     WHERE next_seq = head.next_seq
    RETURNING set_config('proctoring.appended',
                         head.next_seq || ':' || encode(entry.hash, 'hex'), false)
      INTO appended;
    IF prepared.state IS NOT NULL THEN
        PERFORM set_config('proctoring.noted', '', true);
    END IF;
    RETURN appended;
END $$;

REVOKE ALL ON FUNCTION audit_state_hash(bytea, text) FROM PUBLIC;

-- Which tables are protected: the key that a line names, the order in which the rows of
-- one key are hashed, and the columns. Events have the key of the report that brought
-- them, so that a hundred of them are one line: nothing ever changes a part of a report.
-- models/protected_rows.py says the same for whoever verifies, and tests compare the two.
SET LOCAL ROLE proctoring_owner;

CREATE FUNCTION audit_catalogue() RETURNS TABLE (
    row_table text, row_key text[], row_order text, row_columns text[]
)
LANGUAGE sql IMMUTABLE AS $$
    VALUES
    ('users', ARRAY['id'], 'id', ARRAY[
        'id', 'email', 'email_canonical', 'full_name', 'role', 'password_hash',
        'must_change_password', 'is_active', 'created_at', 'updated_at']),
    ('exams', ARRAY['id'], 'id', ARRAY[
        'id', 'title', 'description', 'instructions', 'duration_minutes', 'starts_at',
        'ends_at', 'passing_score_percent', 'shuffle_questions', 'shuffle_options',
        'max_attempts', 'status', 'proctoring', 'version', 'frozen_at', 'created_by',
        'created_at', 'updated_at']),
    ('exam_proctors', ARRAY['exam_id', 'proctor_id'], 'exam_id', ARRAY[
        'exam_id', 'proctor_id', 'assigned_at']),
    ('questions', ARRAY['id'], 'id', ARRAY[
        'id', 'exam_id', 'position', 'kind', 'text', 'points', 'body', 'answer_key']),
    ('exam_assignments', ARRAY['exam_id', 'student_id'], 'exam_id', ARRAY[
        'exam_id', 'student_id', 'extra_time_minutes', 'time_multiplier',
        'assigned_at']),
    ('attempts', ARRAY['id'], 'id', ARRAY[
        'id', 'exam_id', 'student_id', 'attempt_number', 'status', 'started_at',
        'deadline_at', 'paused_at', 'paused_seconds', 'extended_seconds', 'ended_at',
        'ended_by', 'end_reason', 'held_by_session', 'layout', 'score', 'max_score',
        'is_passed', 'review_status', 'review_note', 'reviewed_by', 'reviewed_at',
        'notice_seconds']),
    ('answers', ARRAY['attempt_id', 'question_id'], 'attempt_id', ARRAY[
        'attempt_id', 'exam_id', 'question_id', 'response', 'client_version',
        'first_saved_at', 'saved_at', 'points_awarded', 'grader_comment', 'graded_by']),
    ('proctoring_events', ARRAY['batch_id'], 'id', ARRAY[
        'id', 'attempt_id', 'batch_id', 'client_event_id', 'sequence', 'event_type',
        'event_class', 'severity', 'occurred_at', 'received_at', 'payload']),
    ('ai_analyses', ARRAY['id'], 'id', ARRAY[
        'id', 'attempt_id', 'model_version', 'is_official', 'risk_score', 'risk_level',
        'confidence', 'result', 'inputs_hash', 'created_at'])
$$;

-- The query for the lines of the rows in `p_rows`. record_send writes a row as binary
-- COPY does, each column behind its type and its length: no setting of a session matters,
-- no boundary can be moved, and NULL is not ''.
CREATE FUNCTION audit_lines_of(p_table text, p_rows text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format(
        $query$SELECT concat('%s ', concat_ws('/', %s), ' ', count(*), ' ',
                      encode(sha256(string_agg(record_send(ROW(%s)), ''::bytea
                                               ORDER BY %I)), 'hex'), E'\n') AS line
          FROM %I GROUP BY %s$query$,
        row_table, array_to_string(row_key, ', '),
        (SELECT string_agg(quote_ident(name), ', ' ORDER BY place)
           FROM unnest(row_columns) WITH ORDINALITY AS columns(name, place)),
        row_order, p_rows, array_to_string(row_key, ', '))
      FROM audit_catalogue() WHERE row_table = p_table
$$;

-- Makes the triggers that the catalogue asks for. They run once a statement: what they
-- cost then hardly depends on how many rows there are.
CREATE PROCEDURE audit_cover()
LANGUAGE plpgsql AS $$
DECLARE
    covered record;
    change  record;
BEGIN
    FOR covered IN SELECT row_table, row_key FROM audit_catalogue() LOOP
        EXECUTE format($function$
            CREATE OR REPLACE FUNCTION audit_note_%1$s() RETURNS trigger
            LANGUAGE plpgsql AS $body$
            DECLARE
                noted text;
            BEGIN
                IF TG_OP = 'DELETE' THEN
                    SELECT string_agg(line, '') INTO noted FROM (
                        SELECT DISTINCT concat('%1$s ', concat_ws('/', %2$s), E' 0 -\n')
                                        AS line
                          FROM changed) AS lines;
                ELSE
                    SELECT string_agg(line, '') INTO noted FROM (
                        %3$s) AS lines;
                END IF;
                IF noted IS NOT NULL THEN
                    PERFORM set_config(
                        'proctoring.noted',
                        concat(current_setting('proctoring.noted', true), noted), true);
                END IF;
                RETURN NULL;
            END $body$ $function$,
            covered.row_table, array_to_string(covered.row_key, ', '),
            audit_lines_of(covered.row_table, 'changed'));
        FOR change IN
            SELECT * FROM (VALUES ('INSERT', 'NEW'), ('UPDATE', 'NEW'), ('DELETE', 'OLD'))
                          AS changes(kind, rows)
        LOOP
            EXECUTE format(
                'DROP TRIGGER IF EXISTS audit_note_%2$s ON %1$I;'
                ' CREATE TRIGGER audit_note_%2$s AFTER %3$s ON %1$I'
                ' REFERENCING %4$s TABLE AS changed'
                ' FOR EACH STATEMENT EXECUTE FUNCTION audit_note_%1$s()',
                covered.row_table, lower(change.kind), change.kind, change.rows);
        END LOOP;
    END LOOP;
END $$;

-- States all rows of a table anew: for those that were there before it was covered, and
-- for all when its columns change. Nothing but a migration does this: whatever somebody
-- has done to the rows in secret is from then on what the log says.
CREATE PROCEDURE audit_state_table(p_table text)
LANGUAGE plpgsql AS $$
DECLARE
    chunk record;
BEGIN
    FOR chunk IN EXECUTE format(
        'SELECT string_agg(line, '''') AS lines, count(*) AS keys FROM ('
        ' SELECT line, row_number() OVER (ORDER BY line) / 10000 AS number'
        '   FROM (%s) AS lines) AS numbered GROUP BY number ORDER BY number',
        audit_lines_of(p_table, p_table))
    LOOP
        PERFORM set_config('proctoring.noted', chunk.lines, true);
        PERFORM audit_append_one(
            'log.rows_stated', 'table', p_table, 'system', NULL,
            format('{"keys":%s,"table":"%s"}', chunk.keys, p_table));
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION audit_catalogue(), audit_lines_of(text, text) FROM PUBLIC;
REVOKE ALL ON PROCEDURE audit_cover(), audit_state_table(text) FROM PUBLIC;
CALL audit_cover();

RESET ROLE;
DO $$
DECLARE
    covered record;
BEGIN
    FOR covered IN SELECT row_table FROM audit_catalogue() LOOP
        CALL audit_state_table(covered.row_table);
    END LOOP;
END $$;
