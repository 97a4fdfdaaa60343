"""Right answers that came faster than the exam takes for likely."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.proctoring_policy import ProctoringPolicy
from services.risk.cohort import Cohort, TimedAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class FastAnswers:
    """`excess` is the number of fast right answers beyond what guessing gives."""

    right: tuple[UUID, ...]
    excess: float


def fast_answers(
    answers: Sequence[TimedAnswer],
    cohort: Cohort,
    policy: ProctoringPolicy,
    *,
    is_compared: bool,
) -> FastAnswers:
    """Count fast right answers, less what a fast guesser gets right by luck.

    The correction is formula scoring: each wrong answer among k options vouches for
    1/(k - 1) lucky right ones.
    """
    right: list[UUID] = []
    lucky = 0.0
    for answer in sorted(answers, key=lambda each: each.question_id):
        limit = policy.minimum_answer_seconds
        if is_compared and answer.question_id in cohort.median_seconds:
            typical = cohort.median_seconds[answer.question_id]
            limit = max(limit, policy.fast_answer_share_of_median * typical)
        if answer.seconds >= limit:
            continue
        if answer.is_correct:
            right.append(answer.question_id)
        elif answer.is_correct is False:
            options = answer.options_count or 0
            lucky += 1 / (options - 1) if options > 1 else 0.0
    return FastAnswers(right=tuple(right), excess=max(0.0, len(right) - lucky))
