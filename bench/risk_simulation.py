"""Simulate exams with known cheaters and print how well the risk model finds them.

    python -m bench.risk_simulation --seed 1000 --students 60 --exams 20

The thresholds of the plain counts, and whatever was tuned by hand, come from the seeds
1 to 10; a report is honest only on others. `--window-noise 9` gives all students nine
false losses of focus an hour, as a browser's notifications may; `--version` tries other
constants.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from random import Random
from statistics import fmean
from typing import TypeVar
from uuid import UUID

from script.demo_behaviours import (
    Behaviour,
    Plan,
    PlannedEvent,
    PlannedQuestion,
    draw_questions,
    plan,
    plan_pair,
)
from services.event_catalogue import EventClass, resolve
from services.proctoring_policy import ProctoringPolicy, classify, read_facts
from services.risk import (
    MODEL_VERSION,
    WEIGHTINGS,
    AnsweredQuestion,
    AttemptInputs,
    Cohort,
    ObservedEvent,
    analyse,
    measure,
)

TUNING_SEEDS = range(1, 11)
POLICY = ProctoringPolicy()
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DURATION_SECONDS = 3600.0
HEARTBEAT_SECONDS = 15.0
SHARES = {
    Behaviour.BAD_NETWORK: 0.15,
    Behaviour.NERVOUS: 0.12,
    Behaviour.TAB_SWITCHER: 0.07,
    Behaviour.PHONE_USER: 0.06,
    Behaviour.IMPERSONATED: 0.04,
    Behaviour.SHARING_PAIR: 0.06,
}
MAX_WINDOW_NOISE = 100
BOOTSTRAP_ROUNDS = 400
Z_95 = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    behaviour: Behaviour
    risk: float
    integrity_events: int
    all_events: int
    confidence: float


Exam = tuple[Student, ...]
Scored = Callable[[Student], float]
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def f1(self) -> float:
        twice = 2 * self.true_positives
        rest = self.false_positives + self.false_negatives
        return twice / (twice + rest) if twice + rest else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    students: int
    questions: int = 24
    window_noise_per_hour: float = 0.0
    version: str = MODEL_VERSION


def simulate(seed: int, setting: Setting) -> Exam:
    """Run one exam: the plans as a server would have received them, then the model."""
    rng = Random(seed)
    questions = draw_questions(rng, setting.questions)
    attempts = [
        (
            made.behaviour,
            to_inputs(
                with_window_noise(made, rng, setting.window_noise_per_hour), index, seed
            ),
        )
        for index, made in enumerate(plans(rng, setting.students, questions))
    ]
    cohort = Cohort(
        members=tuple(measure(each, POLICY, setting.version) for _, each in attempts)
    )
    results: list[Student] = []
    for behaviour, inputs in attempts:
        analysis = analyse(inputs, cohort, POLICY, setting.version)
        integrity = [e for e in inputs.events if e.event_class is EventClass.INTEGRITY]
        results.append(
            Student(
                behaviour=behaviour,
                risk=analysis.risk_score,
                integrity_events=len(integrity),
                all_events=len(inputs.events),
                confidence=analysis.confidence,
            )
        )
    return tuple(results)


def plans(
    rng: Random, students: int, questions: Sequence[PlannedQuestion]
) -> list[Plan]:
    made: list[Plan] = []
    for behaviour, share in SHARES.items():
        count = max(1, round(share * students))
        if behaviour is Behaviour.SHARING_PAIR:
            for _ in range(max(1, count // 2)):
                made += plan_pair(rng, DURATION_SECONDS, questions)
        else:
            made += [
                plan(behaviour, rng, DURATION_SECONDS, questions) for _ in range(count)
            ]
    made += [
        plan(Behaviour.HONEST, rng, DURATION_SECONDS, questions)
        for _ in range(students - len(made))
    ]
    return made


def with_window_noise(made: Plan, rng: Random, per_hour: float) -> Plan:
    """Let the window lose its focus to something that is no act of the student's."""
    false_ones: list[PlannedEvent] = []
    clock = rng.expovariate(per_hour / 3600) if per_hour else DURATION_SECONDS
    while clock < DURATION_SECONDS:
        lasted = 10 * rng.lognormvariate(0, 0.6)
        false_ones.append(
            PlannedEvent(
                offset_seconds=clock,
                event_type="focus.lost",
                payload={"duration_ms": round(1000 * lasted)},
            )
        )
        clock += rng.expovariate(per_hour / 3600)
    return replace(made, events=(*made.events, *false_ones))


def to_inputs(made: Plan, index: int, seed: int) -> AttemptInputs:
    """Return what the server knows of a plan that was played back without loss."""

    def name(kind: int, number: int) -> UUID:
        return UUID(int=(seed << 64) + (kind << 48) + (index << 24) + number)

    def arrival(offset: float) -> float:
        for outage in made.outages:
            if outage.start_seconds <= offset < outage.end_seconds:
                return outage.end_seconds
        return offset

    def moment(offset: float) -> datetime:
        return START + timedelta(seconds=offset)

    events = []
    for number, event in enumerate(made.events):
        event_type = resolve(event.event_type)
        classified = classify(event_type, event.payload, POLICY)
        events.append(
            ObservedEvent(
                id=name(1, number),
                code=event_type.code,
                event_class=classified.event_class,
                severity=classified.severity,
                occurred_at=moment(event.offset_seconds),
                received_at=moment(arrival(event.offset_seconds)),
                sequence=number + 1,
                facts=read_facts(event.payload),
            )
        )
    answers = tuple(
        AnsweredQuestion(
            question_id=UUID(int=each.question_index),
            kind="single_choice",
            is_correct=each.wrong_variant is None,
            response_digest=f"{each.question_index}:{each.wrong_variant}",
            first_saved_at=moment(arrival(each.offset_seconds)),
            saved_at=moment(arrival(each.offset_seconds)),
            options_count=4,
        )
        for each in made.answers
    )
    beats = int(DURATION_SECONDS / HEARTBEAT_SECONDS)
    return AttemptInputs(
        attempt_id=name(2, 0),
        student_id=name(3, 0),
        started_at=START,
        ended_at=moment(DURATION_SECONDS),
        as_of=moment(DURATION_SECONDS),
        events=tuple(events),
        answers=answers,
        report_times=tuple(
            moment(arrival(beat * HEARTBEAT_SECONDS)) for beat in range(beats + 1)
        ),
    )


def count(exam: Exam, score: Scored, threshold: float) -> Counts:
    alarms = [s.behaviour.is_cheating for s in exam if score(s) >= threshold]
    cheating = sum(s.behaviour.is_cheating for s in exam)
    return Counts(
        true_positives=sum(alarms),
        false_positives=len(alarms) - sum(alarms),
        false_negatives=cheating - sum(alarms),
    )


def together(parts: Iterable[Counts]) -> Counts:
    listed = list(parts)
    return Counts(
        true_positives=sum(each.true_positives for each in listed),
        false_positives=sum(each.false_positives for each in listed),
        false_negatives=sum(each.false_negatives for each in listed),
    )


def f1(parts: Iterable[Counts]) -> float:
    return together(parts).f1


def comparisons(exam: Exam, score: Scored) -> tuple[float, int]:
    """Return how often a cheater is above an honest student, ties a half; and pairs."""
    cheating = [score(s) for s in exam if s.behaviour.is_cheating]
    honest = [score(s) for s in exam if not s.behaviour.is_cheating]
    wins = sum((c > h) + (c == h) / 2 for c in cheating for h in honest)
    return wins, len(cheating) * len(honest)


def area_under_curve(parts: Iterable[tuple[float, int]]) -> float:
    """Return the area over pairs of one exam: nobody compares across exams."""
    listed = list(parts)
    return sum(wins for wins, _ in listed) / sum(pairs for _, pairs in listed)


def best_threshold(exams: Sequence[Exam], score: Scored) -> float:
    values = sorted({score(s) for exam in exams for s in exam})
    return max(values, key=lambda each: f1(count(e, score, each) for e in exams))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    if not trials:
        return 0.0, 1.0
    share = hits / trials
    scale = 1 + Z_95**2 / trials
    center = (share + Z_95**2 / (2 * trials)) / scale
    half = Z_95 * sqrt(share * (1 - share) / trials + Z_95**2 / (4 * trials**2)) / scale
    return max(0.0, center - half), min(1.0, center + half)


def bootstrap(
    parts: Sequence[Part], statistic: Callable[[Sequence[Part]], float], rng: Random
) -> tuple[float, float]:
    """Return the 95 % interval over exams drawn again, since students hang together."""
    values = sorted(
        statistic(rng.choices(parts, k=len(parts))) for _ in range(BOOTSTRAP_ROUNDS)
    )
    return values[int(0.025 * len(values))], values[int(0.975 * len(values))]


def percent(hits: int, trials: int) -> str:
    low, high = wilson(hits, trials)
    share = hits / trials if trials else 0.0
    return f"{100 * share:.1f} % ({100 * low:.1f}-{100 * high:.1f})"


def detectors(tuning: Sequence[Exam]) -> list[tuple[str, Scored, float]]:
    """Return name, score and threshold; plain counts get the best that tuning has."""

    def risk(student: Student) -> float:
        return student.risk

    def integrity(student: Student) -> float:
        return student.integrity_events

    def everything(student: Student) -> float:
        return student.all_events

    levels = POLICY.risk_levels
    return [
        ("model, `high`", risk, levels.high),
        ("model, `medium`", risk, levels.medium),
        ("count of integrity events", integrity, best_threshold(tuning, integrity)),
        ("count of all events", everything, best_threshold(tuning, everything)),
    ]


def print_overall(exams: Sequence[Exam], tuning: Sequence[Exam], rng: Random) -> None:
    print("| detector | threshold | precision | recall | F1 | ROC AUC |")
    print("|---|---|---|---|---|---|")
    for name, score, threshold in detectors(tuning):
        counts = [count(exam, score, threshold) for exam in exams]
        compared = [comparisons(exam, score) for exam in exams]
        found = together(counts)
        precision = percent(
            found.true_positives, found.true_positives + found.false_positives
        )
        recall = percent(
            found.true_positives, found.true_positives + found.false_negatives
        )
        low, high = bootstrap(counts, f1, rng)
        below, above = bootstrap(compared, area_under_curve, rng)
        area = area_under_curve(compared)
        print(
            f"| {name} | {threshold:g} | {precision} | {recall} |"
            f" {found.f1:.2f} ({low:.2f}-{high:.2f}) |"
            f" {area:.3f} ({below:.3f}-{above:.3f}) |"
        )


def print_by_behaviour(exams: Sequence[Exam], tuning: Sequence[Exam]) -> None:
    rows = detectors(tuning)
    print("| students | n | mean risk | " + " | ".join(r[0] for r in rows) + " |")
    print("|---|---|---|" + "---|" * len(rows))
    groups: list[tuple[str, list[Student]]] = [
        (
            "**all honest: false alarms**",
            [s for exam in exams for s in exam if not s.behaviour.is_cheating],
        )
    ]
    groups += [
        (each.value, [s for exam in exams for s in exam if s.behaviour is each])
        for each in Behaviour
    ]
    for name, students in groups:
        cells = [
            percent(sum(score(s) >= threshold for s in students), len(students))
            for _, score, threshold in rows
        ]
        mean = fmean(s.risk for s in students)
        print(f"| {name} | {len(students)} | {mean:.1f} | " + " | ".join(cells) + " |")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1000, help="first seed reported")
    parser.add_argument("--students", type=int, default=60, help="students an exam")
    parser.add_argument("--exams", type=int, default=20, help="exams reported")
    parser.add_argument("--questions", type=int, default=24, help="questions an exam")
    parser.add_argument("--window-noise", type=float, default=0.0, metavar="PER_HOUR")
    parser.add_argument("--version", choices=sorted(WEIGHTINGS), default=MODEL_VERSION)
    chosen = parser.parse_args(arguments)
    if chosen.students < 2 * len(Behaviour):
        parser.error(f"--students must be at least {2 * len(Behaviour)}")
    if chosen.exams < 1:
        parser.error("--exams must be at least 1")
    if chosen.questions < 1:
        parser.error("--questions must be at least 1")
    if not 0 <= chosen.window_noise <= MAX_WINDOW_NOISE:
        parser.error(f"--window-noise must be from 0 to {MAX_WINDOW_NOISE}")

    setting = Setting(
        students=chosen.students,
        questions=chosen.questions,
        window_noise_per_hour=chosen.window_noise,
        version=chosen.version,
    )
    tuning = [simulate(seed, setting) for seed in TUNING_SEEDS]
    seeds = range(chosen.seed, chosen.seed + chosen.exams)
    exams = [simulate(seed, setting) for seed in seeds]
    reported = f"{seeds[0]}-{seeds[-1]}"
    print(
        f"Model {setting.version}; {chosen.exams} exams of {chosen.students} students"
        f" and {setting.questions} questions,"
        f" seeds {reported} (tuned on seeds {TUNING_SEEDS[0]}-{TUNING_SEEDS[-1]});"
        " 95 % intervals: Wilson for shares, bootstrap over exams for F1 and AUC.\n"
    )
    print_overall(exams, tuning, Random(chosen.seed))
    print("\nShare of students at or above the threshold:\n")
    print_by_behaviour(exams, tuning)
    shaky = [
        s.confidence
        for exam in exams
        for s in exam
        if s.behaviour is Behaviour.BAD_NETWORK
    ]
    steady = [
        s.confidence for exam in exams for s in exam if s.behaviour is Behaviour.HONEST
    ]
    print(
        f"\nMean confidence: {fmean(steady):.3f} for honest students,"
        f" {fmean(shaky):.3f} for those with a bad network."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
