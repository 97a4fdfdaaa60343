"""Two application hosts and two databases: what is lost with each, while students sit.

Each test has an exam under way through nginx, and a journal of what was acknowledged.
The hosts are network namespaces; where none can be made, these tests are skipped.
"""

import json
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg2
import pytest

from tests.audit_trail import run, scalar
from tests.slow import hosts as running
from tests.slow.comparison import assert_nothing_is_lost_or_doubled
from tests.slow.exam_morning import (
    Acknowledged,
    open_exam,
    retries_of,
    sit_exam,
    verify_log,
)
from tests.slow.hosts import DATABASE, PASSWORD, Hosts
from tests.slow.house import House
from tests.slow.network import Network, NoNamespacesError, network
from tests.slow.replication import waiting_writers
from tests.waiting import until

STUDENTS: Final = 24
ROUNDS: Final = 12
PAUSE_SECONDS: Final = 1.0
# One secret for all hosts: a token of one is good on the other.
SECRETS: Final = {
    "SECRET_KEY": "kq8Zt1vWc3Rb7Ym5Xn9Lp2Hd4Gf6Js0A",  # pragma: allowlist secret
    "JWT_SECRET_KEY": "0aBc9DeF8gHi7JkL6mNo5PqR4sTu3VwX",  # pragma: allowlist secret
}


@pytest.fixture
def net() -> Iterator[Network]:
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    if (program := running.missing()) is not None:
        pytest.skip(f"{program} is not installed; CI installs it")
    with ExitStack() as stack:
        try:
            built = stack.enter_context(network())
        except NoNamespacesError as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield built


@pytest.fixture
def root() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="proctoring-hosts-"))
    # Their programs are other accounts, which have to get through here.
    home.chmod(0o711)
    yield home
    shutil.rmtree(home)


@dataclass(slots=True, kw_only=True)
class Exam:
    """The hosts, the signer and the witness elsewhere, and an exam that is open."""

    hosts: Hosts
    house: House
    origin: str
    exam_id: str
    emails: Sequence[str]
    everything: list[Acknowledged] = field(default_factory=list)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Give the time when all are at work, and then wait for them to hand in."""
        front = self.hosts.front
        with ThreadPoolExecutor(STUDENTS) as pool:
            sitting = [
                pool.submit(
                    sit_exam,
                    front.url,
                    email,
                    self.exam_id,
                    rounds=ROUNDS,
                    pause_seconds=PAUSE_SECONDS,
                    connect=front.connect,
                )
                for email in self.emails
            ]
            at_work = "SELECT count(DISTINCT attempt_id) FROM answers"
            with self.house.sql() as sql:
                until(lambda: bool(scalar(sql, at_work) == STUDENTS))
            assert not any(each.done() for each in sitting), "they were too fast"
            yield
            self.everything = [each.result() for each in sitting]

    def entries(self) -> int:
        return self.house.entries()

    def check(self) -> Counter[str]:
        """Compare all that was acknowledged with what is there; return what failed."""
        assert_nothing_is_lost_or_doubled(self.house.dsn, self.everything)
        front = self.hosts.front
        found = verify_log(front.url, front.connect)
        assert found["valid"], found
        assert found["entries_checked"] > STUDENTS * ROUNDS
        # It is the same log as ever, also to who has seen it from outside.
        self.house.wait_for_the_witness(self.origin)
        with self.house.sql() as sql:
            assert scalar(sql, "SELECT origin FROM audit_head") == self.origin
            assert scalar(sql, "SELECT count(*) FROM audit_suspensions") == 0
        return retries_of(self.everything)


@pytest.fixture
def exam(net: Network, root: Path) -> Iterator[Exam]:
    with running.databases(net, root) as (primary, standby):
        # Whoever follows the primary finds it by himself.
        signer = {
            "DB_HOST": f"{net.address('db1')},{net.address('db2')}",
            "DB_PORT": "5432",
            "DB_NAME": DATABASE,
            "DB_USER": "proctoring_checkpoints",
            "DB_PASSWORD": PASSWORD,
            "PGTARGETSESSIONATTRS": "read-write",
        }
        home = root / "signer"
        home.mkdir(mode=0o700)
        house = House(home, primary.dsn, signer, address=f"{net.prefix}1")
        environment = {
            **SECRETS,
            **house.variables(),
            "RATELIMIT_LOGIN_FAILURES": "5 per hour",
        }
        try:
            with (
                running.applications(net, root, primary, standby, environment) as hosts,
                house.signing(),
            ):
                front = hosts.front
                exam_id, emails = open_exam(front.url, STUDENTS, front.connect)
                yield Exam(
                    hosts=hosts,
                    house=house,
                    origin=house.origin,
                    exam_id=exam_id,
                    emails=emails,
                )
        finally:
            house.process.kill()


def served(hosts: Hosts) -> Counter[str]:
    """Count the answers of each application host, by its address."""
    lines = hosts.front.access_log.read_text().splitlines()
    return Counter(json.loads(line)["upstream"].partition(":")[0] for line in lines)


def report(name: str, errors: Counter[str], **seconds: float) -> None:
    """Say what the document says (pytest -s)."""
    print(f"\n{name}: sent again {dict(errors)}, {seconds}")  # noqa: T201


def test_both_serve_and_a_limit_is_one(exam: Exam) -> None:
    hosts = exam.hosts
    guesser = hosts.front.connect(hosts.front.url)
    wrong = {"email": exam.emails[0], "password": "not the one that it is"}
    with exam.under_way():
        answers = [
            guesser.send("POST", "/api/auth/login", wrong, good=(401, 429)).status_code
            for _ in range(10)
        ]

    errors = exam.check()
    assert answers == [401] * 5 + [429] * 5
    addresses = {hosts.network.address(app.host) for app in hosts.apps}
    assert addresses <= set(served(hosts))
    report("both", errors)


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_the_loss_of_an_application_host(exam: Exam, how: str) -> None:
    hosts, lost = exam.hosts, exam.hosts.apps[0]
    with exam.under_way():
        began = time.monotonic()
        hosts.lose(lost.host, how)
        before = exam.entries()
        until(lambda: exam.entries() > before + STUDENTS)
        seconds = time.monotonic() - began

    errors = exam.check()
    report(f"application host {how}", errors, until_all_went_on=seconds)
    # And it comes back.
    if how == "killed":
        lost.start()
    else:
        hosts.network.plug(lost.host)
    until(lost.is_ready)
    anybody = hosts.front.connect(hosts.front.url)
    address = hosts.network.address(lost.host)

    def serves_again() -> bool:
        anybody.send("GET", "/docs")
        lines = hosts.front.access_log.read_text().splitlines()
        return bool(json.loads(lines[-1])["upstream"] == f"{address}:5000")

    until(serves_again)


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_the_loss_of_the_primary(exam: Exam, how: str) -> None:
    hosts, old, new = exam.hosts, exam.hosts.primary, exam.hosts.standby
    with exam.under_way():
        began = time.monotonic()
        hosts.lose(old.host, how)
        hosts.fail_over()
        exam.house.dsn = new.dsn
        promoted = exam.entries()
        until(lambda: exam.entries() > promoted)
        seconds = time.monotonic() - began

    errors = exam.check()
    report(f"primary {how}", errors, until_written_again=seconds)

    # The other becomes the standby, and is waited for.
    if how == "killed":
        old.follow(new)
    else:
        assert_that_nothing_is_acknowledged_by(old)
        old.stop()
        hosts.network.plug(old.host)
        old.rewind(new)
    new.wait_for_the_standby()
    written = exam.entries()
    verify_log(hosts.front.url, hosts.front.connect)
    with old.sql() as sql:
        until(lambda: scalar(sql, "SELECT next_seq FROM audit_head") > written)


def assert_that_nothing_is_acknowledged_by(old: running.Postgres) -> None:
    """It runs, it takes writes, and there is no standby that it could tell of them."""
    acknowledged = threading.Event()

    def write() -> None:
        with suppress(psycopg2.Error), old.sql() as session:
            run(session, "SELECT pg_logical_emit_message(true, 'test', '')")
            acknowledged.set()

    writer = threading.Thread(target=write)
    writer.start()
    with old.sql() as session:
        until(lambda: waiting_writers(session) > 0)
        assert not acknowledged.wait(2)
        run(
            session,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event = 'SyncRep'",
        )
    writer.join(30)
    assert not acknowledged.is_set()


def test_the_loss_of_the_standby(exam: Exam) -> None:
    hosts, primary, standby = exam.hosts, exam.hosts.primary, exam.hosts.standby
    with exam.under_way():
        hosts.network.kill(standby.host)
        # All writes wait, for as long as nobody decides otherwise.
        with primary.sql() as sql:
            until(lambda: waiting_writers(sql) > 1)
        time.sleep(3)
        began = time.monotonic()
        primary.wait_for_nobody()
        before = exam.entries()
        until(lambda: exam.entries() > before + STUDENTS)
        seconds = time.monotonic() - began
        # It comes back, catches up, and is waited for again.
        standby.start()
        primary.wait_for_the_standby()

    errors = exam.check()
    report("standby killed", errors, until_all_went_on=seconds)
