"""When a process counts as busy: not for being full, but for staying so."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import pytest

from models.connection_settings import ConnectionSettings
from models.database import Database
from services.server_load import Load, ServerLoad
from tests.at_once import at_once
from tests.waiting import until


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Machine:
    """A process of twelve threads whose clock and pool the test holds in its hands."""

    is_waited_for: bool = False

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.load = ServerLoad(12, lambda: self.is_waited_for, self.clock)

    def begin(self, requests: int) -> None:
        for _ in range(requests):
            self.load.begin()

    def end(self, requests: int) -> None:
        for _ in range(requests):
            self.load.end()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize(
    ("requests", "seconds", "level"),
    [
        (8, 60.0, Load.OK),
        (9, 0.0, Load.OK),
        (9, 0.24, Load.OK),
        (9, 0.26, Load.BUSY),
        (12, 1.99, Load.BUSY),
        (12, 2.01, Load.OVERLOADED),
    ],
)
def test_it_is_busy_when_a_quarter_of_the_threads_is_not_left_for_long(
    machine: Machine, requests: int, seconds: float, level: Load
) -> None:
    machine.begin(requests)

    machine.clock.seconds = seconds

    assert machine.load.level() is level


def test_a_moment_without_a_queue_begins_anew(machine: Machine) -> None:
    machine.begin(12)
    machine.clock.seconds = 3
    assert machine.load.level() is Load.OVERLOADED

    machine.end(4)
    assert machine.load.level() is Load.OK
    machine.begin(4)

    machine.clock.seconds = 3.2
    assert machine.load.level() is Load.OK
    machine.clock.seconds = 3.3
    assert machine.load.level() is Load.BUSY


def test_it_is_busy_too_when_there_are_too_few_connections(machine: Machine) -> None:
    machine.begin(1)
    machine.is_waited_for = True
    machine.begin(1)

    machine.clock.seconds = 1

    assert machine.load.level() is Load.BUSY
    machine.is_waited_for = False
    assert machine.load.level() is Load.OK


@pytest.mark.parametrize(
    ("seconds", "least", "most"), [(0.0, 0, 0), (1.0, 5, 15), (3.0, 15, 30)]
)
def test_clients_are_not_all_told_the_same(
    machine: Machine, seconds: float, least: int, most: int
) -> None:
    machine.begin(12)
    machine.clock.seconds = seconds

    told = {machine.load.backoff_seconds() for _ in range(300)}

    assert (min(told), max(told)) == (least, most)


def test_every_request_is_counted_once(machine: Machine) -> None:
    def come_and_go() -> None:
        for _ in range(500):
            machine.begin(1)
            machine.end(1)

    at_once([come_and_go] * 8)
    machine.begin(8)

    machine.clock.seconds = 10
    assert machine.load.level() is Load.OK
    machine.begin(1)
    machine.clock.seconds = 20
    assert machine.load.level() is Load.OVERLOADED


def test_the_pool_says_whether_somebody_waits(
    connection_settings: ConnectionSettings,
) -> None:
    database = Database(replace(connection_settings, pool_size=1))

    def come_too() -> None:
        with database.read():
            pass

    with ThreadPoolExecutor(2) as pool, closing(database):
        with database.read():
            assert not database.is_waited_for()
            waiting = [pool.submit(come_too) for _ in range(2)]
            until(database.is_waited_for)
        for each in waiting:
            each.result()

    assert not database.is_waited_for()
