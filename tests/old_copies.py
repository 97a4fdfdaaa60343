"""A log that was witnessed, and the old copies of it that somebody restores."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg2.extensions import connection

from checkpointer.__main__ import ROLE
from models.checkpoint import StoredCheckpoint
from models.connection_settings import ConnectionSettings
from models.database import Database
from services.checkpoint_files import Files, read_keys
from services.log_watch import LogWatch
from services.witnessing import ConfiguredWitness, Witnessing
from tests.audit_trail import run, scalar
from tests.checkpoints import files_in, sign
from tests.witnesses import Log, Running, serving
from utils.checkpoint import Checkpoint
from utils.signed_note import ED25519, Note, Signer

# What an old backup holds. Logs are so short here that one tile has all of the tree.
SET_BACK = """
    ALTER TABLE audit_log DISABLE TRIGGER USER;
    ALTER TABLE checkpoints DISABLE TRIGGER USER;
    DELETE FROM audit_log WHERE seq >= %(size)s;
    DELETE FROM checkpoints WHERE size > %(size)s;
    DELETE FROM merkle_tiles WHERE NOT EXISTS (SELECT FROM checkpoints);
    UPDATE merkle_tiles
       SET hashes = substring(hashes FOR 32 * (SELECT max(size) FROM checkpoints)::int);
    UPDATE audit_head SET next_seq = last.seq + 1, hash = last.hash,
                          recorded_at = last.recorded_at
      FROM (SELECT seq, hash, recorded_at FROM audit_log
             ORDER BY seq DESC LIMIT 1) AS last;
    ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_no_change;
    ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_no_truncate;
    ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_no_delete;
    ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_no_truncate;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A log, who signs it, and who has seen that."""

    settings: ConnectionSettings
    sql: connection
    files: Files
    witness: Running
    home: Path

    @property
    def configured(self) -> ConfiguredWitness:
        return ConfiguredWitness(self.witness.key, self.witness.url)

    def sign(self) -> StoredCheckpoint:
        """Sign what is new, and have it cosigned."""
        made = sign(self.settings, self.files)
        assert made is not None
        with closing(Database(replace(self.settings, role=ROLE))) as signing:
            assert Witnessing(signing, [self.configured]).cosign(made) == 1
        return made

    def watch(
        self, database: Database, witnesses: Sequence[ConfiguredWitness] | None = None
    ) -> LogWatch:
        """Watch as a process of the API does that has just started."""
        asked = [self.configured] if witnesses is None else witnesses
        return LogWatch(database, asked, read_keys(self.files.keys).verifiers)

    def set_back(self, size: int) -> None:
        set_back(self.sql, size)

    @contextmanager
    def witnessed_anew(self) -> Iterator["Witnessed"]:
        """Serve a witness with the same memory, which was told the newest key."""
        signer = read_keys(self.files.keys).signers[0]
        log = Log(signer=signer, origin=signer.name)
        with serving(self.home / "witness", log) as running:
            yield replace(self, witness=running)


@contextmanager
def witnessed(
    home: Path, settings: ConnectionSettings, sql: connection
) -> Iterator[Witnessed]:
    files = files_in(home, sql)
    with serving(home / "witness", Log.of(files)) as running:
        yield Witnessed(
            settings=settings, sql=sql, files=files, witness=running, home=home
        )


def set_back(sql: connection, size: int) -> None:
    with sql.cursor() as cursor:
        cursor.execute(SET_BACK, {"size": size})


def suspensions(sql: connection) -> list[tuple[object, ...]]:
    return list(
        run(
            sql,
            "SELECT seen_by, size, log_size, log_root IS NULL, lifted_by"
            " FROM audit_suspensions ORDER BY id",
        )
    )


def suspend(sql: connection) -> bool:
    """Do to any log what is done when a witness has seen more of it."""
    ((origin, entries),) = run(sql, "SELECT origin, next_seq FROM audit_head")
    signer = Signer.generate(str(origin), ED25519)
    text = Checkpoint(str(origin), 1_000_000, bytes(32)).render()
    note = Note(text, (signer.sign(text),)).render()
    return bool(
        scalar(
            sql,
            "SELECT audit_suspend(%s, %s, %s, 1000000, %s, %s, NULL)",
            origin,
            "board.example.edu/witness",
            note,
            bytes(32),
            entries,
        )
    )


def resume(sql: connection) -> None:
    run(
        sql,
        "SELECT audit_append(ARRAY['log.resumed'], ARRAY['log'], ARRAY['all'],"
        " ARRAY['system'], ARRAY[NULL::uuid], ARRAY['{}'])",
    )
