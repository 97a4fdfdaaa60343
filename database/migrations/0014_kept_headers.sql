-- The answer to an Idempotency-Key is kept with its headers: whoever sends a request
-- again is told, as he was the first time, which version he has seen (ETag) and where
-- to go on (Location). What was kept before has none.
SET LOCAL ROLE proctoring_owner;

ALTER TABLE idempotency_keys
    ADD COLUMN headers jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT idempotency_keys_headers_check
        CHECK (jsonb_typeof(headers) = 'object');
