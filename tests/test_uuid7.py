"""Ids: their version, their order, and that they differ."""

from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from utils.uuid7 import uuid7, uuid7s


@given(st.integers(0, 300))
def test_ids_are_version_7_and_all_differ(count: int) -> None:
    made = uuid7s(count)

    assert len(set(made)) == count
    assert all(one.version == 7 and one.variant == RFC_4122 for one in made)


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    earlier = uuid7()
    moment = earlier.int >> 80
    later = uuid7()
    while later.int >> 80 == moment:
        later = uuid7()

    assert earlier < later


def test_every_random_bit_is_used() -> None:
    ones, zeros = 0, (1 << 128) - 1
    for one in uuid7s(2000):
        ones |= one.int
        zeros &= one.int

    free = ones & ~zeros & (1 << 80) - 1
    assert free.bit_count() == 74
