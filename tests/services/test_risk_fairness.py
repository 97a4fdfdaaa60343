"""What must not be held against anybody, and what nobody gets away with.

Each was found by somebody who read the model as an honest student, or as a cheat.
"""

from dataclasses import replace
from random import Random
from uuid import UUID

import pytest

from services.proctoring_policy import ProctoringPolicy
from services.risk import (
    AnsweredQuestion,
    AttemptInputs,
    Cohort,
    ObservedEvent,
    Pause,
    analyse,
    measure,
)
from services.risk.context import Failure, Failures
from services.risk.spans import Span
from tests.risk_inputs import POLICY, at, attempt, event

BREAK = Pause(started_at=at(600), ended_at=at(1500))


def exposures(*events: ObservedEvent, pause: Pause | None = None) -> object:
    pauses = () if pause is None else (pause,)
    return measure(attempt(*events, pauses=pauses), POLICY).exposures


def score(inputs: AttemptInputs, policy: ProctoringPolicy = POLICY) -> float:
    return float(analyse(inputs, Cohort(), policy).risk_score)


@pytest.mark.parametrize(
    ("began", "lasted", "worked"),
    [
        # It began three seconds before the break, and the student came back with it.
        (597, 903, 3),
        (597, 500, 3),
        # He left during the break, and stayed out.
        (1490, 100, 90),
        # On both sides of it.
        (590, 920, 20),
    ],
)
@pytest.mark.parametrize("code", ["face.not_visible", "focus.lost"])
def test_of_what_reaches_into_a_break_the_rest_counts(
    code: str, began: float, lasted: float, worked: float
) -> None:
    away = event(code, began, lasted)
    # The same severity: that is of the whole of it.
    as_long = replace(event(code, 100, worked), severity=away.severity)

    assert exposures(away, pause=BREAK) == exposures(as_long)


def test_what_lies_in_a_break_as_a_whole_does_not_count() -> None:
    assert exposures(event("focus.lost", 600, 900), pause=BREAK) == {}


@pytest.mark.parametrize(
    ("began", "lasted", "worked"),
    [(3590, 600, 10), (3601, 295, None), (-100, 50, None), (-50, 60, 10)],
)
def test_nobody_has_to_answer_for_the_time_before_and_after(
    began: float, lasted: float, worked: float | None
) -> None:
    away = event("focus.lost", began, lasted)
    if worked is None:
        assert exposures(away) == {}
    else:
        same = replace(event("focus.lost", 100, worked), severity=away.severity)
        assert exposures(away) == exposures(same)


def test_what_is_seen_at_the_very_end_of_a_break_that_still_lasts_is_within_it() -> (
    None
):
    pause = Pause(started_at=at(600), ended_at=None)
    running = replace(
        attempt(event("focus.lost", 700), pauses=(pause,)),
        ended_at=None,
        as_of=at(700),
    )

    assert measure(running, POLICY).exposures == {}


@pytest.mark.parametrize("seconds", [700, 3605])
def test_what_a_proctor_writes_counts_whenever_he_writes_it(seconds: float) -> None:
    note = event("candidate.unauthorized_person", seconds, sequence=None)

    assert exposures(note, pause=BREAK)
    # The server's own finding is of the moment at which it was made.
    second = event("session.concurrent_device", seconds, sequence=None)
    assert exposures(second, pause=BREAK) == {}


@pytest.mark.parametrize("code", ["focus.lost", "face.multiple", "clipboard.copy"])
def test_what_a_client_merges_weighs_no_more_than_it_would_apart(code: str) -> None:
    merged = event(code, 600, 1, times=20)
    apart = [event(code, 600 + each / 20, 1 / 20) for each in range(20)]

    assert score(attempt(merged)) <= score(attempt(*apart))


def test_merged_over_a_long_time_it_counts_as_repeated() -> None:
    once = event("gaze.away", 600, 30)
    often = event("gaze.away", 600, 30, times=3)

    assert score(attempt(often)) >= score(attempt(once)) > 0


def test_a_camera_that_was_off_and_saw_no_face_is_one_matter() -> None:
    off = event("media.webcam_disconnected", 600, 600)
    unseen = event("face.not_visible", 600, 600)

    assert score(attempt(off, unseen)) == score(attempt(unseen)) < 40


def answered(moments: list[float]) -> AttemptInputs:
    return replace(
        attempt(),
        answers=tuple(
            AnsweredQuestion(
                question_id=UUID(int=number),
                kind="single_choice",
                is_correct=True,
                response_digest="right",
                first_saved_at=at(moment),
                saved_at=at(moment),
                options_count=4,
            )
            for number, moment in enumerate(moments, 1)
        ),
    )


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([1800.0] * 12, id="one page"),
        pytest.param([1800 + each for each in range(12)], id="after an outage"),
        pytest.param([1800 + 9 * each for each in range(12)], id="typed from paper"),
        pytest.param(
            [400 * page + 0.001 * each for page in (1, 2, 3) for each in range(4)],
            id="pages",
        ),
    ],
)
def test_answers_that_were_thought_about_before_are_not_fast(
    moments: list[float],
) -> None:
    assert score(answered(moments)) == 0


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([2.0 * each for each in range(1, 13)], id="from the start"),
        pytest.param([1.0] * 12, id="all at once, at the start"),
    ],
)
def test_there_is_no_time_to_have_read_them_in(moments: list[float]) -> None:
    assert score(answered(moments)) > 20


@pytest.mark.parametrize("seed", range(5))
def test_a_failure_that_holds_an_event_is_found_among_many(seed: int) -> None:
    """They are looked up, not tried each: ten thousand kept all others waiting."""
    rng = Random(seed)
    found = [
        Failure(
            code=code,
            window=Span(start, start + rng.randrange(100)),
            explains=frozenset({explained}),
        )
        for code in ("media.quality_low", "client.freeze")
        for explained in ("gaze.away", "face.not_visible")
        for start in [rng.randrange(-50, 500) for _ in range(20)]
    ]
    failures = Failures(found)
    for _ in range(300):
        code = rng.choice(["gaze.away", "face.not_visible", "focus.lost"])
        seen = event(code, rng.randrange(500) / 1e6, rng.choice([0, 0.001]))
        span = Span(
            attempt().offset(seen.occurred_at),
            attempt().offset(seen.occurred_at) + 1000 * seen.facts.duration_ms,
        )
        codes = [
            each.code
            for each in found
            if code in each.explains
            and each.window.start <= span.start
            and span.end <= each.window.end
        ]
        expected = min(codes, default=None)
        assert failures.explanation_of(attempt(), seen) == expected
