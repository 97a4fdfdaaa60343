"""What a database's owner can do to the log. Tests play the one whom nothing stops."""

from typing import LiteralString

from psycopg2.extensions import connection

from tests.audit_trail import run

LET_ANYTHING_HAPPEN: LiteralString = """
    ALTER TABLE audit_log DISABLE TRIGGER ALL;
    ALTER TABLE audit_head DISABLE TRIGGER ALL;
    ALTER TABLE checkpoints DISABLE TRIGGER ALL;
    ALTER TABLE audit_log DROP CONSTRAINT audit_log_previous_hash_key,
        DROP CONSTRAINT audit_log_header_check,
        DROP CONSTRAINT audit_log_redaction_check;
    ALTER DOMAIN audit_name DROP CONSTRAINT audit_name_check;
    ALTER DOMAIN audit_digest DROP CONSTRAINT audit_digest_check
"""
# Entry by entry, each with the right hash: nothing inside the log contradicts it.
HASH_ANEW: LiteralString = """
    DO $$
    DECLARE entry record; previous bytea;
    BEGIN
        SELECT hash INTO previous FROM audit_log WHERE seq = {first} - 1;
        FOR entry IN SELECT * FROM audit_log WHERE seq >= {first} ORDER BY seq LOOP
            previous := rewritten.hash FROM (
                SELECT audit_hash(log_id, entry.seq, previous, entry.recorded_at,
                    entry.xid, entry.flags, entry.schema_version,
                    entry.payload_hash, entry.state_hash, audit_subject(
                        entry.attempt_id::text, entry.actor_id, entry.event_type,
                        entry.entity_type, entry.entity_id)) AS hash
                  FROM audit_head) AS rewritten;
            UPDATE audit_log SET hash = previous WHERE seq = entry.seq;
            UPDATE audit_log SET previous_hash = previous WHERE seq = entry.seq + 1;
        END LOOP;
        UPDATE audit_head SET hash = previous;
    END $$
"""


def allow_everything(sql: connection) -> None:
    run(sql, LET_ANYTHING_HAPPEN)


def rewrite(sql: connection, seq: int) -> None:
    """Change an entry, and hash it and all behind it anew. The head follows."""
    run(sql, "UPDATE audit_log SET actor_id = 'somebody' WHERE seq = %s", seq)
    run(sql, HASH_ANEW.replace("{first}", str(seq)))


def cut(sql: connection, size: int) -> None:
    """Delete the end of the log, and set its head back to there."""
    run(sql, "DELETE FROM audit_log WHERE seq >= %s", size)
    run(
        sql,
        "UPDATE audit_head SET next_seq = seq + 1, hash = audit_log.hash,"
        " recorded_at = audit_log.recorded_at FROM audit_log WHERE seq = %s - 1",
        size,
    )


def forget_signatures(sql: connection) -> None:
    """Delete what contradicts a new history inside the database."""
    run(sql, "DELETE FROM checkpoints; DELETE FROM merkle_tiles")
