"""During a release two versions of the code serve one database, and nobody notices.

The old one is the code before the newest migrations, out of git, as it runs on one host
while another has been updated already.
"""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from database import embedded
from database.migrate import migrate
from tests.exams import Json, new_exam
from tests.slow.comparison import assert_nothing_is_lost_or_doubled
from tests.slow.exam_morning import (
    ADMIN,
    OWN_PASSWORD,
    Client,
    open_exam,
    retries_of,
    sit_exam,
)
from tests.slow.releases import last_release
from tests.slow.running import database_variables, running_api

STUDENTS = 40
AT_ONCE = 8


@dataclass(slots=True)
class Wanderer(Client):
    """Somebody whose requests go to one host and to the other in turn."""

    others: list[str] = field(default_factory=list)

    def send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        good: tuple[int, ...] = (200, 201, 204),
    ) -> requests.Response:
        self.others.append(self.url)
        self.url = self.others.pop(0)
        # Named, as a class with slots is made anew and has no bare super().
        return Client.send(self, method, path, body, good=good)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    dsn: str
    old: str
    new: str


@pytest.fixture
def hosts(durable_server: embedded.Server, tmp_path: Path) -> Iterator[Hosts]:
    """The old code has served for a while when the new schema and new code come."""
    released = last_release(durable_server, tmp_path)
    keys = {
        name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "JWT_SECRET_KEY")
    }
    variables = database_variables(released.dsn)
    with running_api(
        variables, project=released.code, workers=2, environment=keys
    ) as old:
        assert len(migrate(released.dsn, print)) == released.missing_migrations
        with running_api(variables, workers=2, environment=keys) as new:
            yield Hosts(dsn=released.dsn, old=old.url, new=new.url)


def admin_of(url: str) -> Client:
    admin = Client(url)
    admin.log_in(ADMIN["email"], OWN_PASSWORD)
    return admin


def test_students_of_two_versions_at_once(hosts: Hosts) -> None:
    exam_id, emails = open_exam(hosts.old, STUDENTS)
    first = cycle([(hosts.old, hosts.new), (hosts.new, hosts.old)])

    def connect(_: str) -> Client:
        here, there = next(first)
        return Wanderer(here, others=[there])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        everything = list(
            pool.map(
                lambda email: sit_exam(hosts.old, email, exam_id, connect=connect),
                emails,
            )
        )

    assert retries_of(everything) == {}
    assert_nothing_is_lost_or_doubled(hosts.dsn, everything)
    for url in (hosts.old, hosts.new):
        assert requests.get(f"{url}/health/ready", timeout=30).status_code == 200
        found = admin_of(url).send("GET", "/api/blockchain/verify?deep=true").json()
        assert found["valid"], found


def test_a_request_that_is_sent_again_to_the_other_version_has_one_effect(
    hosts: Hosts,
) -> None:
    open_exam(hosts.old, 1)

    for first, second in ((hosts.old, hosts.new), (hosts.new, hosts.old)):
        admin = admin_of(first)
        admin.session.headers["Idempotency-Key"] = str(uuid4())
        exam = new_exam()
        made = admin.send("POST", "/api/exams", exam).json()
        admin.url = second

        again = admin.send("POST", "/api/exams", exam).json()

        assert again == made
