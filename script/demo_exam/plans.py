"""Every student's plan: what he does in truth, and when, in real seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from script.demo_behaviours import Behaviour, Plan, PlannedQuestion, plan, plan_pair
from script.demo_exam.cast import Fate, Student
from script.demo_exam.pace import Pace

# Room for a late start, and for the last look at the paper.
PLANNED_SHARE = 0.93
# Who has more time uses it: his last answer comes after the others' end.
EXTRA_LAST_ANSWER = 1.2
EXTRA_PLANNED = 1.3
# Who loses his laptop still has to be able to finish.
DELAYED_LAST_ANSWER = 0.75


def draw_plans(
    students: Sequence[Student],
    questions: Sequence[PlannedQuestion],
    pace: Pace,
    seed: int,
) -> Mapping[int, Plan]:
    """Draw the plans of one exam's students, by their numbers."""
    life_seconds = pace.life_seconds * PLANNED_SHARE
    plans: dict[int, Plan] = {}
    for student in students:
        rng = Random(f"{seed}:plan:{student.number}")  # noqa: S311
        if student.behaviour is not Behaviour.SHARING_PAIR:
            extra = student.fate is Fate.EXTRA_TIME
            seconds = pace.life_seconds * EXTRA_PLANNED if extra else life_seconds
            drawn = plan(student.behaviour, rng, seconds, questions)
            plans[student.number] = _fitted(drawn, student.fate, pace.life_seconds)
        elif student.number not in plans:
            pair = [each for each in students if each.pair == student.pair]
            both = plan_pair(rng, life_seconds, questions)
            plans |= {s.number: p for s, p in zip(pair, both, strict=True)}
    return {number: each.compressed(pace.speed) for number, each in plans.items()}


def _fitted(drawn: Plan, fate: Fate, life_seconds: float) -> Plan:
    """Stretch the answers to what the student's fate makes of his time."""
    last = {
        Fate.EXTRA_TIME: EXTRA_LAST_ANSWER,
        Fate.LAPTOP_DIES: DELAYED_LAST_ANSWER,
    }.get(fate)
    if last is None:
        return drawn
    factor = last * life_seconds / drawn.answers[-1].offset_seconds
    answers = tuple(
        replace(each, offset_seconds=each.offset_seconds * factor)
        for each in drawn.answers
    )
    return replace(drawn, answers=answers)
