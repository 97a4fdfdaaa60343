"""How much of an exam is read at once to compare its attempts: Cohorts."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from models.risk_subject import Subject
from services.analysis_cohort import chunks

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


def with_events(reported_events: int) -> Subject:
    return Subject(
        attempt_id=uuid4(),
        student_id=uuid4(),
        started_at=NOW,
        ended_at=None,
        last_seen_at=NOW,
        row_version="1",
        is_voided=False,
        reported_events=reported_events,
    )


@pytest.mark.parametrize(
    ("events", "sizes"),
    [
        ([], []),
        ([100] * 120, [50, 50, 20]),
        # A client with a defect reports as much as it may, and everybody has it.
        ([20_000] * 3, [1, 1, 1]),
        ([8000] * 5, [2, 2, 1]),
        ([1, 19_999, 1], [2, 1]),
    ],
)
def test_the_database_waits_for_no_more_events_than_one_attempt_can_have(
    events: list[int], sizes: list[int]
) -> None:
    subjects = [with_events(each) for each in events]

    found = list(chunks(subjects))

    assert [len(each) for each in found] == sizes
    assert [each for chunk in found for each in chunk] == subjects
