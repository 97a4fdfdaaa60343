-- A log that contradicts what was signed of it takes no entry until a person says why.
--
-- docs/decisions/0013-epochs.md. The rule stands here, where no process gets past it:
-- whoever appends moves the head, and a suspended head does not move.
SET LOCAL ROLE proctoring_audit;

-- What showed that the log is not the one that was signed, as evidence that speaks for
-- itself: the note bears the log's own signature. Rows stay when all is over.
CREATE TABLE audit_suspensions (
    -- Counted under the lock of the head.
    id        bigint       NOT NULL,
    found_at  timestamptz  NOT NULL DEFAULT clock_timestamp(),
    -- Who has kept the note: a witness's key, or where of ours it was.
    seen_by   text         NOT NULL,
    note      text         NOT NULL,
    -- What it says, and what the log was then: its size, and its root at the size of
    -- the note, which a log that is shorter does not have.
    size      bigint       NOT NULL,
    root      audit_digest NOT NULL,
    log_size  audit_seq    NOT NULL,
    log_root  audit_digest,
    -- The entry that ended it.
    lifted_by audit_seq,
    CONSTRAINT audit_suspensions_pkey PRIMARY KEY (id),
    CONSTRAINT audit_suspensions_seen_by_check
        CHECK (octet_length(seen_by) BETWEEN 1 AND 500),
    CONSTRAINT audit_suspensions_note_check
        CHECK (octet_length(note) BETWEEN 1 AND 131072),
    CONSTRAINT audit_suspensions_contradiction_check
        CHECK (CASE WHEN log_root IS NULL THEN size > log_size
                    ELSE size <= log_size AND root <> log_root END)
);
CREATE TRIGGER audit_suspensions_no_delete BEFORE DELETE ON audit_suspensions
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_suspensions_no_truncate BEFORE TRUNCATE ON audit_suspensions
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
ALTER TABLE audit_suspensions ENABLE ALWAYS TRIGGER audit_suspensions_no_delete;
ALTER TABLE audit_suspensions ENABLE ALWAYS TRIGGER audit_suspensions_no_truncate;

-- NULL while the log may be written.
ALTER TABLE audit_head ADD COLUMN suspension bigint
    CONSTRAINT audit_head_suspension_fkey REFERENCES audit_suspensions (id);

-- Stops all writing, with what proves that it must stop. Says false if that was done
-- already, or if the log has meanwhile gone on under another origin than was looked at.
-- Takes the lock that every append takes: whoever gets it afterwards is refused.
CREATE FUNCTION audit_suspend(
    p_origin text, p_seen_by text, p_note text, p_size bigint, p_root bytea,
    p_log_size bigint, p_log_root bytea
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head  record;
    made  bigint;
BEGIN
    SELECT next_seq, origin, suspension INTO head
      FROM public.audit_head ORDER BY next_seq DESC LIMIT 1 FOR UPDATE;
    IF NOT FOUND OR head.suspension IS NOT NULL OR head.origin <> p_origin THEN
        RETURN false;
    END IF;
    INSERT INTO public.audit_suspensions
        (id, seen_by, note, size, root, log_size, log_root)
    SELECT count(*) + 1, p_seen_by, p_note, p_size, p_root, p_log_size, p_log_root
      FROM public.audit_suspensions
    RETURNING id INTO made;
    UPDATE public.audit_head SET suspension = made WHERE next_seq = head.next_seq;
    RETURN true;
END $$;

-- Refuses to move a suspended head, but for the two entries that end a suspension: what
-- is appended was inserted before the head moves. So it can not end without an entry.
CREATE FUNCTION audit_guard_suspension() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ending record;
BEGIN
    SELECT event_type, payload::json ->> 'origin' AS origin
      INTO ending
      FROM public.audit_log
     WHERE seq = OLD.next_seq AND event_type IN ('log.epoch_opened', 'log.resumed');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the audit log contradicts what was signed of it'
            USING ERRCODE = 'LG001',
                  HINT = 'docs/audit-log.md, "When the server refuses to write"';
    END IF;
    UPDATE public.audit_suspensions SET lifted_by = OLD.next_seq
     WHERE id = OLD.suspension;
    NEW.suspension := NULL;
    IF ending.event_type = 'log.epoch_opened' THEN
        IF ending.origin = OLD.origin THEN
            RAISE EXCEPTION 'a new epoch has an origin of its own'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        NEW.origin := ending.origin;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_head_suspended BEFORE UPDATE ON audit_head
    FOR EACH ROW WHEN (OLD.suspension IS NOT NULL)
    EXECUTE FUNCTION audit_guard_suspension();
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_suspended;

REVOKE ALL ON audit_suspensions FROM PUBLIC;
REVOKE ALL ON FUNCTION
    audit_suspend(text, text, text, bigint, bytea, bigint, bytea),
    audit_guard_suspension()
    FROM PUBLIC;
GRANT SELECT ON audit_suspensions
    TO proctoring_app, proctoring_auditor, proctoring_checkpointer;
GRANT EXECUTE ON FUNCTION
    audit_suspend(text, text, text, bigint, bytea, bigint, bytea)
    TO proctoring_app, proctoring_checkpointer;
