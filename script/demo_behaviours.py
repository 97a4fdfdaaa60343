"""How seven kinds of students behave during an exam, as plans to be played back.

Pure functions of a random generator: the demonstration plays the plans over HTTP, the
simulation feeds them to the risk model. Times are seconds of the exam's own time; a
demonstration at speed X calls `Plan.compressed(X)`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp
from random import Random

from pydantic import JsonValue

HOUR = 3600.0


class Behaviour(StrEnum):
    HONEST = "honest"
    BAD_NETWORK = "bad_network"
    NERVOUS = "nervous"
    TAB_SWITCHER = "tab_switcher"
    PHONE_USER = "phone_user"
    IMPERSONATED = "impersonated"
    SHARING_PAIR = "sharing_pair"

    @property
    def is_cheating(self) -> bool:
        return self not in {
            Behaviour.HONEST,
            Behaviour.BAD_NETWORK,
            Behaviour.NERVOUS,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedQuestion:
    """`difficulty` is in logits, 0 for one that half of the average students know.

    `wrong_variants` is the number of different wrong answers that can be given.
    """

    difficulty: float
    wrong_variants: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEvent:
    offset_seconds: float
    event_type: str
    payload: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAnswer:
    """`wrong_variant` 0 is the most popular wrong answer; None is the right one."""

    question_index: int
    offset_seconds: float
    wrong_variant: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """While it lasts nothing reaches the server; what happened is sent afterwards."""

    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One student's exam. Events and answers are in the order of time."""

    behaviour: Behaviour
    events: tuple[PlannedEvent, ...]
    answers: tuple[PlannedAnswer, ...]
    outages: tuple[Outage, ...]

    def compressed(self, speed: float) -> "Plan":
        """Return the plan for an exam that runs `speed` times as fast as life."""
        return replace(
            self,
            events=tuple(_faster_event(each, speed) for each in self.events),
            answers=tuple(
                replace(each, offset_seconds=each.offset_seconds / speed)
                for each in self.answers
            ),
            outages=tuple(
                Outage(
                    start_seconds=each.start_seconds / speed,
                    end_seconds=each.end_seconds / speed,
                )
                for each in self.outages
            ),
        )


def plan(
    behaviour: Behaviour,
    rng: Random,
    duration_seconds: float,
    questions: Sequence[PlannedQuestion],
) -> Plan:
    """Plan one student's exam. Those who share answers come in twos: `plan_pair`."""
    if behaviour is Behaviour.SHARING_PAIR:
        raise ValueError("a pair is planned by plan_pair")
    # An impersonator is paid for knowing the subject.
    mean = 1.5 if behaviour is Behaviour.IMPERSONATED else 0.3
    answers = _own_answers(rng, rng.gauss(mean, 0.9), duration_seconds, questions)
    outages = (
        _outages(rng, duration_seconds) if behaviour is Behaviour.BAD_NETWORK else ()
    )
    return Plan(
        behaviour=behaviour,
        events=_events(behaviour, rng, duration_seconds, outages),
        answers=answers,
        outages=outages,
    )


def plan_pair(
    rng: Random, duration_seconds: float, questions: Sequence[PlannedQuestion]
) -> tuple[Plan, Plan]:
    """Plan two students, of whom the second takes most answers from the first."""
    behaviour = Behaviour.SHARING_PAIR
    # Who needs another's answers is seldom among the best, and nor is his friend.
    source = _own_answers(rng, rng.gauss(-0.6, 0.7), duration_seconds, questions)
    own = _own_answers(rng, rng.gauss(-0.6, 0.7), duration_seconds, questions)
    share = rng.uniform(0.6, 0.95)
    first = {each.question_index: each for each in source}
    taken = tuple(
        PlannedAnswer(
            question_index=each.question_index,
            offset_seconds=min(
                0.98 * duration_seconds,
                first[each.question_index].offset_seconds + rng.uniform(15, 90),
            ),
            wrong_variant=first[each.question_index].wrong_variant,
        )
        if each.question_index in first and rng.random() < share
        else each
        for each in own
    )
    return (
        Plan(
            behaviour=behaviour,
            events=_events(behaviour, rng, duration_seconds, ()),
            answers=source,
            outages=(),
        ),
        Plan(
            behaviour=behaviour,
            events=_events(behaviour, rng, duration_seconds, ()),
            answers=tuple(sorted(taken, key=lambda each: each.offset_seconds)),
            outages=(),
        ),
    )


def draw_questions(
    rng: Random, count: int, wrong_variants: int = 3
) -> tuple[PlannedQuestion, ...]:
    """Draw questions of different difficulty, for where there are no real ones."""
    return tuple(
        PlannedQuestion(difficulty=rng.gauss(-0.2, 1.0), wrong_variants=wrong_variants)
        for _ in range(count)
    )


def _own_answers(
    rng: Random,
    ability: float,
    duration_seconds: float,
    questions: Sequence[PlannedQuestion],
) -> tuple[PlannedAnswer, ...]:
    """Answer by oneself: right with the chance of a Rasch model, in random order."""
    if not questions:
        return ()
    paces = [rng.lognormvariate(0, 0.5) for _ in questions]
    used = duration_seconds * rng.uniform(0.55, 0.92) / sum(paces)
    order = list(range(len(questions)))
    if rng.random() < 0.3:  # noqa: PLR2004  # Three in ten do not go from top to bottom.
        rng.shuffle(order)
    clock, answers = 0.0, []
    for index in order:
        clock += paces[index] * used
        question = questions[index]
        knows = rng.random() < 1 / (1 + exp(question.difficulty - ability))
        variants = range(question.wrong_variants)
        wrong = rng.choices(variants, [0.55**each for each in variants])[0]
        answers.append(
            PlannedAnswer(
                question_index=index,
                offset_seconds=clock,
                wrong_variant=None if knows else wrong,
            )
        )
    return tuple(answers)


def _outages(rng: Random, duration_seconds: float) -> tuple[Outage, ...]:
    outages: list[Outage] = []
    for start in _moments(rng, 5.0, duration_seconds):
        if not outages or start > outages[-1].end_seconds + 60:
            end = start + min(400.0, rng.lognormvariate(3.7, 0.8))
            if end < duration_seconds:
                outages.append(Outage(start_seconds=start, end_seconds=end))
    return tuple(outages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Habit:
    """How often an hour something happens, and for how long: lognormal around median.

    `frames` marks what a detector says with a confidence; one with no duration is one
    frame.
    """

    event_type: str
    per_hour: float
    median_seconds: float = 0.0
    spread: float = 0.6
    confidence: tuple[float, float] | None = None


_SURE = (0.6, 0.98)
_UNSURE = (0.3, 0.75)

# What happens to everybody, detectors that err among it.
_ORDINARY = (
    _Habit(event_type="gaze.away", per_hour=6, median_seconds=3, confidence=_SURE),
    _Habit(event_type="focus.lost", per_hour=0.7, median_seconds=2),
    _Habit(event_type="fullscreen.exited", per_hour=0.15, median_seconds=4),
    _Habit(
        event_type="face.not_visible", per_hour=1, median_seconds=5, confidence=_SURE
    ),
    _Habit(
        event_type="face.partially_visible",
        per_hour=3,
        median_seconds=4,
        confidence=_SURE,
    ),
    _Habit(
        event_type="audio.voice_detected",
        per_hour=0.8,
        median_seconds=2.5,
        confidence=_UNSURE,
    ),
    _Habit(event_type="object.phone", per_hour=0.3, confidence=_UNSURE),
    _Habit(event_type="face.multiple", per_hour=0.15, confidence=_UNSURE),
    _Habit(event_type="face.mismatch_reference", per_hour=0.1, confidence=_UNSURE),
    _Habit(event_type="env.noise", per_hour=1, median_seconds=6),
    _Habit(event_type="media.quality_low", per_hour=0.4, median_seconds=20),
    _Habit(event_type="clipboard.copy", per_hour=0.2),
    _Habit(event_type="clipboard.paste", per_hour=0.1),
    _Habit(event_type="client.weak_wifi", per_hour=0.3, median_seconds=20),
)
_NERVOUS = (
    _Habit(event_type="gaze.away", per_hour=35, median_seconds=4, confidence=_SURE),
    _Habit(
        event_type="face.partially_visible",
        per_hour=14,
        median_seconds=4,
        confidence=_SURE,
    ),
    _Habit(
        event_type="face.not_visible", per_hour=4, median_seconds=6, confidence=_SURE
    ),
    _Habit(
        event_type="audio.voice_detected",
        per_hour=6,
        median_seconds=4,
        confidence=_UNSURE,
    ),
    _Habit(event_type="focus.lost", per_hour=2, median_seconds=2),
)
_BAD_NETWORK = (
    _Habit(event_type="client.weak_wifi", per_hour=8, median_seconds=30),
    _Habit(event_type="media.quality_low", per_hour=6, median_seconds=40),
    _Habit(event_type="media.mic_muted", per_hour=0.5, median_seconds=15),
)
_TAB_SWITCHER = (
    _Habit(event_type="focus.lost", per_hour=13, median_seconds=18, spread=0.8),
    _Habit(event_type="fullscreen.exited", per_hour=4, median_seconds=15),
    _Habit(event_type="clipboard.copy", per_hour=4),
    _Habit(event_type="clipboard.external_paste", per_hour=2),
)
_PHONE_USER = (
    _Habit(event_type="object.phone", per_hour=6, median_seconds=8, confidence=_SURE),
    _Habit(event_type="gaze.away", per_hour=18, median_seconds=9, confidence=_SURE),
    _Habit(
        event_type="face.not_visible", per_hour=2, median_seconds=10, confidence=_SURE
    ),
)
_IMPERSONATED = (
    _Habit(
        event_type="face.mismatch_reference",
        per_hour=5,
        median_seconds=12,
        confidence=_SURE,
    ),
    _Habit(
        event_type="face.different_person",
        per_hour=1.5,
        median_seconds=10,
        confidence=_SURE,
    ),
)
_HABITS: Mapping[Behaviour, tuple[_Habit, ...]] = {
    Behaviour.HONEST: (),
    Behaviour.BAD_NETWORK: _BAD_NETWORK,
    Behaviour.NERVOUS: _NERVOUS,
    Behaviour.TAB_SWITCHER: _TAB_SWITCHER,
    Behaviour.PHONE_USER: _PHONE_USER,
    Behaviour.IMPERSONATED: _IMPERSONATED,
    Behaviour.SHARING_PAIR: (),
}


def _events(
    behaviour: Behaviour,
    rng: Random,
    duration_seconds: float,
    outages: Sequence[Outage],
) -> tuple[PlannedEvent, ...]:
    events: list[PlannedEvent] = []
    for habit in _ORDINARY:
        events += _habitual(rng, habit, duration_seconds, 1.0)
    # Some cheat often and some hardly: a few leave next to nothing to be seen.
    vigour = rng.betavariate(2.0, 1.6) * 1.6 if behaviour.is_cheating else 1.0
    for habit in _HABITS[behaviour]:
        events += _habitual(rng, habit, duration_seconds, vigour)
    for outage in outages:
        events += _around(rng, outage)
    return tuple(
        sorted(
            (each for each in events if each.offset_seconds < duration_seconds),
            key=lambda each: (each.offset_seconds, each.event_type),
        )
    )


def _habitual(
    rng: Random, habit: _Habit, duration_seconds: float, vigour: float
) -> list[PlannedEvent]:
    events: list[PlannedEvent] = []
    for moment in _moments(rng, habit.per_hour * vigour, duration_seconds):
        payload: dict[str, JsonValue] = {}
        if habit.median_seconds:
            lasted = habit.median_seconds * rng.lognormvariate(0, habit.spread)
            payload["duration_ms"] = round(1000 * min(lasted, 1800.0))
        if habit.confidence:
            payload["confidence"] = round(rng.uniform(*habit.confidence), 2)
        events.append(
            PlannedEvent(
                offset_seconds=moment, event_type=habit.event_type, payload=payload
            )
        )
    return events


def _around(rng: Random, outage: Outage) -> list[PlannedEvent]:
    """Return what a lost connection looks like, the search for the cause included."""
    start, end = outage.start_seconds, outage.end_seconds
    lost = round(1000 * (end - start))
    events = [
        PlannedEvent(
            offset_seconds=start,
            event_type="client.disconnected",
            payload={"duration_ms": lost},
        ),
        PlannedEvent(offset_seconds=end, event_type="client.reconnected", payload={}),
    ]

    def perhaps(
        chance: float, event_type: str, begins: Callable[[], float], most: float
    ) -> None:
        if rng.random() < chance:
            moment = begins()
            lasted = rng.uniform(0.2, 1.0) * min(most, max(5.0, end - moment))
            events.append(
                PlannedEvent(
                    offset_seconds=moment,
                    event_type=event_type,
                    payload={"duration_ms": round(1000 * lasted)},
                )
            )

    perhaps(0.6, "focus.lost", lambda: rng.uniform(start, end), 60)
    perhaps(0.4, "fullscreen.exited", lambda: rng.uniform(start, end), 30)
    perhaps(0.4, "face.not_visible", lambda: rng.uniform(start, end), 90)
    perhaps(0.5, "media.webcam_disconnected", lambda: start, 120)
    return events


def _moments(rng: Random, per_hour: float, duration_seconds: float) -> list[float]:
    """Draw the moments of a Poisson process."""
    moments: list[float] = []
    clock = 0.0
    while per_hour > 0:
        clock += rng.expovariate(per_hour / HOUR)
        if clock >= duration_seconds:
            break
        moments.append(clock)
    return moments


def _faster_event(event: PlannedEvent, speed: float) -> PlannedEvent:
    payload = dict(event.payload)
    duration = payload.get("duration_ms")
    if isinstance(duration, int):
        payload["duration_ms"] = round(duration / speed)
    return replace(event, offset_seconds=event.offset_seconds / speed, payload=payload)
