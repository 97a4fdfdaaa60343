-- A device that was displaced does not know it: its network was away, and what it kept is
-- sent when that is back, by itself. So what it tries first only tells it, and is kept as a
-- digest; it is at work still if it then tries something else. docs/decisions/0007
SET LOCAL ROLE proctoring_owner;

ALTER TABLE attempt_activity
    ADD COLUMN refused_digest bytea,
    ADD CONSTRAINT attempt_activity_refused_digest_check
        CHECK (octet_length(refused_digest) = 32);
