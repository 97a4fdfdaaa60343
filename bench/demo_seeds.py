"""What the risk model makes of the demonstration's plans, without a server.

    python -m bench.demo_seeds --seeds 12

Says whether a run of script/demo was lucky. Its figures differ a little from those of a
run, in which students leave and outages end at moments that are not the plan's alone.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from bench.risk_simulation import POLICY, START, percent, to_inputs
from models.question_types import NewQuestion, QuestionKind
from script.demo_behaviours import Behaviour, Plan, PlannedQuestion
from script.demo_exam.cast import Fate, Student, cast
from script.demo_exam.pace import Pace
from script.demo_exam.plans import draw_plans
from script.demo_exam.questions import subjects
from services.question_import import parse_gift
from services.risk import AttemptInputs, Cohort, analyse, measure

LIFE = Pace(1.0)
# How long a student looks at his paper once more, on average.
LAST_LOOK_SECONDS = 110.0
WRONG_VARIANTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    behaviour: Behaviour
    is_alarming: bool


def play(seed: int, students: int) -> Iterator[Judged]:
    """Judge every student of a demonstration with this seed."""
    played = cast(students, seed)
    for index, subject in enumerate(subjects()):
        questions = parse_gift(subject.gift).questions
        rng = Random(f"{seed}:questions:{index}")
        planned = tuple(
            PlannedQuestion(
                difficulty=rng.gauss(-0.2, 1.0), wrong_variants=_variants(question)
            )
            for question in questions
        )
        sitting = [each for each in played if each.exam_index == index]
        plans = draw_plans(sitting, planned, LIFE, seed)
        attempts = [
            _attempt(student, plans[student.number], questions, seed * 10 + index)
            for student in sitting
        ]
        cohort = Cohort(members=tuple(measure(each, POLICY) for each in attempts))
        for student, attempt in zip(sitting, attempts, strict=True):
            risk = analyse(attempt, cohort, POLICY).risk_score
            yield Judged(
                behaviour=student.behaviour,
                is_alarming=risk >= POLICY.risk_levels.high,
            )


def _variants(question: NewQuestion) -> int:
    return 1 if question.kind is QuestionKind.TRUE_FALSE else WRONG_VARIANTS


def _attempt(
    student: Student, plan: Plan, questions: Sequence[NewQuestion], seed: int
) -> AttemptInputs:
    """Cut a plan off where its student leaves; essays are nothing to compare."""
    leaves_at = plan.answers[-1].offset_seconds + LAST_LOOK_SECONDS
    if student.fate is Fate.NEVER_SUBMITS:
        leaves_at = LIFE.life_seconds
    lived = replace(
        plan,
        events=tuple(e for e in plan.events if e.offset_seconds <= leaves_at),
        answers=tuple(
            answer
            for answer in plan.answers
            if questions[answer.question_index].kind is not QuestionKind.ESSAY
        ),
    )
    ended_at = START + timedelta(seconds=leaves_at)
    inputs = to_inputs(lived, student.number, seed)
    return replace(inputs, ended_at=ended_at, as_of=ended_at)


def line(judged: Sequence[Judged]) -> str:
    cheating = [each.is_alarming for each in judged if each.behaviour.is_cheating]
    honest = [each.is_alarming for each in judged if not each.behaviour.is_cheating]
    return (
        f"caught {sum(cheating)} of {len(cheating)},"
        f" false alarms {sum(honest)} of {len(honest)}"
    )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12, help="seeds 1 to this one")
    parser.add_argument("--students", type=int, default=60)
    chosen = parser.parse_args(arguments)
    everybody: list[Judged] = []
    for seed in range(1, chosen.seeds + 1):
        judged = list(play(seed, chosen.students))
        everybody += judged
        print(f"seed {seed}: {line(judged)}")
    print(f"together: {line(everybody)}\n")
    for behaviour in Behaviour:
        of_kind = [e.is_alarming for e in everybody if e.behaviour is behaviour]
        print(f"{behaviour}: {percent(sum(of_kind), len(of_kind))} at `high`")


if __name__ == "__main__":
    main(sys.argv[1:])
