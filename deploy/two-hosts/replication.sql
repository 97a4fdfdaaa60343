-- Once, on the primary: psql -d postgres -v password="$(cat …)" -f deploy/two-hosts/replication.sql
-- The login of the standby. The functions are what pg_rewind reads files with.
CREATE ROLE proctoring_replication LOGIN REPLICATION PASSWORD :'password';
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO proctoring_replication;
GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO proctoring_replication;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO proctoring_replication;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean)
   TO proctoring_replication;
