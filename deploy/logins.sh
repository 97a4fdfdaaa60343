#!/bin/sh
# Makes the two logins of deploy/compose.yaml, or gives them their passwords anew: one for
# the API and one for the checkpointer, each a member of one role and of nothing else.
set -eu
export SECRETS="${SECRETS:-/run/secrets}"
# psql takes what can not be read for an empty password, and an empty one for none at all.
for name in db_password db_checkpointer_password; do
    if [ -z "$(cat "$SECRETS/$name")" ]; then
        echo "logins: $SECRETS/$name is empty, or can not be read" >&2
        exit 1
    fi
done
PGPASSWORD=$(cat "$SECRETS/db_admin_password")
export PGPASSWORD

# psql reads the others itself: what is an argument, everybody on the machine can see.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'
\set api `cat "$SECRETS/db_password"`
\set checkpoints `cat "$SECRETS/db_checkpointer_password"`
-- Nor do passwords belong into the server's log, whatever that is to say of statements.
SELECT set_config(name, value, false)
  FROM (VALUES ('log_statement', 'none'), ('log_min_duration_statement', '-1'),
               ('log_min_error_statement', 'panic')) AS quiet (name, value)
 WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \g /dev/null
SELECT 'CREATE ROLE proctoring_api LOGIN NOINHERIT'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctoring_api') \gexec
SELECT 'CREATE ROLE proctoring_checkpoints LOGIN NOINHERIT'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctoring_checkpoints') \gexec
ALTER ROLE proctoring_api PASSWORD :'api';
ALTER ROLE proctoring_checkpoints PASSWORD :'checkpoints';
GRANT proctoring_app TO proctoring_api;
GRANT proctoring_checkpointer TO proctoring_checkpoints;

-- What models/connection_settings.py asks of each session, and checks: a pooler in
-- transaction mode passes none of it on, so here it is once more, as the logins' own.
ALTER ROLE proctoring_api SET role = proctoring_app;
ALTER ROLE proctoring_checkpoints SET role = proctoring_checkpointer;
ALTER ROLE proctoring_api SET statement_timeout = '5s';
ALTER ROLE proctoring_checkpoints SET statement_timeout = '1min';
SELECT format('ALTER ROLE %I SET %s', login, setting)
  FROM unnest(ARRAY['proctoring_api', 'proctoring_checkpoints']) AS login,
       unnest(ARRAY['search_path = public', 'timezone = ''UTC''',
                    'synchronous_commit = on', 'lock_timeout = ''2s''',
                    'idle_in_transaction_session_timeout = ''10s''']) AS setting \gexec
SQL
