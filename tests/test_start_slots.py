"""Start slots: even, always the same, and never at a student's cost."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.start_slots import GRACE, LONGEST_WINDOW, start_at

NINE = datetime(2027, 1, 28, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
EXAM = UUID(int=1)


def delay(
    student: int, *, assigned: int, slack: timedelta = HOUR, exam: UUID = EXAM
) -> timedelta:
    """Return how much after nine a student is to start an exam of an hour.

    `slack` is by how much its window is longer.
    """
    slot = start_at(
        exam,
        UUID(int=student),
        starts_at=NINE,
        ends_at=NINE + HOUR + slack,
        duration=HOUR,
        assigned=assigned,
    )
    return slot - NINE


@pytest.mark.parametrize(
    ("assigned", "seconds"), [(51, 1.02), (500, 10), (1500, 30), (100_000, 30)]
)
def test_the_window_grows_with_those_who_are_assigned(
    assigned: int, seconds: float
) -> None:
    delays = [delay(n, assigned=assigned) for n in range(1000)]

    assert min(delays) < timedelta(seconds=seconds) / 50
    assert timedelta(seconds=seconds) * 0.98 < max(delays) < timedelta(seconds=seconds)


@pytest.mark.parametrize("assigned", [1, 50])
def test_a_small_exam_has_no_slots(assigned: int) -> None:
    assert {delay(n, assigned=assigned) for n in range(assigned)} == {timedelta()}


def test_as_many_start_in_each_second() -> None:
    seconds = Counter(int(delay(n, assigned=2000).total_seconds()) for n in range(2000))

    # 67 on average; by chance alone some 8 more or less.
    assert len(seconds) == 30
    assert max(seconds.values()) < 2 * 2000 / 30


def test_a_slot_stays_what_it_was_and_is_another_in_another_exam() -> None:
    later = [delay(n, assigned=1000, exam=UUID(int=2)) for n in range(100)]
    slots = [delay(n, assigned=1000) for n in range(100)]

    assert slots == [delay(n, assigned=1000) for n in range(100)]
    # Who is late in one is not in the other.
    assert 30 < sum(a < b for a, b in zip(slots, later, strict=True)) < 70


@given(
    student=st.integers(0, 2**128 - 1),
    assigned=st.integers(1, 100_000),
    slack=st.timedeltas(timedelta(hours=-2), timedelta(hours=2)),
)
def test_a_slot_never_costs_time(student: int, assigned: int, slack: timedelta) -> None:
    """Who starts at his slot, or a little later, has his full time before the end."""
    slot = delay(student, assigned=assigned, slack=slack)

    assert timedelta() <= slot <= LONGEST_WINDOW
    assert slot == timedelta() or slot + GRACE <= slack


@pytest.mark.parametrize("slack", [timedelta(), GRACE, timedelta(minutes=-10)])
def test_where_the_end_would_cut_there_is_no_slot(slack: timedelta) -> None:
    """An exam whose window is as long as the exam: everybody starts at nine."""
    assert {delay(n, assigned=2000, slack=slack) for n in range(200)} == {timedelta()}


def test_where_there_is_little_room_the_window_is_shorter() -> None:
    room = timedelta(seconds=8)

    delays = [delay(n, assigned=2000, slack=room + GRACE) for n in range(1000)]

    assert timedelta(seconds=7.8) < max(delays) <= room
