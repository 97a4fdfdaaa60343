-- Verifications of the log that take long: who asked, how far it is, what was found.
--
-- Not part of the record: the log has an entry for each start and each cancellation, and
-- whoever doubts a result verifies again. Any process of the API answers for any run.
CREATE TABLE verification_runs (
    id               uuid        NOT NULL,
    requested_by     uuid        NOT NULL,
    deep             boolean     NOT NULL,
    state            text        NOT NULL DEFAULT 'running',
    started_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The process that runs it says every second that it lives.
    alive_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at         timestamptz,
    entries_total    bigint      NOT NULL,
    entries_checked  bigint      NOT NULL DEFAULT 0,
    cancel_requested boolean     NOT NULL DEFAULT false,
    -- The report, and why there is none.
    result           text,
    failure          text,
    CONSTRAINT verification_runs_pkey PRIMARY KEY (id),
    CONSTRAINT verification_runs_requested_by_fkey
        FOREIGN KEY (requested_by) REFERENCES users (id),
    CONSTRAINT verification_runs_state_check
        CHECK (state IN ('running', 'finished', 'cancelled', 'incomplete')),
    CONSTRAINT verification_runs_entries_check
        CHECK (entries_total >= 0 AND entries_checked >= 0),
    -- A run that did not get to its end has no result that could be taken for one.
    CONSTRAINT verification_runs_result_check
        CHECK ((result IS NOT NULL) = (state = 'finished')),
    CONSTRAINT verification_runs_ended_check
        CHECK ((ended_at IS NULL) = (state = 'running'))
);
-- One at a time: it keeps a core busy.
CREATE UNIQUE INDEX verification_runs_running_idx ON verification_runs ((true))
    WHERE state = 'running';
CREATE INDEX verification_runs_requested_by_idx ON verification_runs (requested_by);

GRANT SELECT, INSERT, UPDATE ON verification_runs TO proctoring_app;
GRANT SELECT ON verification_runs TO proctoring_auditor;
