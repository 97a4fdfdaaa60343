-- What others confirm of checkpoints: a quorum of witnesses, and authorities of time.
--
-- docs/decisions/0014-timestamps-and-quorum.md says whom each of them binds. As before,
-- only the checkpointer writes here.
SET LOCAL ROLE proctoring_audit;

-- When the checkpointer saw that the quorum of its policy had cosigned. It is for finding
-- such checkpoints: who reads one judges the signatures of its note by a policy of his own.
ALTER TABLE checkpoints
    ADD COLUMN witnessed_at timestamptz,
    ADD CONSTRAINT checkpoints_witnessed_check
        CHECK (witnessed_at IS NULL OR cosigned_note IS NOT NULL);
CREATE INDEX checkpoints_witnessed_idx ON checkpoints (size)
    WHERE witnessed_at IS NOT NULL;

-- Answers of RFC 3161 authorities, each over the very bytes of `note`. They were verified
-- before they were stored: against the certificates that the operator trusts, where he
-- has named any.
CREATE TABLE checkpoint_timestamps (
    id                bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    size              bigint      NOT NULL,
    -- The checkpoint as it was at that moment, with the signatures that it had.
    note              text        NOT NULL,
    tsa_url           text        NOT NULL,
    -- TimeStampResp in DER.
    response          bytea       NOT NULL,
    -- What the authority says.
    stamped_at        timestamptz NOT NULL,
    is_chain_verified boolean     NOT NULL,
    received_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT checkpoint_timestamps_pkey PRIMARY KEY (id),
    CONSTRAINT checkpoint_timestamps_size_tsa_url_key UNIQUE (size, tsa_url),
    CONSTRAINT checkpoint_timestamps_size_fkey FOREIGN KEY (size) REFERENCES checkpoints,
    CONSTRAINT checkpoint_timestamps_note_check
        CHECK (octet_length(note) BETWEEN 1 AND 65536),
    CONSTRAINT checkpoint_timestamps_tsa_url_check
        CHECK (octet_length(tsa_url) BETWEEN 1 AND 500),
    CONSTRAINT checkpoint_timestamps_response_check
        CHECK (octet_length(response) BETWEEN 1 AND 65536)
);
CREATE INDEX checkpoint_timestamps_tsa_url_idx ON checkpoint_timestamps (tsa_url, size);

CREATE TRIGGER checkpoint_timestamps_no_change BEFORE UPDATE OR DELETE
    ON checkpoint_timestamps FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER checkpoint_timestamps_no_truncate BEFORE TRUNCATE
    ON checkpoint_timestamps FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
ALTER TABLE checkpoint_timestamps ENABLE ALWAYS TRIGGER checkpoint_timestamps_no_change;
ALTER TABLE checkpoint_timestamps ENABLE ALWAYS TRIGGER checkpoint_timestamps_no_truncate;

REVOKE ALL ON checkpoint_timestamps FROM PUBLIC;
GRANT SELECT ON checkpoint_timestamps TO proctoring_app, proctoring_auditor;
GRANT SELECT, INSERT ON checkpoint_timestamps TO proctoring_checkpointer;
GRANT UPDATE (witnessed_at) ON checkpoints TO proctoring_checkpointer;
