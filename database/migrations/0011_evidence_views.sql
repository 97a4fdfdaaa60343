-- When staff were last noted to have looked at evidence, so that a screen that asks every
-- few seconds is one entry of the log in ten minutes.
-- docs/decisions/0016-access.md
SET LOCAL ROLE proctoring_owner;

-- The log has the looks; this is only what keeps it from having each of them a hundred
-- times. Whatever a crash takes of it is noted again.
CREATE UNLOGGED TABLE evidence_views (
    viewer_id    uuid        NOT NULL,
    -- Of whom it is: an attempt, all attempts of an exam, or a user.
    subject_type text        NOT NULL,
    subject_id   uuid        NOT NULL,
    what         text        NOT NULL,
    noted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT evidence_views_pkey
        PRIMARY KEY (viewer_id, subject_type, subject_id, what),
    CONSTRAINT evidence_views_viewer_id_fkey
        FOREIGN KEY (viewer_id) REFERENCES users (id),
    CONSTRAINT evidence_views_subject_type_check
        CHECK (subject_type IN ('attempt', 'exam', 'user')),
    CONSTRAINT evidence_views_what_check CHECK (char_length(what) BETWEEN 1 AND 64)
);
CREATE INDEX evidence_views_noted_at_idx ON evidence_views (noted_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON evidence_views TO proctoring_app;
