"""What is attacked: a database in use, its signer, a witness, and what people hold.

An exam was played through the API, a student has his receipt, a board its bundle, an
auditor a checkpoint, and a witness has seen the log twice. Since then the log has grown
again. Each attack is made on a copy of the database, by its superuser.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg2
from psycopg2.extensions import connection, parse_dsn

from app import create_app
from checkpointer.__main__ import ROLE
from config import Settings
from models.connection_settings import ConnectionSettings
from models.database import Database
from services.checkpoint_files import Files, read_keys
from services.checkpointer import Checkpointer
from services.witnessing import ConfiguredWitness, Witnessing
from tests.checkpoints import files_in
from tests.databases import connection_to, copy_of, settings_for
from tests.exams import body
from tests.personas import Api
from tests.reports import observed, record
from tests.scene import Cast, play
from tests.slow.running import free_port
from tests.witnesses import Log, Process, Running
from utils.witness_policy import WitnessPolicy

# Gives every entry from {first} on the hashes that it ought to have, and the head too.
# Whoever owns the database has all that it takes: the functions, and the salts.
REHASH: Final = """
    DO $$
    DECLARE
        entry record;
        prior bytea := coalesce((SELECT hash FROM audit_log WHERE seq = {first} - 1),
                                decode(repeat('00', 32), 'hex'));
        id    bytea := (SELECT log_id FROM audit_head);
    BEGIN
        FOR entry IN SELECT * FROM audit_log WHERE seq >= {first} ORDER BY seq LOOP
            UPDATE audit_log
               SET previous_hash = prior,
                   payload_hash = audit_payload_hash(payload_salt, payload),
                   state_hash = audit_state_hash(payload_salt, state)
             WHERE seq = entry.seq;
            UPDATE audit_log
               SET hash = audit_hash(
                       id, seq, previous_hash, recorded_at, xid, flags, schema_version,
                       payload_hash, state_hash,
                       audit_subject(attempt_id::text, actor_id, event_type,
                                     entity_type, entity_id))
             WHERE seq = entry.seq RETURNING hash INTO prior;
        END LOOP;
        UPDATE audit_head
           SET next_seq = last.seq + 1, hash = last.hash, recorded_at = last.recorded_at
          FROM (SELECT seq, hash, recorded_at FROM audit_log
                 ORDER BY seq DESC LIMIT 1) AS last;
    END $$
"""
NO_RULES: Final = """
    SET session_replication_role = replica;
    ALTER TABLE audit_log DROP CONSTRAINT IF EXISTS audit_log_previous_hash_key;
    ALTER TABLE audit_log DISABLE TRIGGER ALL;
    ALTER TABLE audit_head DISABLE TRIGGER ALL;
    ALTER TABLE checkpoints DISABLE TRIGGER ALL;
    ALTER TABLE checkpoint_timestamps DISABLE TRIGGER ALL;
    ALTER TABLE merkle_tiles DISABLE TRIGGER ALL;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What there was before the attack."""

    server: str
    administrator: connection
    # Names of databases. The backup is from before the second checkpoint.
    original: str
    backup: str
    cast: Cast
    files: Files
    witness: Running
    # What the witness has seen: twice, of so many entries.
    sizes: tuple[int, int]
    # The number of the entry that says that dave has handed in, and of the last entry.
    submitted: int
    last: int
    attempt_id: UUID
    receipt: str
    bundle: bytes

    @property
    def configured(self) -> ConfiguredWitness:
        return ConfiguredWitness(self.witness.key, self.witness.url)

    @property
    def policy(self) -> WitnessPolicy:
        """What whoever checks asks for: the log's key, and this witness."""
        (log,) = read_keys(self.files.keys).verifiers
        return WitnessPolicy.parse(
            f"log {log}\nwitness board {self.witness.key}\nquorum board\n"
        )

    @contextmanager
    def attacked(self, database: str | None = None) -> Iterator["Attacked"]:
        """Copy the database (or the backup) and the signer's files, for one attack."""
        source = database or self.original
        with copy_of(source, self.administrator, self.server) as dsn:
            home = self.files.state.parent / parse_dsn(dsn)["dbname"]
            home.mkdir()
            files = Files(keys=home / "keys.json", state=home / "state.json")
            shutil.copy(self.files.keys, files.keys)
            shutil.copy(self.files.state, files.state)
            with closing(psycopg2.connect(dsn)) as superuser:
                superuser.autocommit = True
                yield Attacked(
                    system=self,
                    superuser=superuser,
                    settings=connection_to(dsn),
                    files=files,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """One copy, in the hands of somebody who owns the database."""

    system: System
    superuser: connection
    settings: ConnectionSettings
    files: Files

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run statements with every trigger and rule off that would be in the way."""
        with self.superuser.cursor() as cursor:
            cursor.execute(NO_RULES + statement)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str) -> Any:
        ((found,),) = self.sql(query)
        return found

    def rehash(self, first: int) -> None:
        """Make all hashes from `first` on right again, and the head."""
        self.sql(REHASH.format(first=first))
        self.forget_what_was_signed()

    def forget_what_was_signed(self) -> None:
        """Take out of the database what would contradict: he owns that too."""
        self.sql("TRUNCATE checkpoint_timestamps, checkpoints, merkle_tiles")

    def application(self) -> Settings:
        """How the API would be started on this database."""
        return with_keys(settings_for(self.settings), self.files)


def with_keys(settings: Settings, files: Files) -> Settings:
    vkeys = tuple(str(key) for key in read_keys(files.keys).verifiers)
    return replace(settings, audit_log_vkeys=vkeys)


@contextmanager
def running(
    server: str, administrator: connection, template: str, home: Path
) -> Iterator[System]:
    """Let an exam be played, signed, witnessed and taken home."""
    with copy_of(template, administrator, server) as dsn:
        settings = settings_for(connection_to(dsn))
        cast = play(dsn, settings)
        with closing(psycopg2.connect(dsn)) as superuser:
            superuser.autocommit = True
            files = files_in(home, superuser)
        process = Process(
            home=home,
            log=Log.of(files),
            port=free_port(),
        )
        process.settle()
        witness = process.start()
        name = parse_dsn(dsn)["dbname"]
        try:
            configured = ConfiguredWitness(witness.key, witness.url)
            first = sign(settings.database, files, configured)
            with copy_of(name, administrator, server) as backup:
                _observe(settings, cast, 11)
                second = sign(settings.database, files, configured)
                held = _take_home(with_keys(settings, files), cast)
                _observe(settings, cast, 13)
                with (
                    closing(psycopg2.connect(dsn)) as superuser,
                    superuser.cursor() as c,
                ):
                    c.execute(
                        "SELECT max(seq) FILTER (WHERE event_type ="
                        " 'attempt.submitted' AND attempt_id = %s), max(seq)"
                        " FROM audit_log",
                        [cast.ids["submitted_attempt_id"]],
                    )
                    ((submitted, last),) = c.fetchall()
                yield System(
                    server=server,
                    administrator=administrator,
                    original=name,
                    backup=parse_dsn(backup)["dbname"],
                    cast=cast,
                    files=files,
                    witness=witness,
                    sizes=(first, second),
                    submitted=submitted,
                    last=last,
                    attempt_id=UUID(cast.ids["submitted_attempt_id"]),
                    **held,
                )
        finally:
            process.kill()


def sign(settings: ConnectionSettings, files: Files, witness: ConfiguredWitness) -> int:
    """Sign what is new and have it cosigned; return its size."""
    with closing(Database(replace(settings, role=ROLE))) as database:
        checkpointer = Checkpointer(database, files)
        checkpointer.begin(is_thorough=True)
        signed = checkpointer.advance(checkpointer.look())
        if signed is None or Witnessing(database, [witness]).cosign(signed) != 1:
            raise RuntimeError("the log is to be signed and witnessed before an attack")
        return signed.size


def _observe(settings: Settings, cast: Cast, first: int) -> None:
    """Let alice report two more events, and somebody fail to log in."""
    app = create_app(settings)
    try:
        nobody = {"email": "nobody@example.edu", "password": "a guess like any other"}
        body(Api(app).as_(None).post("/api/auth/login", json=nobody), 401)
        alice = Api(app).as_(cast["alice"])
        record(alice, cast.paper, observed(first), observed(first + 1))
    finally:
        app.extensions["database"].close()


def _take_home(settings: Settings, cast: Cast) -> Mapping[str, Any]:
    app = create_app(settings)
    try:
        attempt_id = cast.ids["submitted_attempt_id"]
        receipt = body(
            Api(app).as_(cast["dave"]).get(f"/api/exams/attempts/{attempt_id}/receipt")
        )
        bundle = (
            Api(app)
            .as_(cast["ada"])
            .get(f"/api/blockchain/attempt/{attempt_id}/bundle")
        )
        return {"receipt": receipt["proof"], "bundle": bundle.data}
    finally:
        app.extensions["database"].close()
