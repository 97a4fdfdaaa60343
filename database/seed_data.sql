-- The first account: admin@gmail.com, password StrongPassword123!
--
-- Everybody knows that password, so all it opens is the dialogue to change it, and
-- production does not start while it still works. Where there is any user, also from
-- running this before, nothing is changed.
BEGIN;
-- As the API would do it: with its rights, and with an entry in the audit log.
SET LOCAL ROLE proctoring_app;

WITH admin AS (
    INSERT INTO users (id, email, email_canonical, full_name, role, password_hash,
                       must_change_password)
    SELECT gen_random_uuid(), 'admin@gmail.com', 'admin@gmail.com', 'Administrator',
           'admin', '$2b$12$86av8JUBG4MFllGCe7d9k.dBCWEiE7ErTaykwQgpC9epO8WAKx36m',
           true
     WHERE NOT EXISTS (SELECT FROM users)
    -- Somebody else may be running this at the same moment.
    ON CONFLICT ON CONSTRAINT users_email_canonical_key DO NOTHING
    RETURNING id
)
SELECT audit_append(
    ARRAY['user.created'], ARRAY['user'], ARRAY[id::text], ARRAY['system'],
    ARRAY[NULL]::uuid[],
    -- RFC 8785: the names in order, and no space.
    ARRAY['{"email":"admin@gmail.com","full_name":"Administrator","role":"admin"}'])
FROM admin;
COMMIT;
