-- The audit log: one append-only chain of hashed entries.
--
-- docs/audit-log.md says what it proves and what it can not; the bytes that are hashed
-- stand in docs/decisions/0003-audit-entry-layout.md. utils/blockchain_hasher.py makes
-- the same bytes, independently, and tests compare the two.
SET LOCAL ROLE proctoring_audit;

-- The log is hashed as UTF-8 whatever a client speaks, and counted in its bytes.
DO $$
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'the database must be encoded in UTF8, not %',
            getdatabaseencoding();
    END IF;
END $$;

-- Rules about one column are domains. A CHECK of the table is parsed anew by every
-- INSERT statement (3 microseconds each, measured), and all writers wait for this one.
CREATE DOMAIN audit_digest AS bytea
    CONSTRAINT audit_digest_check CHECK (octet_length(VALUE) = 32);
CREATE DOMAIN audit_log_id AS bytea
    CONSTRAINT audit_log_id_check CHECK (octet_length(VALUE) = 16);
CREATE DOMAIN audit_seq AS bigint CONSTRAINT audit_seq_check CHECK (VALUE >= 0);
CREATE DOMAIN audit_event_type AS text CONSTRAINT audit_event_type_check
    CHECK (VALUE ~ '^[a-z_]+\.[a-z_]+$' AND octet_length(VALUE) <= 100);
CREATE DOMAIN audit_name AS text
    CONSTRAINT audit_name_check CHECK (octet_length(VALUE) BETWEEN 1 AND 500);
CREATE DOMAIN audit_payload AS text
    CONSTRAINT audit_payload_check CHECK (octet_length(VALUE) <= 1048576);
-- As the checkpoint format of C2SP wants it: no spaces, no plus.
CREATE DOMAIN audit_origin AS text CONSTRAINT audit_origin_check
    CHECK (char_length(VALUE) BETWEEN 1 AND 200 AND VALUE !~ '[\s+]');

CREATE TABLE audit_log (
    -- Counted in audit_head, never by a sequence: a sequence leaves gaps.
    seq            audit_seq        NOT NULL,
    -- Never goes backwards; flag 1 says that the clock did.
    recorded_at    timestamptz      NOT NULL,
    -- What was written in one transaction has one xid.
    xid            bigint           NOT NULL,
    flags          smallint         NOT NULL,
    schema_version integer          NOT NULL,
    event_type     audit_event_type NOT NULL,
    entity_type    audit_name       NOT NULL,
    entity_id      audit_name       NOT NULL,
    -- A user's id, 'system', or NULL for a caller who did not say who he is.
    actor_id       audit_name,
    attempt_id     uuid,
    -- The very text that was hashed: jsonb would render it anew. The two are NULL
    -- together once the payload has been redacted, and the chain still holds.
    payload        audit_payload,
    payload_salt   audit_digest,
    payload_hash   audit_digest     NOT NULL,
    -- For the domain row as it was after the change; zero until that is covered.
    state_hash     audit_digest     NOT NULL,
    previous_hash  audit_digest     NOT NULL,
    hash           audit_digest     NOT NULL,
    CONSTRAINT audit_log_pkey PRIMARY KEY (seq),
    -- No entry has two successors, so a fork can not even be stored.
    CONSTRAINT audit_log_previous_hash_key UNIQUE (previous_hash),
    CONSTRAINT audit_log_header_check
        CHECK (flags >= 0 AND schema_version >= 1 AND isfinite(recorded_at)),
    CONSTRAINT audit_log_redaction_check
        CHECK ((payload IS NULL) = (payload_salt IS NULL))
);
CREATE INDEX audit_log_entity_idx ON audit_log (entity_type, entity_id, seq);
CREATE INDEX audit_log_event_type_idx ON audit_log (event_type, seq);
CREATE INDEX audit_log_attempt_idx ON audit_log (attempt_id, seq)
    WHERE attempt_id IS NOT NULL;

-- One row, which every append locks: that puts the entries in one order. Its key is
-- what changes: so the newest version is at the end of the index, and is found at once
-- even while a long backup keeps vacuum from removing a million old ones.
CREATE TABLE audit_head (
    next_seq    audit_seq    NOT NULL,
    -- Of the last entry.
    hash        audit_digest NOT NULL,
    recorded_at timestamptz  NOT NULL,
    -- Which log this is: the first 16 bytes of the SHA-256 of the genesis payload.
    log_id      audit_log_id NOT NULL,
    origin      audit_origin NOT NULL,
    CONSTRAINT audit_head_pkey PRIMARY KEY (next_seq)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Microseconds since 1970. Before PostgreSQL 14 the epoch is a float, which holds whole
-- seconds exactly and fractions of them not.
CREATE FUNCTION audit_microseconds(p_time timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT extract(epoch FROM date_trunc('second', p_time AT TIME ZONE 'UTC'))::bigint
           * 1000000
           + extract(microseconds FROM p_time AT TIME ZONE 'UTC')::bigint % 1000000
$$;

-- STABLE, as convert_to is: or it would not be inlined.
CREATE FUNCTION audit_payload_hash(p_salt bytea, p_payload text) RETURNS bytea
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT sha256(E'PROCTORAUDIT/p1\\012'::bytea || p_salt
                  || int8send(octet_length(p_payload)::bigint)
                  || convert_to(p_payload, 'UTF8'))
$$;

-- The part of ENTRY v1 behind its header: six strings of UTF-8, the first always the
-- same, because there is one chain. What array_send puts before each element is what
-- the layout asks for, four bytes of length or -1 for NULL; its own header has 20.
CREATE FUNCTION audit_subject(
    p_attempt_id text, p_actor_id text, p_event_type text, p_entity_type text,
    p_entity_id text
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT substring(array_send(ARRAY[
        'main'::bytea, convert_to(p_attempt_id, 'UTF8'), convert_to(p_actor_id, 'UTF8'),
        convert_to(p_event_type, 'UTF8'), convert_to(p_entity_type, 'UTF8'),
        convert_to(p_entity_id, 'UTF8')]) FROM 21)
$$;

-- The leaf hash of RFC 6962 over ENTRY v1: one hash links the chain and is the leaf of
-- a Merkle tree.
CREATE FUNCTION audit_hash(
    p_log_id bytea, p_seq bigint, p_previous_hash bytea, p_recorded_at timestamptz,
    p_xid bigint, p_flags smallint, p_schema_version integer, p_payload_hash bytea,
    p_state_hash bytea, p_subject bytea
) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT sha256(E'\\000PROCTORAUDIT/e1\\012'::bytea || p_log_id || int8send(p_seq)
                  || p_previous_hash || int8send(public.audit_microseconds(p_recorded_at))
                  || int8send(p_xid) || int2send(p_flags) || int4send(p_schema_version)
                  || p_payload_hash || p_state_hash || p_subject)
$$;

-- Appends entries, numbered without a gap in the order of the arrays, and returns the
-- number of the first. Who calls it waits for whoever called it before to commit, so it
-- is the last statement of a transaction (docs/decisions/0002-fast-commit.md). The
-- setting proctoring.appended tells the caller "first seq:last hash" after the commit.
CREATE FUNCTION audit_append(
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
    no_state       constant bytea   := decode(repeat('00', 32), 'hex');
    -- 122 random bits, without an extension. It is not kept: who erases an entry's salt
    -- leaves nobody able to make it again.
    seed           constant bytea   := uuid_send(gen_random_uuid());
    salts          bytea[]          := '{}';
    payload_hashes bytea[]          := '{}';
    subjects       bytea[]          := '{}';
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
            payload_hashes[i], no_state, subjects[i]);
        INSERT INTO public.audit_log (
            seq, recorded_at, xid, flags, schema_version, event_type, entity_type,
            entity_id, actor_id, attempt_id, payload, payload_salt, payload_hash,
            state_hash, previous_hash, hash)
        VALUES (
            next_seq_, entry_time, transaction_id, entry_flags, 1, p_event_types[i],
            p_entity_types[i], p_entity_ids[i], p_actor_ids[i], p_attempt_ids[i],
            p_payloads[i], salts[i], payload_hashes[i], no_state, last_hash, entry_hash);
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
    RETURN first_seq;
END $$;

-- Begins the log, or finds that it has begun. The genesis entry's payload is a manifest
-- that nobody else can have, and the hash of it is the log's id, which every entry
-- contains: no entry of another log fits into this one. Returns true if it began now.
CREATE FUNCTION audit_initialize(p_origin text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    manifest text := format(
        '{"created":%s,"layout":"PROCTORAUDIT/e1","nonce":%s,"origin":%s}',
        to_json(to_char(clock_timestamp() AT TIME ZONE 'UTC',
                        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
        to_json(gen_random_uuid()), to_json(p_origin));
    id       bytea := substring(sha256(convert_to(manifest, 'UTF8')) FROM 1 FOR 16);
BEGIN
    -- Two who begin at once would make two heads.
    LOCK TABLE public.audit_head IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM public.audit_head) THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM public.audit_log) THEN
        RAISE EXCEPTION 'the audit log has entries but no head: it was damaged'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO public.audit_head (next_seq, hash, recorded_at, log_id, origin)
    VALUES (0, decode(repeat('00', 32), 'hex'), '-infinity', id, p_origin);
    PERFORM public.audit_append(
        ARRAY['log.genesis'], ARRAY['log'], ARRAY[encode(id, 'hex')], ARRAY['system'],
        ARRAY[NULL::uuid], ARRAY[manifest]);
    RETURN true;
END $$;

-- Against accidents and against the application. An owner can still disable a trigger:
-- that is why the entries are hashed. ALWAYS: a replication role does not get past it.
CREATE FUNCTION audit_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: no %', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_no_change;
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_no_truncate;
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_no_delete;
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_no_truncate;

REVOKE ALL ON audit_log, audit_head FROM PUBLIC;
REVOKE ALL ON FUNCTION
    audit_append(text[], text[], text[], text[], uuid[], text[]), audit_initialize(text),
    audit_microseconds(timestamptz), audit_payload_hash(bytea, text),
    audit_subject(text, text, text, text, text),
    audit_hash(bytea, bigint, bytea, timestamptz, bigint, smallint, integer, bytea,
               bytea, bytea),
    audit_refuse_change()
    FROM PUBLIC;
GRANT SELECT ON audit_log, audit_head TO proctoring_app, proctoring_auditor;
GRANT EXECUTE ON FUNCTION
    audit_append(text[], text[], text[], text[], uuid[], text[]), audit_initialize(text)
    TO proctoring_app;

-- The log begins with the database, so that the first login can be recorded. An
-- administrator names it by setting proctoring.log_origin before the migration.
SELECT audit_initialize(coalesce(
    nullif(current_setting('proctoring.log_origin', true), ''),
    'proctoring/' || regexp_replace(current_database(), '[\s+]', '_', 'g')));
