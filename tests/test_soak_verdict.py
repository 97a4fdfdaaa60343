"""A soak finds what grows, and takes neither a warm-up nor a crowd for a leak."""

from pathlib import Path

import psutil
import pytest

from bench.soak.readings import Series, descriptors
from bench.soak.verdict import Verdict, judge

MINUTES = 30
EVERY_SECONDS = 5
BEGINS, ENDS = 600.0, 1500.0


def series(*values: float, unit: str = "MiB") -> Series:
    times = [float(n * EVERY_SECONDS) for n in range(len(values))]
    return Series("a part: memory", unit, times, list(values))


def over_time(value_at: dict[range, float], per_hour: float = 0.0) -> list[float]:
    """Return readings that begin at a value for each range of seconds."""
    return [
        next(value for seconds, value in value_at.items() if second in seconds)
        + per_hour * second / 3600
        for second in range(0, MINUTES * 60, EVERY_SECONDS)
    ]


ALWAYS = range(MINUTES * 60)


def verdict_on(values: list[float], unit: str = "MiB") -> Verdict:
    (found,) = judge([series(*values, unit=unit)], BEGINS, ENDS)
    return found


def test_what_stays_the_same_is_flat() -> None:
    found = verdict_on(over_time({ALWAYS: 150.0}))

    assert found.is_flat
    assert (found.earlier, found.later, found.growth) == (150.0, 150.0, 0.0)


def test_a_leak_is_found() -> None:
    """20 MiB an hour: 150 bytes of each of 40 requests a second."""
    assert not verdict_on(over_time({ALWAYS: 60.0}, per_hour=20.0)).is_flat


def test_descriptors_that_are_never_closed_are_found() -> None:
    assert not verdict_on(over_time({ALWAYS: 40.0}, per_hour=60.0), unit="").is_flat


def test_a_warm_up_is_no_leak() -> None:
    values = over_time({range(500): 40.0, range(500, 1800): 60.0})

    assert verdict_on(values).is_flat


def test_a_crowd_for_a_moment_is_no_leak() -> None:
    values = over_time({range(1100, 1200): 400.0, ALWAYS: 150.0})

    found = verdict_on(values)

    assert found.is_flat
    assert found.highest == 400.0


def test_what_shrinks_is_flat() -> None:
    assert verdict_on(over_time({ALWAYS: 150.0}, per_hour=-60.0)).is_flat


def test_too_few_readings_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="too few readings of a part: memory"):
        judge([series(1.0, 1.0, 1.0)], BEGINS, ENDS)


@pytest.mark.parametrize(
    ("name", "is_counted"),
    [
        ("base/16384/16385", False),
        ("base/16384/16385_fsm", False),
        ("base/16384/16385_vm.1", False),
        ("base/16384/16385.12", False),
        ("global/1262", False),
        ("base/pgsql_tmp/pgsql_tmp7.0", True),
        ("pg_wal/000000010000000000000001", True),
        ("base/16384/pg_internal.init", True),
    ],
)
def test_the_files_of_tables_are_not_counted(
    tmp_path: Path, name: str, *, is_counted: bool
) -> None:
    """Any other file is: one that is not closed any more is a leak."""
    before = descriptors(psutil.Process())
    path = tmp_path / name
    path.parent.mkdir(parents=True)

    with path.open("w"):
        assert descriptors(psutil.Process()) - before == is_counted
