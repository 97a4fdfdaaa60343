"""Of two of the staff who decide about one attempt the second sees what the first did.

The first has decided and waits to be committed, with his locks.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from uuid import UUID

import pytest

from models import attempt
from models.answer import HandMark
from models.attempt import Attempt, ReviewStatus
from models.attempt_review import Review
from models.database import Database
from models.principal import Principal
from services.attempt_errors import AttemptStepError
from services.attempt_service import AttemptService, SentAnswer
from services.grade_service import GradeService
from services.proctor_actions import ProctorActions
from services.review_service import ReviewService, ReviewStepError
from tests.exam_room import ExamRoom
from tests.services.conftest import Uncommitted

# What an admin does to an attempt; the last is a question that was answered.
Step = Callable[[Database, Principal, UUID, UUID], object]
OF_RUNNING: dict[str, Step] = {
    "pause": lambda database, admin, own, _: ProctorActions(database).pause_attempt(
        admin, own, "fire alarm"
    ),
    "extend": lambda database, admin, own, _: ProctorActions(database).extend_attempt(
        admin, own, 5, "fire alarm"
    ),
    "terminate": lambda database, admin, own, _: ProctorActions(
        database
    ).terminate_attempt(admin, own, "has left"),
}
OF_ENDED: dict[str, Step] = {
    "reopen": lambda database, admin, own, _: ProctorActions(database).reopen_attempt(
        admin, own, 600, "a mistake"
    ),
    "grade": lambda database, admin, own, asked: GradeService(database).grade_answers(
        admin, own, [HandMark(question_id=asked, points=Decimal(1), comment=None)]
    ),
}
OF_BOTH: dict[str, Step] = {
    "void": lambda database, admin, own, _: ProctorActions(database).void_attempt(
        admin, own, "again"
    ),
}


@pytest.fixture
def own(room: ExamRoom, attempts: AttemptService) -> Attempt:
    """An attempt that runs, with an answer."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    product = room.questions[1].id
    sent = SentAnswer(question_id=product, response=42, client_version=1)
    attempts.save_answers(alice, own.id, [sent])
    return own


@pytest.mark.parametrize(
    ("step", "has_ended"),
    [
        *((step, False) for step in (OF_RUNNING | OF_BOTH).values()),
        *((step, True) for step in (OF_ENDED | OF_BOTH).values()),
    ],
    ids=[*OF_RUNNING, "void a running one", *OF_ENDED, "void an ended one"],
)
def test_nothing_is_done_to_what_is_being_voided(
    *,
    uncommitted: Uncommitted,
    room: ExamRoom,
    own: Attempt,
    actions: ProctorActions,
    database: Database,
    step: Step,
    has_ended: bool,
) -> None:
    if has_ended:
        actions.terminate_attempt(room.admin, own.id, "has left")
    void = partial(actions.void_attempt, room.admin, own.id, "the wrong exam")

    with uncommitted(void) as pool:
        late = pool.submit(step, database, room.admin, own.id, room.questions[1].id)
    with pytest.raises(AttemptStepError):
        late.result()

    assert room.event_types(own.id)[-1] == "attempt.voided"


def test_of_two_verdicts_at_once_the_second_is_refused(
    uncommitted: Uncommitted,
    room: ExamRoom,
    own: Attempt,
    actions: ProctorActions,
    database: Database,
) -> None:
    reviews, bob = ReviewService(database), room.new_proctor()
    actions.terminate_attempt(room.admin, own.id, "has left")
    unread = Review(status=ReviewStatus.IN_REVIEW, note=None)
    reviews.review_attempt(room.admin, own.id, unread)
    first = Review(status=ReviewStatus.CLEARED, note="A cough.")
    second = Review(status=ReviewStatus.CONFIRMED_VIOLATION, note="A call.")

    with uncommitted(
        partial(reviews.review_attempt, room.admin, own.id, first)
    ) as pool:
        late = pool.submit(reviews.review_attempt, bob, own.id, second)
    with pytest.raises(ReviewStepError):
        late.result()

    with database.read() as tx:
        found = attempt.get(tx, own.id)
    assert found is not None
    assert (found.review_status, found.review_note) == (first.status, first.note)
