-- What a transaction has left of a row stands with the entry that is about it. All of it
-- stood with the first entry: of a hundred attempts that end together, that of one student
-- had digests of the answers of the others, who could be erased and then be guessed.
-- docs/decisions/0015-erasure.md
SET LOCAL ROLE proctoring_audit;

-- Deals the notes of a transaction out to its entries: each line to the first entry of this
-- entity, else to the first of this attempt, else to the first. Lines of one row stay
-- together and in their order. An element is NULL for an entry without any.
CREATE FUNCTION audit_states(
    p_noted text, p_entity_ids text[], p_attempt_ids uuid[]
) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH entries AS (
        SELECT entity_id, attempt_id::text, number, count(*) OVER () AS size
          FROM unnest(p_entity_ids, p_attempt_ids)
               WITH ORDINALITY AS entry(entity_id, attempt_id, number)
    ), subjects AS (
        -- An entity comes before any attempt.
        SELECT key, min(place) AS place
          FROM (SELECT entity_id AS key, number AS place FROM entries
                UNION ALL
                SELECT attempt_id, size + number FROM entries) AS named
         GROUP BY key
    ), dealt AS (
        SELECT coalesce((subjects.place - 1) % cardinality(p_entity_ids) + 1, 1) AS number,
               string_agg(line || chr(10), '' ORDER BY lines.place) AS state
          FROM unnest(string_to_array(p_noted, chr(10))) WITH ORDINALITY
               AS lines(line, place)
          LEFT JOIN subjects ON key = split_part(split_part(line, ' ', 2), '/', 1)
         WHERE line <> ''
         GROUP BY 1
    )
    SELECT array_agg(state ORDER BY number)
      FROM entries LEFT JOIN dealt USING (number)
$$;
REVOKE ALL ON FUNCTION audit_states(text, text[], uuid[]) FROM PUBLIC;

-- As in 0007_domain_rows.sql, but for audit_states.
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
    states         text[];
    state_hashes   bytea[]          := '{}';
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
    states := public.audit_states(noted, p_entity_ids, p_attempt_ids);
    FOR i IN 1 .. entries LOOP
        state_hashes[i] := public.audit_state_hash(salts[i], states[i]);
    END LOOP;

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
            payload_hashes[i], state_hashes[i], subjects[i]);
        INSERT INTO public.audit_log (
            seq, recorded_at, xid, flags, schema_version, event_type, entity_type,
            entity_id, actor_id, attempt_id, payload, payload_salt, payload_hash,
            state_hash, previous_hash, hash, state)
        VALUES (
            next_seq_, entry_time, transaction_id, entry_flags, 1, p_event_types[i],
            p_entity_types[i], p_entity_ids[i], p_actor_ids[i], p_attempt_ids[i],
            p_payloads[i], salts[i], payload_hashes[i], state_hashes[i], last_hash,
            entry_hash, states[i]);
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
