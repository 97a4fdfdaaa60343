#!/bin/sh
# Makes the two logins of deploy/compose.yaml, or gives them their passwords anew: one for
# the API and one for the checkpointer, each a member of one role and of nothing else.
set -eu
export SECRETS="${SECRETS:-/run/secrets}"
PGPASSWORD=$(cat "$SECRETS/db_admin_password")
export PGPASSWORD

# psql reads the others itself: what is an argument, everybody on the machine can see.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'
\set api `cat "$SECRETS/db_password"`
\set checkpoints `cat "$SECRETS/db_checkpointer_password"`
SELECT 'CREATE ROLE proctoring_api LOGIN NOINHERIT'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctoring_api') \gexec
SELECT 'CREATE ROLE proctoring_checkpoints LOGIN NOINHERIT'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'proctoring_checkpoints') \gexec
ALTER ROLE proctoring_api PASSWORD :'api';
ALTER ROLE proctoring_checkpoints PASSWORD :'checkpoints';
GRANT proctoring_app TO proctoring_api;
GRANT proctoring_checkpointer TO proctoring_checkpoints;
SQL
