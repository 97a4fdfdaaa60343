-- The first account: admin@gmail.com, password StrongPassword123!
--
-- Everybody knows that password, so all it opens is the dialogue to change it, and
-- production does not start while it still works. Where there is any user, also from
-- running this before, nothing is changed.
BEGIN;
-- As the API would do it: with its rights, and with an entry in the audit log.
SET LOCAL ROLE proctoring_app;

DO $$
DECLARE
    admin_id uuid;
BEGIN
    INSERT INTO users (id, email, email_canonical, full_name, role, password_hash,
                       must_change_password)
    SELECT gen_random_uuid(), 'admin@gmail.com', 'admin@gmail.com', 'Administrator',
           'admin', '$2b$12$86av8JUBG4MFllGCe7d9k.dBCWEiE7ErTaykwQgpC9epO8WAKx36m',
           true
     WHERE NOT EXISTS (SELECT FROM users)
    -- Somebody else may be running this at the same moment.
    ON CONFLICT ON CONSTRAINT users_email_canonical_key DO NOTHING
    RETURNING id INTO admin_id;
    IF admin_id IS NOT NULL THEN
        -- A statement of its own: what one has changed is noted at its end. RFC 8785:
        -- the names in order, and no space.
        PERFORM audit_append_one(
            'user.created', 'user', admin_id::text, 'system', NULL,
            '{"email":"admin@gmail.com","full_name":"Administrator","role":"admin"}');
    END IF;
END $$;
COMMIT;
