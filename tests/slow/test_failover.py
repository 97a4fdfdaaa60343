"""A standby takes over without the last entries, which were signed and witnessed."""

import shutil
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from database import embedded
from models.database import Database
from models.database_errors import DatabaseUnavailableError, LogSuspendedError
from services.log_watch import LogCheck
from tests.audit_trail import append, run, scalar
from tests.databases import connection_to
from tests.old_copies import suspensions, witnessed
from tests.waiting import until


def test_a_standby_that_takes_over_without_the_end_is_not_written(
    durable_server: embedded.Server,
    durable_dsn: str,
    standby: embedded.Server,
    tmp_path: Path,
) -> None:
    name = parse_dsn(durable_dsn)["dbname"]
    behind = make_dsn(standby.dsn(), dbname=name)
    # What a virtual address or a name of the service does.
    service = Path(tempfile.mkdtemp(prefix="service-")) / "now"
    service.symlink_to(durable_server.host)
    settings = replace(connection_to(durable_dsn), host=str(service))
    with (
        closing(psycopg2.connect(durable_dsn)) as sql,
        closing(psycopg2.connect(behind)) as follower,
        closing(Database(settings)) as database,
    ):
        sql.autocommit = follower.autocommit = True
        with witnessed(tmp_path, settings, sql) as log:
            append(database, 5)
            log.sign()
            watch = log.watch(database)
            assert watch.check() is LogCheck.AGREES
            entries = "SELECT next_seq FROM audit_head"
            until(lambda: bool(scalar(follower, entries) == 6))
            lose_the_way(follower)
            append(database, 4)
            log.sign()

            # While it only follows, being behind is no crime.
            service.unlink()
            service.symlink_to(standby.host)
            database.close()
            with pytest.raises(DatabaseUnavailableError):
                append(database)
            watch.check_if_due()
            assert watch.result is LogCheck.NOT_CHECKED
            assert suspensions(follower) == []

            run(follower, "SELECT pg_promote()")
            assert watch.check() is LogCheck.CONTRADICTED

        assert scalar(follower, entries) == 6
        with pytest.raises(LogSuspendedError):
            append(database)
        assert suspensions(follower) == [(log.witness.key.name, 10, 6, True, None)]
    shutil.rmtree(service.parent)


def lose_the_way(follower: psycopg2.extensions.connection) -> None:
    """Let the network between the two servers end."""
    run(follower, "ALTER SYSTEM SET primary_conninfo = ''")
    run(follower, "SELECT pg_reload_conf()")
    until(lambda: scalar(follower, "SELECT count(*) FROM pg_stat_wal_receiver") == 0)
