-- Once, on the primary: PASSWORD_FILE=… psql -d postgres -f deploy/two-hosts/replication.sql
-- The login of the standby. The functions are what pg_rewind reads files with.
-- psql reads the password itself: what is an argument, everybody on the machine can see.
\set ON_ERROR_STOP 1
\set password `cat "$PASSWORD_FILE"`
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
-- Of what can not be read psql makes an empty one, with which nobody can log in.
SELECT :'password' = '' AS is_empty \gset
\if :is_empty
    DO $$ BEGIN RAISE 'PASSWORD_FILE is empty, or can not be read'; END $$;
\endif
CREATE ROLE proctoring_replication LOGIN REPLICATION PASSWORD :'password';
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO proctoring_replication;
GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO proctoring_replication;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO proctoring_replication;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean)
   TO proctoring_replication;
