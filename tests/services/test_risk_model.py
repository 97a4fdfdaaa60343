"""Laws that the risk model keeps for every attempt, and what it makes of some."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.event_catalogue import EVENT_TYPES, EventClass
from services.proctoring_policy import (
    FACTOR_CODES,
    MEDIA_CODES,
    ProctoringPolicy,
)
from services.risk import (
    AnsweredQuestion,
    Cohort,
    ObservedEvent,
    Pause,
    RiskLevel,
    UnknownModelVersionError,
    analyse,
    measure,
)
from services.risk.weighting import (
    COMPUTED_FROM_ANSWERS,
    CURRENT,
    FACTOR_EVENTS,
    FACTOR_OF_CODE,
)
from tests.risk_inputs import POLICY, at, attempt, cohort_of, event


def score(
    *events: ObservedEvent,
    cohort: Cohort = Cohort(),  # noqa: B008  # Immutable.
    policy: ProctoringPolicy = POLICY,
) -> float:
    return analyse(attempt(*events), cohort, policy).risk_score


INTEGRITY = sorted(
    code
    for code, each in EVENT_TYPES.items()
    if each.event_class is EventClass.INTEGRITY
)
TECHNICAL = sorted(
    code
    for code, each in EVENT_TYPES.items()
    if each.event_class is EventClass.TECHNICAL
)
OTHER = sorted(EVENT_TYPES.keys() - set(INTEGRITY) - set(TECHNICAL))
DETECTIONS = sorted(code for code, each in EVENT_TYPES.items() if each.is_detection)


def events_of(codes: Sequence[str], max_seconds: float) -> st.SearchStrategy[object]:
    return st.builds(
        event,
        st.sampled_from(codes),
        st.integers(0, 3599).map(float),
        st.sampled_from([0.0, 1.0, 4.0, 6.0, 12.0, 45.0, max_seconds]),
        sequence=st.sampled_from([None, 1, 2, 3]),
        confidence=st.sampled_from([None, 0.4, 0.5, 0.9]),
    )


any_integrity = events_of([*INTEGRITY, *sorted(MEDIA_CODES)], 600.0)
any_technical = events_of(TECHNICAL, 50.0)
any_event = events_of(sorted(EVENT_TYPES), 600.0)
any_reports = st.lists(st.integers(0, 3600).map(at), max_size=40)
any_cohort = st.lists(st.floats(0, 20), max_size=14).map(lambda each: cohort_of(*each))


@settings(max_examples=150, deadline=None)
@given(
    events=st.lists(any_event, max_size=25),
    reports=any_reports,
    cohort=any_cohort,
    seed=st.integers(0, 2**32),
)
def test_the_order_of_the_inputs_does_not_matter(
    events: list[ObservedEvent],
    reports: list[datetime],
    cohort: Cohort,
    seed: int,
) -> None:
    rng = Random(seed)
    pauses = (
        Pause(started_at=at(60), ended_at=at(90)),
        Pause(started_at=at(500), ended_at=None),
    )
    inputs = attempt(*events, report_times=reports, pauses=pauses)
    shuffled = replace(
        inputs,
        events=tuple(rng.sample(events, len(events))),
        report_times=tuple(rng.sample(reports, len(reports))),
        pauses=pauses[::-1],
    )
    others = Cohort(members=cohort.members[::-1])

    assert analyse(shuffled, others, POLICY) == analyse(inputs, cohort, POLICY)


@settings(max_examples=200, deadline=None)
@given(
    events=st.lists(any_event, max_size=20),
    more=any_integrity,
    reports=any_reports,
    cohort=any_cohort,
)
def test_more_integrity_evidence_never_lowers_the_score(
    events: list[ObservedEvent],
    more: ObservedEvent,
    reports: list[datetime],
    cohort: Cohort,
) -> None:
    # A media event that is short is technical, and those may lower it: see below.
    more = replace(more, event_class=EventClass.INTEGRITY)
    before = attempt(*events, report_times=reports)
    after = attempt(*events, more, report_times=reports)

    assert (
        analyse(after, cohort, POLICY).risk_score
        >= analyse(before, cohort, POLICY).risk_score
    )


@settings(max_examples=200, deadline=None)
@given(
    events=st.lists(any_event, max_size=20),
    more=any_technical | events_of(OTHER, 600.0),
    reports=any_reports,
    cohort=any_cohort,
)
def test_what_is_no_matter_of_integrity_never_raises_the_score(
    events: list[ObservedEvent],
    more: ObservedEvent,
    reports: list[datetime],
    cohort: Cohort,
) -> None:
    before = attempt(*events, report_times=reports)
    after = attempt(*events, more, report_times=reports)

    assert (
        analyse(after, cohort, POLICY).risk_score
        <= analyse(before, cohort, POLICY).risk_score
    )


@settings(max_examples=150, deadline=None)
@given(events=st.lists(any_event, max_size=40), cohort=any_cohort)
def test_a_score_is_the_sum_of_explained_contributions(
    events: list[ObservedEvent], cohort: Cohort
) -> None:
    analysis = analyse(attempt(*events), cohort, POLICY)

    assert 0 <= analysis.risk_score <= 100
    assert 0 <= analysis.confidence <= 1
    assert round(sum(f.contribution for f in analysis.factors), 2) == (
        analysis.risk_score
    )
    known = {each.id for each in events}
    for factor in analysis.factors:
        assert factor.contribution >= 0
        assert factor.evidence
        assert known.issuperset(factor.evidence)
        assert factor.explanation.startswith("Reported: ")
        assert factor.explanation.endswith(".")


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(any_technical | events_of(OTHER, 600.0), min_size=1, max_size=40),
    reports=any_reports,
)
def test_without_integrity_events_there_is_no_risk(
    events: list[ObservedEvent], reports: list[datetime]
) -> None:
    analysis = analyse(attempt(*events, report_times=reports), Cohort(), POLICY)

    assert analysis.risk_score == 0
    assert analysis.factors == ()
    assert analysis.risk_level is RiskLevel.NONE


@pytest.mark.parametrize("code", DETECTIONS)
def test_one_frame_scores_nothing_and_is_told(code: str) -> None:
    analysis = analyse(attempt(event(code, 60)), Cohort(), POLICY)

    assert analysis.risk_score == 0
    (factor,) = analysis.factors
    assert factor.contribution == 0
    assert "too short" in factor.explanation


@pytest.mark.parametrize(
    "code", [code for code in DETECTIONS if code != "face.partially_visible"]
)
def test_a_sustained_or_a_repeated_detection_scores(code: str) -> None:
    sustained = score(event(code, 60, 6))
    repeated = score(*(event(code, each) for each in (60, 120, 180)))
    twice = score(*(event(code, each) for each in (60, 120)))

    assert sustained > 0
    assert repeated > 0
    assert twice == 0


def test_two_frames_that_lie_apart_are_not_a_sustained_sighting() -> None:
    assert score(event("object.phone", 60), event("object.phone", 68)) == 0


def test_what_a_person_saw_counts_at_once() -> None:
    assert score(event("object.phone", 60, sequence=None)) > 0


def test_an_unsure_detector_is_not_believed() -> None:
    assert score(event("object.phone", 60, 20, confidence=0.49)) == 0
    assert (
        0
        < score(event("object.phone", 60, 20, confidence=0.6))
        < score(event("object.phone", 60, 20, confidence=0.9))
    )


def test_a_burst_is_one_episode() -> None:
    burst = score(*(event("fullscreen.exited", 60 + 0.1 * n) for n in range(20)))
    apart = score(*(event("fullscreen.exited", 60 + 60 * n) for n in range(20)))

    assert burst == pytest.approx(score(event("fullscreen.exited", 60)), rel=0.3)
    assert apart > 5 * burst


def test_one_act_does_not_pay_twice() -> None:
    left = [event("focus.lost", 60 * n, 20) for n in range(1, 4)]
    also = [event("fullscreen.exited", 60 * n, 20) for n in range(1, 4)]

    assert score(*left, *also) == score(*left)


def test_duration_matters() -> None:
    assert score(event("focus.lost", 60, 60)) > 5 * score(event("focus.lost", 60, 5))


def test_no_number_of_events_reaches_past_the_weight_of_its_factor() -> None:
    many = [event("focus.lost", each) for each in range(3600)]

    assert score(*many) == pytest.approx(100 * CURRENT.weights["navigation"], abs=0.1)


def test_three_short_losses_of_focus_are_medium() -> None:
    three = attempt(*(event("focus.lost", 60 * each) for each in range(3)))

    exposure = measure(three, POLICY).exposures["navigation"]

    assert exposure == pytest.approx(3 * 0.3)


def test_what_everybody_does_weighs_less_than_what_nobody_does() -> None:
    mine = [event("focus.lost", 60 * each, 15) for each in range(1, 4)]
    noisy = cohort_of(2.0, 2.2, 2.4, 2.1, 2.3, 1.9, 2.6, 2.2)
    quiet = cohort_of(*[0.0] * 8)

    alone = score(*mine)

    assert score(*mine, cohort=noisy) < 0.5 * alone
    assert score(*mine, cohort=quiet) > alone


def test_a_cohort_that_is_too_small_is_not_asked() -> None:
    mine = [event("focus.lost", 60 * each, 15) for each in range(1, 4)]

    analysis = analyse(attempt(*mine), cohort_of(*[9.0] * 7), POLICY)

    assert analysis.cohort.is_compared is False
    assert analysis.cohort.size == 7
    assert analysis.risk_score == score(*mine)
    assert analysis.confidence == CURRENT.confidence_without_cohort


def test_a_lost_connection_excuses_what_happened_meanwhile() -> None:
    lost = event("focus.lost", 610, 20)
    outage = event("client.disconnected", 600, 60)
    silent = [at(each) for each in range(0, 3601, 15) if not 600 < each < 660]

    excused = analyse(attempt(lost, outage, report_times=silent), Cohort(), POLICY)

    assert 0 < excused.risk_score < 0.35 * score(lost)
    assert "a lost connection" in excused.factors[0].explanation


def test_an_outage_during_which_reports_arrived_excuses_nothing() -> None:
    lost = event("focus.lost", 610, 20)
    claimed = event("client.disconnected", 600, 60)

    assert score(lost, claimed) == score(lost)


def test_a_camera_that_was_off_for_long_excuses_nothing() -> None:
    missing = event("face.not_visible", 600, 50)
    short = event("media.webcam_disconnected", 595, 55)
    long = event("media.webcam_disconnected", 595, 61)

    assert score(missing, short) < score(missing)
    # Nor does it count beside what it has made invisible: a moment counts once.
    with_long = measure(attempt(missing, long), POLICY).exposures
    assert with_long == measure(attempt(long), POLICY).exposures


def test_what_is_excused_helps_nothing_else_to_count() -> None:
    frames = [event("face.not_visible", each) for each in (600, 620, 1200)]
    outage = event("media.webcam_disconnected", 595, 30)

    analysis = analyse(attempt(*frames, outage), Cohort(), POLICY)

    assert score(*frames) > 0
    (factor,) = analysis.factors
    # The two that are excused still count for a little, in the company of the third.
    assert set(factor.evidence) == {frames[0].id, frames[1].id}


def test_a_break_that_was_granted_is_not_held_against_anyone() -> None:
    away = event("face.not_visible", 700, 200)
    pause = Pause(started_at=at(690), ended_at=at(1000))

    assert score(away) > 0
    assert analyse(attempt(away, pauses=(pause,)), Cohort(), POLICY).risk_score == 0


def test_what_the_exam_allows_is_not_scored() -> None:
    policy = ProctoringPolicy(allowed_events=("display.multiple",))
    display = event("display.multiple", 60, policy=policy)

    assert score(event("display.multiple", 60)) > 0
    assert score(display, policy=policy) == 0
    # Neither when it came before the exam allowed it.
    assert score(event("display.multiple", 60), policy=policy) == 0


def test_a_policy_can_turn_a_factor_off_or_up() -> None:
    lost = event("focus.lost", 60, 60)
    off = ProctoringPolicy(factor_weights={"navigation": 0.0})
    up = ProctoringPolicy(factor_weights={"navigation": 1.0})

    assert score(lost, policy=off) == 0
    assert score(lost, policy=up) > score(lost)


@pytest.mark.parametrize("speed", [7.0, 30.0])
def test_an_exam_at_another_speed_gets_the_same_score(speed: float) -> None:
    seen = [
        ("focus.lost", 60.0, 21.0),
        ("focus.lost", 210.0, 7.0),
        ("object.phone", 420.0, 8.4),
        ("face.not_visible", 630.0, 42.0),
    ]
    fast_policy = POLICY.scaled(speed)
    fast = [
        event(code, start / speed, lasted / speed, policy=fast_policy)
        for code, start, lasted in seen
    ]

    assert score(*fast, policy=fast_policy) == pytest.approx(
        score(*(event(*each) for each in seen)), abs=0.05
    )


def test_the_hash_names_inputs_policy_and_cohort() -> None:
    lost = event("focus.lost", 60, 60)
    base = analyse(attempt(lost), Cohort(), POLICY).inputs_hash
    others = {
        analyse(attempt(), Cohort(), POLICY).inputs_hash,
        analyse(attempt(replace(lost, sequence=9)), Cohort(), POLICY).inputs_hash,
        analyse(attempt(lost), cohort_of(1.0), POLICY).inputs_hash,
        analyse(attempt(lost), Cohort(), POLICY.scaled(2)).inputs_hash,
        analyse(replace(attempt(lost), as_of=at(1800)), Cohort(), POLICY).inputs_hash,
    }

    assert len(bytes.fromhex(base)) == 32
    assert len(others - {base}) == 5
    # A client in another time zone reports the same moment.
    elsewhere = replace(lost, occurred_at=lost.occurred_at.astimezone(tz=None))
    assert analyse(attempt(elsewhere), Cohort(), POLICY).inputs_hash == base


def test_it_makes_no_difference_whether_the_cohort_holds_the_attempt() -> None:
    inputs = attempt(*(event("focus.lost", 60 * each, 15) for each in range(1, 4)))
    others = cohort_of(*[0.2] * 9)
    own = measure(inputs, POLICY)
    stale = replace(own, exposures={})

    without = analyse(inputs, others, POLICY)

    for known in (own, stale):
        held = Cohort(members=(known, *others.members))
        assert analyse(inputs, held, POLICY) == without


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(UnknownModelVersionError, match=CURRENT.version):
        analyse(attempt(), Cohort(), POLICY, "1999-1")


def test_levels_follow_the_policy() -> None:
    lost = [event("focus.lost", 60 * each, 30) for each in range(1, 30)]
    lenient = ProctoringPolicy.model_validate(
        {"risk_levels": {"low": 80, "medium": 90, "high": 95, "critical": 99}}
    )

    assert analyse(attempt(*lost), Cohort(), POLICY).risk_level is RiskLevel.HIGH
    assert analyse(attempt(*lost), Cohort(), lenient).risk_level is RiskLevel.NONE


def test_every_integrity_code_belongs_to_one_factor() -> None:
    scored = {*INTEGRITY, *MEDIA_CODES} - COMPUTED_FROM_ANSWERS

    assert FACTOR_OF_CODE.keys() == scored
    assert sum(len(codes) for codes in FACTOR_EVENTS.values()) == len(scored)
    assert FACTOR_EVENTS.keys() | {"answer_similarity", "answer_timing"} == set(
        FACTOR_CODES
    )
    assert set(CURRENT.weights) == set(CURRENT.scales) == set(FACTOR_CODES)


def test_answers_alone_are_no_reason_for_anything() -> None:
    answers = tuple(
        AnsweredQuestion(
            question_id=UUID(int=each),
            kind="single_choice",
            is_correct=True,
            response_digest="a",
            first_saved_at=at(60 * each),
            saved_at=at(60 * each),
            options_count=4,
        )
        for each in range(1, 20)
    )

    analysis = analyse(replace(attempt(), answers=answers), Cohort(), POLICY)

    assert analysis.risk_score == 0
