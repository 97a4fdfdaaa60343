-- The four roles, and who may create what.
--
-- Roles belong to the whole server, so another database of ours may have made them already,
-- perhaps at this very moment: both ways of losing that race are fine.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['proctoring_owner', 'proctoring_audit',
                                  'proctoring_app', 'proctoring_auditor'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;

-- An administrator without superuser rights can only SET ROLE to what it is a member of.
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format(
            'GRANT proctoring_owner, proctoring_audit, proctoring_app TO %I',
            current_user);
    END IF;
END $$;

-- PostgreSQL 13 and 14 let everybody create tables here.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
    TO proctoring_owner, proctoring_audit, proctoring_app, proctoring_auditor;
GRANT CREATE ON SCHEMA public TO proctoring_owner, proctoring_audit;
