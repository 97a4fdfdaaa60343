"""Database, signer and witness are killed again and again while entries are written.

Whatever was signed before, between and after: it is of the log that is there in the
end, and nobody was told of an entry that is not in it.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Self

import pytest

from database import embedded
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from services.audit_anchors import Trust
from services.audit_findings import CheckResult, Verdict
from services.audit_verification import Outside, verify
from services.checkpoint_files import read_keys
from services.witnessing import ConfiguredWitness
from tests.audit_trail import append, run, scalar
from tests.checkpoints import assert_all_true
from tests.databases import connection_to
from tests.slow.house import House, Variables
from tests.slow.running import kill_postgres, restart_postgres
from tests.waiting import until

WRITERS: Final = 4
KILLS: Final = 24


@pytest.fixture
def house(
    tmp_path: Path, durable_dsn: str, database_variables: Variables
) -> Iterator[House]:
    made = House(tmp_path, durable_dsn, database_variables)
    yield made
    made.process.kill()


class Writers:
    """Threads that append, and remember what they were told."""

    def __init__(self, dsn: str) -> None:
        self.acknowledged: list[int] = []
        self._is_over = threading.Event()
        self._dsn = dsn
        self._threads = [threading.Thread(target=self._write) for _ in range(WRITERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self) -> None:
        goal = len(self.acknowledged) + 20
        until(lambda: len(self.acknowledged) >= goal)

    def _write(self) -> None:
        with closing(Database(connection_to(self._dsn))) as database:
            while not self._is_over.is_set():
                try:
                    self.acknowledged += append(database)
                except DatabaseUnavailableError:
                    time.sleep(0.05)


def wait_for_a_checkpoint(house: House) -> None:
    def is_newer() -> bool:
        with house.sql() as sql:
            return bool(scalar(sql, "SELECT max(size) > %s FROM checkpoints", before))

    with house.sql() as sql:
        before = scalar(sql, "SELECT coalesce(max(size), 0) FROM checkpoints")
    until(is_newer)


def test_no_kill_makes_anybody_sign_what_the_log_is_not(
    house: House, durable_server: embedded.Server
) -> None:
    rng = random.Random(9)
    signer = house.start_signing()
    try:
        with Writers(house.dsn) as writers:
            for number in range(KILLS):
                writers.wait_for_more()
                wait_for_a_checkpoint(house)
                time.sleep(rng.uniform(0, 0.4))
                if number % 6 == 5:
                    kill_postgres(durable_server)
                    restart_postgres(durable_server)
                elif number % 2:
                    house.process.kill()
                    house.witness = house.process.start()
                else:
                    signer.kill()
                    signer.wait()
                    signer = house.start_signing()
            writers.wait_for_more()
        # It went on by itself, whatever else was killed meanwhile.
        assert signer.poll() is None
        house.wait_for_the_witness(house.origin)
    finally:
        signer.terminate()
        signer.wait(30)

    with house.sql() as sql:
        found = {seq for (seq,) in run(sql, "SELECT seq FROM audit_log")}
        assert set(writers.acknowledged) <= found
        assert len(set(writers.acknowledged)) == len(writers.acknowledged)
        assert_all_true(sql, house.files)
    keys = read_keys(house.files.keys).verifiers
    trust = Trust(
        log_keys=keys,
        witnesses=(ConfiguredWitness(house.witness.key, house.witness.url),),
    )
    report = verify(
        connection_to(house.dsn),
        outside=Outside(anchors=trust.ask(), log_keys=keys),
    )
    assert report.verdict is Verdict.CONSISTENT_WITH_ANCHOR, report
    assert [each.result for each in report.anchors] == [CheckResult.PASSED]
    assert report.unanchored_entries == 0
