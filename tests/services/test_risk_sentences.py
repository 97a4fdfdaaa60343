"""What a student reads of himself: each number in it, and each cause."""

from uuid import UUID

import pytest

from services.proctoring_policy import ProctoringPolicy
from services.risk import Cohort, ObservedEvent, analyse
from services.risk.cohort import Deviation
from services.risk.explanation import of_events, of_similarity, of_timing
from services.risk.observations import Evidence, gather
from services.risk.similarity import SimilarAttempt
from services.risk.timing import FastAnswers
from services.risk.weighting import (
    CURRENT,
    WITHOUT_COHORT,
    WITHOUT_CONTEXT,
    Weighting,
)
from tests.risk_inputs import POLICY, attempt, event


def evidence(*events: ObservedEvent) -> Evidence:
    (found,) = gather(attempt(*events), POLICY, CURRENT).values()
    return found


def said(
    *events: ObservedEvent,
    robust_z: float | None = None,
    weighting: Weighting = CURRENT,
) -> str:
    compared = (
        None
        if robust_z is None
        else Deviation(median=0.0, spread=1.0, robust_z=robust_z)
    )
    return of_events(evidence(*events), compared, weighting)


@pytest.mark.parametrize(
    ("lasting", "told"),
    [
        (0, "(once)"),
        (0.999, "(once)"),
        (1, "(once, 1 s in all)"),
        (59.4, "(once, 59 s in all)"),
        (59.6, "(once, 1 min in all)"),
        (61, "(once, 1 min 1 s in all)"),
        (600, "(once, 10 min in all)"),
    ],
)
def test_how_long_it_was(lasting: float, told: str) -> None:
    assert (
        said(event("focus.lost", 60, lasting))
        == f"Reported: leaving the exam window {told}."
    )


def test_how_often_it_was_and_what() -> None:
    lost = [event("focus.lost", 60 * each, 20) for each in range(3)]

    assert said(*lost) == ("Reported: leaving the exam window (3 times, 1 min in all).")
    # What lies between is not told as if it had been seen.
    assert said(event("focus.lost", 60, 2), event("focus.lost", 65, 3)) == (
        "Reported: leaving the exam window (2 times, 5 s in all)."
    )
    # What two say of the same seconds is told once, and what was merged as often.
    assert said(event("focus.lost", 60, 4), event("focus.lost", 62, 4, times=3)) == (
        "Reported: leaving the exam window (4 times, 6 s in all)."
    )
    assert said(lost[0], event("fullscreen.exited", 400)) == (
        "Reported: leaving the exam window (once, 20 s in all) and leaving full screen"
        " (once)."
    )
    switched = event("app.switch_attempt", 500)
    assert said(lost[0], event("fullscreen.exited", 400), switched) == (
        "Reported: trying to switch to another program (once), leaving the exam window"
        " (once, 20 s in all) and leaving full screen (once)."
    )


@pytest.mark.parametrize(
    ("robust_z", "told"),
    [
        (-1, "that is less than is usual in this exam, so it weighs less"),
        (-0.999, "that is about what is usual in this exam, so it weighs less"),
        (0.999, "that is about what is usual in this exam, so it weighs less"),
        (1, "that is more than is usual in this exam"),
        (2.999, "that is more than is usual in this exam"),
        (3, "that is far more than is usual in this exam"),
    ],
)
def test_how_unlike_the_others_it_was(robust_z: float, told: str) -> None:
    assert said(event("focus.lost", 60), robust_z=robust_z) == (
        f"Reported: leaving the exam window (once); {told}."
    )


def test_what_is_excused_and_what_is_left_out() -> None:
    """In this order, after what is usual."""
    unseen = [event("face.not_visible", each, 6) for each in (600, 700, 1200)]
    camera = event("media.webcam_disconnected", 595, 15)
    picture = event("media.quality_low", 695, 15)
    slight = event("face.partially_visible", 2000)

    assert said(*unseen, camera, picture, slight, robust_z=1) == (
        "Reported: your face being out of the picture (3 times, 18 s in all); that is"
        " more than is usual in this exam; 2 of it fell into poor picture or sound or"
        " the webcam being off, and weighs less; 1 more too short, too rare or too"
        " slight to count."
    )


def test_a_trial_says_of_nothing_that_it_weighs_less_if_it_does_not() -> None:
    lost = event("focus.lost", 605)
    outage = event("client.disconnected", 600, 15)
    told = (
        "Reported: leaving the exam window (once); that is about what is usual in this"
        " exam{usual}; 1 of it fell into a lost connection{excused}."
    )

    assert said(lost, outage, robust_z=0, weighting=WITHOUT_COHORT) == told.format(
        usual="", excused=", and weighs less"
    )
    assert said(lost, outage, robust_z=0, weighting=WITHOUT_CONTEXT) == told.format(
        usual=", so it weighs less", excused=""
    )


def test_what_does_not_count_is_told() -> None:
    assert said(event("object.phone", 60)) == (
        "Reported: a phone (once); this was too short, too rare or too slight to count."
    )


def test_the_sentence_is_that_of_the_analysis() -> None:
    lost = event("focus.lost", 60, 20)
    (factor,) = analyse(attempt(lost), Cohort(), POLICY).factors

    assert factor.explanation == said(lost)
    assert factor.evidence == (lost.id,)


def test_shared_wrong_answers_are_told_without_a_word_on_whose_they_are() -> None:
    found = SimilarAttempt(
        attempt_id=UUID(int=7),
        shared_wrong_answers=9,
        expected=1.26,
        probability=0.0001,
        question_ids=(),
    )

    assert of_similarity(found) == (
        "9 of your wrong answers are the same as those of another student, where about"
        " 1.3 would be expected by chance; this does not say who took them from whom,"
        " or that anyone did."
    )


def test_fast_answers_are_told_with_what_guessing_explains() -> None:
    """By the exam's own limits: how fast somebody reads, nobody knows."""
    found = FastAnswers(right=tuple(UUID(int=each) for each in range(7)), excess=5.67)
    policy = ProctoringPolicy(
        minimum_answer_seconds=2.5, fast_answer_share_of_median=0.3
    )

    assert of_timing(found, policy, is_compared=True) == (
        "7 right answers were saved with less than 2.5 s for each, or less than 30 % of"
        " what is usual for the question in this exam; guessing would explain 1.3 of"
        " them."
    )
    assert of_timing(found, policy, is_compared=False) == (
        "7 right answers were saved with less than 2.5 s for each; guessing would"
        " explain 1.3 of them."
    )
