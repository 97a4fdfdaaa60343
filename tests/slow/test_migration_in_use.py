"""The schema changes while students sit an exam, on tables with years in them."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from database import embedded
from database.migrate import MIGRATIONS, migrate, pending
from database.seed import seed_if_empty
from tests.many_rows import Size, fill
from tests.slow.comparison import assert_log_is_whole, rows, stored_events
from tests.slow.exam_morning import (
    Acknowledged,
    open_exam,
    retries_of,
    sit_all,
    sit_exam,
)
from tests.slow.releases import Release, last_release
from tests.slow.running import (
    RunningApi,
    database_variables,
    running_api,
)
from tests.waiting import until

SIZE = Size(attempts=5000, events_of_an_attempt=100)
STUDENTS = 48
AT_ONCE = 6
RUNNING = "SELECT FROM attempts WHERE status = 'in_progress'"
# What later migrations may do to the largest table.
NEXT = """
    SET LOCAL ROLE proctoring_owner;
    ALTER TABLE proctoring_events
        ADD COLUMN reviewed boolean NOT NULL DEFAULT false,
        ADD CONSTRAINT proctoring_events_reviewed_check
            CHECK (NOT reviewed OR sequence IS NOT NULL) NOT VALID;
    CREATE INDEX proctoring_events_received_at_idx ON proctoring_events (received_at)
"""


@pytest.fixture
def with_one_more(tmp_path: Path) -> Path:
    """The migrations that there are, and one that changes the largest table."""
    directory = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, directory)
    number = len(list(directory.glob("*.sql"))) + 1
    (directory / f"{number:04}_largest_table.sql").write_text(NEXT)
    return directory


@contextmanager
def sitting(
    dsn: str, url: str, exam_id: str, emails: Sequence[str]
) -> Iterator[list[Acknowledged]]:
    """Have students sit the exam meanwhile; in the end all of them have submitted."""
    done: list[Acknowledged] = []
    with ThreadPoolExecutor(1) as pool:
        all_of_them = pool.submit(
            lambda: sit_all(url, exam_id, emails, at_once=AT_ONCE, pause_seconds=0.1)
        )
        until(lambda: rows(dsn, RUNNING) != [])
        yield done
        assert not all_of_them.done(), "there was nobody left to notice"
        done += all_of_them.result()


def checked_retries(dsn: str, done: Sequence[Acknowledged]) -> Counter[str]:
    """Return why something was sent again, once all that was acknowledged is there."""
    assert all(each.receipt for each in done)
    acknowledged = {event: seq for each in done for event, seq in each.events.items()}
    assert acknowledged.items() <= stored_events(dsn).items()
    return retries_of(done)


@pytest.fixture
def old_school(
    durable_server: embedded.Server, tmp_path: Path
) -> Iterator[tuple[Release, RunningApi]]:
    """The code of the last release on its own schema, with half a million events."""
    released = last_release(durable_server, tmp_path)
    variables = database_variables(released.dsn)
    with running_api(variables, project=released.code, workers=2) as api:
        yield released, api


def test_migrations_of_large_tables_in_use_fail_no_request(
    old_school: tuple[Release, RunningApi], with_one_more: Path
) -> None:
    released, api = old_school
    dsn = released.dsn
    exam_id, emails = open_exam(api.url, STUDENTS)
    # The rows are made like those of the first one, who has been analysed by then.
    first = sit_exam(api.url, emails[0], exam_id)
    until(lambda: rows(dsn, "SELECT FROM ai_analyses") != [])
    fill(dsn, SIZE)

    with sitting(dsn, api.url, exam_id, emails[1:]) as done:
        applied = migrate(dsn, print, with_one_more)

    assert len(applied) == released.missing_migrations + 1
    # As long as an index is made nobody writes to its table; all wait for two seconds.
    assert set(checked_retries(dsn, [first, *done])) <= {"503"}
    assert_log_is_whole(dsn, api)
    ((events,),) = rows(
        dsn, "SELECT count(*) FROM proctoring_events WHERE NOT reviewed"
    )
    assert int(str(events)) > SIZE.events


def test_a_migration_does_not_wait_in_front_of_everybody(
    durable_dsn: str, with_one_more: Path
) -> None:
    """Somebody reads the largest table for long, and all others go on writing to it."""
    seed_if_empty(durable_dsn)
    attempts = []
    with (
        running_api(database_variables(durable_dsn), workers=2) as api,
        closing(psycopg2.connect(durable_dsn)) as reader,
        reader.cursor() as cursor,
    ):
        exam_id, emails = open_exam(api.url, STUDENTS)
        cursor.execute("SELECT count(*) FROM proctoring_events")
        with sitting(durable_dsn, api.url, exam_id, emails) as done:
            for _ in range(3):
                with pytest.raises(psycopg2.errors.LockNotAvailable):
                    migrate(durable_dsn, print, with_one_more)
                attempts.append(pending(durable_dsn, with_one_more))
                time.sleep(1)
            reader.rollback()
            migrate(durable_dsn, print, with_one_more)

        assert attempts == 3 * [[max(with_one_more.iterdir()).name]]
        assert pending(durable_dsn, with_one_more) == []
        retries = checked_retries(durable_dsn, done)
        # If it waited longer than requests do, each of them would be told so each time.
        assert set(retries) <= {"503"}
        assert retries.total() < AT_ONCE
        assert_log_is_whole(durable_dsn, api)
