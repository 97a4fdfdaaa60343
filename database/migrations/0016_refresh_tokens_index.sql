-- All tokens of a login are found at once: for whoever asks what is held on him, and for
-- his erasure. The unique index of the live ones does not know those that were used, so
-- every token of the whole school was read. tests/test_query_plans.py
SET LOCAL ROLE proctoring_owner;

CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id, issued_at);
