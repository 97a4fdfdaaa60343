"""The attacks of a database's administrator, and of others.

The numbers are those of the list that the design began with. Each is a function that
gets a copy of the database and spoils it; `found_by` names those who have to find it,
and nobody else may. An attack that nobody can find is in the list all the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.tamper.system import Attacked

Spoil = Callable[[Attacked], object]
# Who looks: see tests/tamper/finders.py.
CHAIN, ROWS, ANCHOR, SIGNER, RECEIPT = "chain", "rows", "anchor", "signer", "receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    number: int
    name: str
    spoil: Spoil
    # Exactly those. Empty: nobody can.
    found_by: frozenset[str] | set[str]
    note: str = ""
    # Begins with the backup of before the second checkpoint.
    from_backup: bool = False


def sql(statement: str) -> Spoil:
    """Run SQL in which {x} is a number: of an entry by name."""
    return lambda copy: copy.sql(statement.format(**_places(copy)))


def rewritten(statement: str, place: str = "victim") -> Spoil:
    """Run SQL, and make all hashes from that entry on right again."""

    def spoil(copy: Attacked) -> None:
        places = _places(copy)
        copy.sql(statement.format(**places))
        copy.rehash(places[place])

    return spoil


def cut(place: str) -> Spoil:
    """Cut the log off before that entry, and all that would tell."""

    def spoil(copy: Attacked) -> None:
        copy.sql(CUT.format(place=_places(copy)[place]))
        copy.forget_what_was_signed()

    return spoil


def _places(copy: Attacked) -> dict[str, int]:
    first, second = copy.system.sizes
    return {
        # The entry that says that dave has handed in; the witness has seen it twice.
        "victim": copy.system.submitted,
        # The first that the witness has seen only once, and not at all.
        "between": first,
        "unseen": second,
        "last": copy.system.last,
    }


def _history_anew(copy: Attacked) -> None:
    """Begin the log again, under a new genesis, with everything that suits."""
    copy.sql(
        """
        CREATE TEMP TABLE kept AS SELECT * FROM audit_log WHERE seq > 0;
        TRUNCATE audit_log, audit_head;
        SELECT audit_initialize('proctoring/anew');
        UPDATE audit_log SET recorded_at = (SELECT min(recorded_at) FROM kept);
        INSERT INTO audit_log SELECT * FROM kept;
        """
    )
    copy.rehash(0)


def _rewritten_alone(copy: Attacked) -> None:
    copy.sql("CREATE TEMP TABLE c AS SELECT * FROM checkpoints")
    copy.sql("CREATE TEMP TABLE t AS SELECT * FROM merkle_tiles")
    rewritten(EDIT.format(change="payload = replace(payload, '1', '2')"))(copy)
    copy.sql("INSERT INTO checkpoints SELECT * FROM c")
    copy.sql("INSERT INTO merkle_tiles SELECT * FROM t")


def _erased_and_back(copy: Attacked) -> None:
    """Let the program erase an entry, and put back what suits."""
    sql(
        """
        SET ROLE proctoring_audit;
        SELECT audit_redact(
            'user', 'x', 'system',
            '{{"entries":[[{victim},{victim}]],"legal_basis":"a letter"}}');
        RESET ROLE;
        UPDATE audit_log SET payload = '{{}}', payload_salt = sha256('salt')
         WHERE seq = {victim};
        """
    )(copy)


def _line_of_an_edited_score(copy: Attacked) -> tuple[str, str]:
    """Edit a score; return what the log says of its row, and what it ought to."""
    ((id_,),) = copy.sql(
        "UPDATE attempts SET score = max_score"
        " WHERE id = (SELECT min(id::text)::uuid FROM attempts WHERE score < max_score)"
        " RETURNING id"
    )
    said = copy.value(
        "SELECT line FROM audit_log, unnest(string_to_array(state::text, chr(10)))"
        f" AS lines(line) WHERE line LIKE 'attempts {id_} %' ORDER BY seq DESC LIMIT 1"
    )
    wanted = copy.value(
        f"SELECT (erasure_lines(ARRAY['attempts {id_}'], ARRAY['{id_}'::uuid]))[1]"
    )
    assert said != wanted
    return said, wanted


def _entry_without_a_number(copy: Attacked) -> None:
    """Let a row that no range of numbers has speak of an edited one."""
    _, wanted = _line_of_an_edited_score(copy)
    copy.sql(
        f"""
        ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;
        ALTER TABLE audit_log ALTER seq DROP NOT NULL;
        CREATE UNIQUE INDEX ON audit_log (seq);
        INSERT INTO audit_log
        SELECT NULL, recorded_at, xid, flags, schema_version, event_type, entity_type,
               entity_id, actor_id, attempt_id, payload, payload_salt, payload_hash,
               state_hash, previous_hash, hash, '{wanted}'
          FROM audit_log WHERE seq = 0
        """
    )


def _function_before_postgresqls(copy: Attacked) -> None:
    """Define a function that takes the very type of the column, and lies."""
    said, wanted = _line_of_an_edited_score(copy)
    copy.sql(
        f"""
        CREATE FUNCTION public.string_to_array(audit_state, text) RETURNS text[]
        LANGUAGE sql AS $$
            SELECT pg_catalog.string_to_array(
                       pg_catalog.replace($1::text, '{said}', '{wanted}'), $2) $$
        """
    )


def _cast_between(copy: Attacked) -> None:
    """Take an entry out of a student's trail, and have it read as his."""
    was = copy.value(
        f"SELECT attempt_id FROM audit_log WHERE seq = {copy.system.submitted}"
    )
    other = "019ab1c2-0000-7000-8000-00000000f00d"
    copy.sql(
        f"""
        CREATE SCHEMA between_them;
        CREATE FUNCTION between_them.shown(uuid) RETURNS text LANGUAGE sql STRICT AS $$
            SELECT CASE WHEN $1 = '{other}' THEN '{was}' ELSE format('%s', $1) END $$;
        GRANT USAGE ON SCHEMA between_them TO PUBLIC;
        CREATE CAST (uuid AS text) WITH FUNCTION between_them.shown(uuid);
        UPDATE audit_log SET attempt_id = '{other}' WHERE seq = {copy.system.submitted}
        """
    )


def _view_that_knows_who_asks(copy: Attacked) -> None:
    """Put a view in a table's place, which shows the truth to who verifies alone."""
    columns = copy.value(
        "SELECT string_agg(CASE attname WHEN 'score' THEN"
        " 'CASE WHEN current_query() ~ ''record_send'' THEN score ELSE max_score END'"
        " ELSE '' END || ' ' || quote_ident(attname), ', ' ORDER BY attnum)"
        " FROM pg_attribute WHERE attrelid = 'attempts'::regclass AND attnum > 0"
    )
    copy.sql(
        f"""
        ALTER TABLE attempts RENAME TO kept;
        CREATE VIEW attempts AS SELECT {columns} FROM kept;
        GRANT SELECT ON attempts TO proctoring_app, proctoring_auditor
        """
    )


HIDDEN: Final = r"""
    ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
    CREATE POLICY hidden ON audit_log FOR SELECT
     USING (seq <> {victim} OR current_query() ~ 'record_send|payload_hash')
"""


def _other_code(copy: Attacked) -> None:
    """Replace the function that hashes, and let the application go on."""
    copy.sql(
        """
        CREATE OR REPLACE FUNCTION audit_payload_hash(p_salt bytea, p_payload text)
        RETURNS bytea LANGUAGE sql STABLE AS $$ SELECT sha256('') $$;
        SELECT audit_append_one('user.updated', 'user', 'x', 'system', NULL, '{}')
        """
    )


CUT: Final = """
    DELETE FROM audit_log WHERE seq >= {place};
    UPDATE audit_head
       SET next_seq = {place}, hash = last.hash, recorded_at = last.recorded_at
      FROM audit_log AS last WHERE last.seq = {place} - 1
"""
EDIT: Final = "UPDATE audit_log SET {change} WHERE seq = {{victim}}"
FORGED: Final = """
    INSERT INTO audit_log (seq, recorded_at, xid, flags, schema_version, event_type,
           entity_type, entity_id, actor_id, attempt_id, payload, payload_salt,
           payload_hash, state_hash, previous_hash, hash)
    SELECT {seq}, recorded_at, xid, flags, schema_version, 'attempt.terminated',
           entity_type, entity_id, actor_id, attempt_id, '{{{{}}}}', payload_salt,
           payload_hash, state_hash, {previous}, sha256('forged')
      FROM audit_log WHERE seq = {{victim}}
"""
SHIFT: Final = """
    UPDATE audit_log SET seq = seq + 1000000 WHERE seq > {victim};
    UPDATE audit_log SET seq = seq - 999999 WHERE seq > 1000000;
"""

ATTACKS: Final = (
    Attack(
        number=1,
        name="a column of an entry is edited",
        spoil=sql(EDIT.format(change="actor_id = 'nobody'")),
        found_by={CHAIN, SIGNER},
    ),
    Attack(
        number=1,
        name="a payload is edited",
        spoil=sql(EDIT.format(change="payload = replace(payload, '1', '2')")),
        found_by={CHAIN, SIGNER},
    ),
    Attack(
        number=1,
        name="a payload is erased, and no entry says so",
        spoil=sql(
            EDIT.format(change="payload = NULL, payload_salt = NULL, state = NULL")
        ),
        found_by={CHAIN, ROWS, SIGNER},
    ),
    Attack(
        number=3,
        name="an entry in the middle is deleted",
        spoil=sql("DELETE FROM audit_log WHERE seq = {victim}"),
        found_by={CHAIN, ROWS, ANCHOR, SIGNER, RECEIPT},
    ),
    Attack(
        number=3,
        name="it is deleted, and all behind it moves up and is hashed anew",
        spoil=rewritten(
            "DELETE FROM audit_log WHERE seq = {victim};"
            " UPDATE audit_log SET seq = seq + 1000000 WHERE seq > {victim};"
            " UPDATE audit_log SET seq = seq - 1000001 WHERE seq > 1000000"
        ),
        found_by={ANCHOR, SIGNER, RECEIPT, ROWS},
    ),
    Attack(
        number=4,
        name="the end is cut off, behind what was witnessed",
        spoil=cut("unseen"),
        found_by={ROWS},
        note="only because the rows of what was cut are still there",
    ),
    Attack(
        number=4,
        name="the end is cut off, before what was witnessed",
        spoil=cut("between"),
        found_by={ANCHOR, SIGNER, ROWS},
    ),
    Attack(
        number=5,
        name="an entry is inserted in the middle",
        spoil=sql(SHIFT + FORGED.format(seq="{victim} + 1", previous="hash")),
        found_by={CHAIN, ANCHOR, SIGNER},
    ),
    Attack(
        number=5,
        name="it is inserted, and all behind it is hashed anew",
        spoil=rewritten(SHIFT + FORGED.format(seq="{victim} + 1", previous="hash")),
        found_by={ANCHOR, SIGNER},
    ),
    Attack(
        number=6,
        name="a lie is appended through audit_append",
        spoil=sql(
            "SELECT audit_append_one('attempt.reviewed', 'attempt', entity_id,"
            ' actor_id, attempt_id, \'{{"decision":"confirmed_violation"}}\')'
            " FROM audit_log WHERE seq = {victim}"
        ),
        found_by=set(),
        note="no log can know what did not happen; it is there for ever, with its time",
    ),
    Attack(
        number=7,
        name="two entries are exchanged",
        spoil=sql(
            "UPDATE audit_log SET seq = 1000000 WHERE seq = {victim};"
            " UPDATE audit_log SET seq = {victim} WHERE seq = {victim} - 1;"
            " UPDATE audit_log SET seq = {victim} - 1 WHERE seq = 1000000"
        ),
        found_by={CHAIN, ANCHOR, SIGNER, RECEIPT},
    ),
    Attack(
        number=7,
        name="the payloads of two entries are exchanged, with their salts",
        spoil=sql(
            "UPDATE audit_log SET payload = other.payload,"
            "       payload_salt = other.payload_salt"
            "  FROM audit_log AS other"
            " WHERE audit_log.seq IN ({victim}, {victim} - 1)"
            "   AND other.seq = 2 * {victim} - 1 - audit_log.seq"
        ),
        found_by={CHAIN, SIGNER},
    ),
    Attack(
        number=8,
        name="an entry is edited, and the whole chain from there hashed anew",
        spoil=rewritten(EDIT.format(change="payload = replace(payload, '1', '2')")),
        found_by={ANCHOR, SIGNER, RECEIPT},
    ),
    Attack(
        number=8,
        name="the same, and the tree's and the signer's tables are left alone",
        spoil=_rewritten_alone,
        found_by={CHAIN, ANCHOR, SIGNER, RECEIPT},
    ),
    Attack(
        number=9,
        name="the same, in what has not been witnessed yet",
        spoil=rewritten(
            "UPDATE audit_log SET payload = '{{}}' WHERE seq = {last}", "last"
        ),
        found_by=set(),
        note="the window: a second, while signer and witness are up",
    ),
    Attack(
        number=10,
        name="an entry gets a second successor",
        spoil=sql(
            "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
            + FORGED.format(seq="seq", previous="previous_hash")
        ),
        found_by={CHAIN, ANCHOR, SIGNER, RECEIPT},
    ),
    Attack(
        number=12,
        name="an entry of another log takes the place of one",
        spoil=sql(
            "UPDATE audit_log SET payload_hash = sha256('of another log'),"
            " hash = audit_hash(substring(sha256('another') FOR 16), seq,"
            " previous_hash, recorded_at, xid, flags, schema_version,"
            " sha256('of another log'), state_hash, audit_subject(attempt_id::text,"
            " actor_id, event_type, entity_type, entity_id)) WHERE seq = {victim}"
        ),
        found_by={CHAIN, ANCHOR, SIGNER, RECEIPT},
    ),
    Attack(
        number=13,
        name="a score is changed, and the log left alone",
        spoil=sql("UPDATE attempts SET score = max_score WHERE score < max_score"),
        found_by={ROWS},
    ),
    Attack(
        number=13,
        name="an answer is changed, and the log left alone",
        spoil=sql("UPDATE answers SET response = '\"better\"'"),
        found_by={ROWS},
    ),
    Attack(
        number=13,
        name="somebody is made an admin, and the log left alone",
        spoil=sql("UPDATE users SET role = 'admin' WHERE email LIKE 'mallory%'"),
        found_by={ROWS},
    ),
    Attack(
        number=14,
        name="an event is deleted, and the log left alone",
        spoil=sql(
            "DELETE FROM proctoring_events WHERE id ="
            " (SELECT id FROM proctoring_events LIMIT 1)"
        ),
        found_by={ROWS},
    ),
    Attack(
        number=14,
        name="an event is made up, and the log left alone",
        spoil=sql(
            "INSERT INTO proctoring_events SELECT gen_random_uuid(), attempt_id,"
            " gen_random_uuid(), gen_random_uuid(), 99, event_type, event_class,"
            " severity, occurred_at, received_at, payload"
            " FROM proctoring_events LIMIT 1"
        ),
        found_by={ROWS},
    ),
    Attack(
        number=15,
        name="the log begins anew, under another genesis",
        spoil=_history_anew,
        found_by={ANCHOR, SIGNER, RECEIPT},
    ),
    Attack(
        number=16,
        name="an entry is dated back, and hashed anew",
        spoil=rewritten(
            "UPDATE audit_log SET recorded_at = recorded_at - interval '1 us'"
            " WHERE seq >= {victim}"
        ),
        found_by={ANCHOR, SIGNER, RECEIPT},
    ),
    Attack(
        number=16,
        name="a new entry is dated back to before what was witnessed",
        spoil=rewritten(
            "UPDATE audit_log SET recorded_at = '2020-01-01Z' WHERE seq = {last}",
            "last",
        ),
        found_by={CHAIN, SIGNER},
        note="time does not go back",
    ),
    Attack(
        number=17,
        name="the database is set back to an old backup",
        spoil=sql(""),
        from_backup=True,
        found_by={ANCHOR, SIGNER},
    ),
    Attack(
        number=19,
        name="the functions that hash are replaced",
        spoil=_other_code,
        found_by={CHAIN, SIGNER},
    ),
    Attack(
        number=24,
        name="a row without a number speaks of a score that was changed",
        spoil=_entry_without_a_number,
        found_by={CHAIN, ROWS},
    ),
    Attack(
        number=24,
        name="a function that is found before PostgreSQL's says that it was not",
        spoil=_function_before_postgresqls,
        found_by={ROWS},
    ),
    Attack(
        number=24,
        name="an entry is moved to another attempt, and a cast shows it as it was",
        spoil=_cast_between,
        found_by={CHAIN, SIGNER},
    ),
    Attack(
        number=24,
        name="row security hides an entry from all but those who verify",
        spoil=sql(HIDDEN),
        found_by={CHAIN, RECEIPT},
    ),
    Attack(
        number=24,
        name="a view shows another score to all but those who verify",
        spoil=_view_that_knows_who_asks,
        found_by={ROWS},
    ),
    Attack(
        number=22,
        name="a character moves from one column to the next",
        spoil=sql(
            EDIT.format(
                change="entity_id = substring(entity_id FROM 2),"
                " entity_type = entity_type || substring(entity_id FOR 1)"
            )
        ),
        found_by={CHAIN, SIGNER},
    ),
    Attack(
        number=22,
        name="two columns are exchanged",
        spoil=sql(
            EDIT.format(change="entity_id = entity_type, entity_type = entity_id")
        ),
        found_by={CHAIN, SIGNER},
    ),
    Attack(
        number=22,
        name="NULL becomes empty",
        spoil=sql(
            "ALTER DOMAIN audit_name DROP CONSTRAINT audit_name_check;"
            " UPDATE audit_log SET actor_id = ''"
            " WHERE event_type = 'auth.login_failed' AND seq < {unseen}"
        ),
        found_by={CHAIN, SIGNER},
    ),
    Attack(
        number=23,
        name="an erased entry says something again, which is made up",
        spoil=_erased_and_back,
        found_by={CHAIN, ROWS, SIGNER},
    ),
)
