"""The other attempts of the same exam, and how unlike them an attempt is."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from uuid import UUID

from services.proctoring_policy import ProctoringPolicy
from services.risk.canonical import digest
from services.risk.inputs import AttemptInputs
from services.risk.spans import Span, microseconds, overlap, pauses, union
from services.risk.weighting import Weighting

# Make the median and the mean of the absolute deviations estimate the standard
# deviation of a normal distribution (Iglewicz and Hoaglin, 1993).
MAD_TO_SIGMA = 1.4826
MEAN_DEVIATION_TO_SIGMA = 1.253314


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedAnswer:
    """An answer with the time that went by since the one before it was saved."""

    question_id: UUID
    kind: str
    is_correct: bool | None
    response_digest: str
    options_count: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortMember:
    """What one attempt contributes to the comparison of the others.

    `exposures` are the raw values of the factors; one that is missing is 0.
    """

    attempt_id: UUID
    student_id: UUID
    exposures: Mapping[str, float]
    answers: tuple[TimedAnswer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemStatistics:
    """How the attempts answered one question; graded answers only."""

    answered: int
    wrong: int
    wrong_responses: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedAnswers:
    """`wrong` holds question and response: an intersection is what two share."""

    answers: Mapping[UUID, TimedAnswer]
    wrong: frozenset[tuple[UUID, str]]


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """All attempts of one exam; an attempt is compared with those of other students.

    Build it once for all attempts of a sweep: what it derives is kept.
    """

    members: tuple[CohortMember, ...] = ()

    def including(self, member: CohortMember) -> "Cohort":
        """Return this cohort with `member` as it is now, which may be this very one.

        Statistics leave an attempt out by subtracting it, so it has to be in them.
        """
        if member in self.members:
            return self
        others = tuple(m for m in self.members if m.attempt_id != member.attempt_id)
        return Cohort(members=(*others, member))

    def peers_of(self, student_id: UUID) -> tuple[CohortMember, ...]:
        """Members of other students: nobody is compared with his own second try."""
        return tuple(m for m in self.members if m.student_id != student_id)

    @cached_property
    def member_digests(self) -> tuple[str, ...]:
        return tuple(_digest(each) for each in self.members)

    @cached_property
    def graded(self) -> Mapping[UUID, "GradedAnswers"]:
        """The graded answers of each member, by attempt."""
        return {each.attempt_id: graded(each.answers) for each in self.members}

    @cached_property
    def items(self) -> Mapping[UUID, ItemStatistics]:
        """Statistics of each question over all members."""
        by_question: dict[UUID, list[TimedAnswer]] = {}
        for each in self.graded.values():
            for question, answer in each.answers.items():
                by_question.setdefault(question, []).append(answer)
        return {
            question: _statistics(answers) for question, answers in by_question.items()
        }

    @cached_property
    def median_seconds(self) -> Mapping[UUID, float]:
        """The median time that a question took, over all members."""
        seconds: dict[UUID, list[float]] = {}
        for member in self.members:
            for answer in member.answers:
                seconds.setdefault(answer.question_id, []).append(answer.seconds)
        return {question: median(values) for question, values in seconds.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Where a value stands among those of the others, in robust standard deviations."""

    median: float
    spread: float
    robust_z: float


def deviation(value: float, others: Sequence[float], weighting: Weighting) -> Deviation:
    """Compare with the median, in units of the median absolute deviation.

    Most factors are 0 for most students, so that the median deviation is 0 as well. The
    mean deviation then stands in for it (Iglewicz and Hoaglin, 1993), and where all are
    alike `minimum_spread`, or a share of the median: one more than twenty is no more
    than twenty. Needs at least one other value.
    """
    center = median(others)
    deviations = [abs(each - center) for each in others]
    spread = MAD_TO_SIGMA * median(deviations)
    if spread == 0:
        spread = MEAN_DEVIATION_TO_SIGMA * fmean(deviations)
    spread = max(
        spread, weighting.minimum_spread, weighting.minimum_spread_share * center
    )
    return Deviation(median=center, spread=spread, robust_z=(value - center) / spread)


def graded(answers: Sequence[TimedAnswer]) -> GradedAnswers:
    """Leave out what waits for a grade."""
    return GradedAnswers(
        answers={a.question_id: a for a in answers if a.is_correct is not None},
        wrong=frozenset(
            (a.question_id, a.response_digest) for a in answers if a.is_correct is False
        ),
    )


def tempering(robust_z: float, weighting: Weighting) -> float:
    """Return what is left of a factor, 1 from `full_at_z` on, less for the usual."""
    share = min(1.0, max(0.0, robust_z / weighting.full_at_z))
    return weighting.typical_share + (1 - weighting.typical_share) * share


def raising(robust_z: float, weighting: Weighting) -> float:
    """Return by how much the unusual raises the exposure, from 1 to `raised_factor`."""
    span = weighting.raised_at_z - weighting.full_at_z
    share = min(1.0, max(0.0, (robust_z - weighting.full_at_z) / span))
    return 1 + (weighting.raised_factor - 1) * share


def timed_answers(
    inputs: AttemptInputs, policy: ProctoringPolicy
) -> tuple[TimedAnswer, ...]:
    """Give each answer the time from the last save before it to its own last save.

    Answers whose saves follow closely share the time since the save before the first
    of them: they were thought about on paper, on one page, or without a network, and
    only the saves were fast. Pauses do not count. A changed answer gets the longer time
    up to its last change. All of it errs on the side of the student.
    """
    breaks = pauses(inputs)
    first = {a.question_id: inputs.offset(a.first_saved_at) for a in inputs.answers}
    last = {a.question_id: inputs.offset(a.saved_at) for a in inputs.answers}
    marks = sorted({0, *first.values(), *last.values()})
    groups = union(
        (Span(each, each) for each in first.values()),
        microseconds(policy.debounce_seconds),
    )
    beginnings = [each.start for each in groups]
    group_of = {
        question: groups[bisect_right(beginnings, began) - 1]
        for question, began in first.items()
    }
    sizes = Counter(group_of.values())
    timed: list[TimedAnswer] = []
    for answer in sorted(inputs.answers, key=lambda each: each.question_id):
        group = group_of[answer.question_id]
        before = max((mark for mark in marks if mark < group.start), default=0)
        span = Span(min(before, group.start), max(group.end, last[answer.question_id]))
        working = span.length - overlap(breaks, span)
        timed.append(
            TimedAnswer(
                question_id=answer.question_id,
                kind=answer.kind,
                is_correct=answer.is_correct,
                response_digest=answer.response_digest,
                options_count=answer.options_count,
                seconds=working / sizes[group] / 1_000_000,
            )
        )
    return tuple(timed)


def _statistics(answers: Sequence[TimedAnswer]) -> ItemStatistics:
    wrong = [each.response_digest for each in answers if each.is_correct is False]
    return ItemStatistics(
        answered=len(answers), wrong=len(wrong), wrong_responses=Counter(wrong)
    )


def _digest(member: CohortMember) -> str:
    return digest(
        {
            "attempt_id": str(member.attempt_id),
            "student_id": str(member.student_id),
            "exposures": dict(member.exposures),
            "answers": [
                [
                    str(each.question_id),
                    each.kind,
                    each.is_correct,
                    each.response_digest,
                    each.options_count,
                    each.seconds,
                ]
                for each in sorted(member.answers, key=lambda a: a.question_id)
            ],
        }
    )
