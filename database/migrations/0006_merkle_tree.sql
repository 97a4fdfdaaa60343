-- The Merkle tree over the audit log, and the checkpoints that were signed of it.
--
-- docs/decisions/0011-checkpoints.md says who writes here and why it leaves no audit
-- entry. Only the checkpointer does: a role that reads the log and changes nothing of it.
DO $$
BEGIN
    CREATE ROLE proctoring_checkpointer NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;

DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT proctoring_checkpointer TO %I', current_user);
    END IF;
END $$;

GRANT USAGE ON SCHEMA public TO proctoring_checkpointer;

SET LOCAL ROLE proctoring_audit;

-- The tiles of C2SP's tlog-tiles: up to 256 hashes that stand side by side. At level 0
-- they are those of the entries; at each further level, the roots of the full tiles of
-- the level below. A cache: `python -m checkpointer rebuild-tiles` makes it anew.
CREATE TABLE merkle_tiles (
    level      smallint NOT NULL,
    tile_index bigint   NOT NULL,
    hashes     bytea    NOT NULL,
    CONSTRAINT merkle_tiles_pkey PRIMARY KEY (level, tile_index),
    CONSTRAINT merkle_tiles_level_check CHECK (level BETWEEN 0 AND 63),
    CONSTRAINT merkle_tiles_tile_index_check CHECK (tile_index >= 0),
    CONSTRAINT merkle_tiles_hashes_check
        CHECK (octet_length(hashes) % 32 = 0
               AND octet_length(hashes) BETWEEN 32 AND 256 * 32)
);
-- Hashes do not compress, so nobody need try.
ALTER TABLE merkle_tiles ALTER hashes SET STORAGE EXTERNAL;

-- What was signed, as it was signed. The signer's own memory is a file outside: these
-- rows are for whoever reads.
CREATE TABLE checkpoints (
    size          bigint       NOT NULL,
    root          audit_digest NOT NULL,
    -- C2SP's signed note, with the log's own signatures.
    note          text         NOT NULL,
    signed_at     timestamptz  NOT NULL DEFAULT clock_timestamp(),
    -- The same with those of the witnesses that have answered so far.
    cosigned_note text,
    cosigned_at   timestamptz,
    CONSTRAINT checkpoints_pkey PRIMARY KEY (size),
    CONSTRAINT checkpoints_size_check CHECK (size > 0),
    CONSTRAINT checkpoints_note_check CHECK (octet_length(note) BETWEEN 1 AND 65536),
    CONSTRAINT checkpoints_cosigned_note_check
        CHECK (octet_length(cosigned_note) BETWEEN 1 AND 65536),
    CONSTRAINT checkpoints_cosigned_check
        CHECK ((cosigned_note IS NULL) = (cosigned_at IS NULL))
);
CREATE INDEX checkpoints_cosigned_idx ON checkpoints (size)
    WHERE cosigned_note IS NOT NULL;

CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER checkpoints_no_truncate BEFORE TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_no_delete;
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_no_truncate;

REVOKE ALL ON merkle_tiles, checkpoints FROM PUBLIC;
GRANT SELECT ON merkle_tiles, checkpoints TO proctoring_app, proctoring_auditor;
GRANT SELECT ON audit_log, audit_head TO proctoring_checkpointer;
GRANT SELECT, INSERT, UPDATE ON merkle_tiles TO proctoring_checkpointer;
-- What was signed is never changed, only completed.
GRANT SELECT, INSERT, UPDATE (cosigned_note, cosigned_at) ON checkpoints
    TO proctoring_checkpointer;
