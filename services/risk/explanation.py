"""One sentence a factor, for the student whom it concerns."""

from collections.abc import Sequence

from services.event_catalogue import EVENT_TYPES
from services.proctoring_policy import ProctoringPolicy
from services.risk.cohort import Deviation
from services.risk.observations import Evidence, Observation
from services.risk.similarity import SimilarAttempt
from services.risk.spans import total
from services.risk.timing import FastAnswers
from services.risk.weighting import Weighting

_FAR_ABOVE = 3.0
_ABOVE = 1.0


def of_events(
    evidence: Evidence, deviation: Deviation | None, weighting: Weighting
) -> str:
    """Explain a factor that rests on events."""
    if not evidence.counted:
        return (
            f"Reported: {_listed(evidence.uncounted)}; this was too short, too"
            " rare or too slight to count."
        )
    asides = [
        each
        for each in (
            _usual(deviation, weighting),
            _excused(evidence.counted, weighting),
            _left_out(evidence.uncounted),
        )
        if each
    ]
    ending = "".join(f"; {each}" for each in asides)
    return f"Reported: {_listed(evidence.counted)}{ending}."


def of_similarity(found: SimilarAttempt) -> str:
    """Explain shared wrong answers, without a word on whose they are."""
    return (
        f"{found.shared_wrong_answers} of your wrong answers are the same as those of"
        f" another student, where about {found.expected:.1f} would be expected by"
        " chance; this does not say who took them from whom, or that anyone did."
    )


def of_timing(
    found: FastAnswers, policy: ProctoringPolicy, *, is_compared: bool
) -> str:
    """Explain fast right answers, by the limits of the exam and nothing else."""
    usual = (
        f", or less than {policy.fast_answer_share_of_median * 100:g} % of what is"
        " usual for the question in this exam"
        if is_compared
        else ""
    )
    return (
        f"{len(found.right)} right answers were saved with less than"
        f" {policy.minimum_answer_seconds:g} s for each{usual};"
        f" guessing would explain {len(found.right) - found.excess:.1f} of them."
    )


def _listed(observations: Sequence[Observation]) -> str:
    codes = sorted({each.code for each in observations})
    items = [
        _described(code, [o for o in observations if o.code == code]) for code in codes
    ]
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _described(code: str, observations: Sequence[Observation]) -> str:
    seconds = total(each.span for each in observations) / 1_000_000
    count = sum(each.count for each in observations)
    times = "once" if count == 1 else f"{count} times"
    lasting = f", {_duration(seconds)} in all" if seconds >= 1 else ""
    return f"{EVENT_TYPES[code].label} ({times}{lasting})"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def _usual(deviation: Deviation | None, weighting: Weighting) -> str:
    if deviation is None:
        return ""
    if deviation.robust_z >= _FAR_ABOVE:
        return "that is far more than is usual in this exam"
    if deviation.robust_z >= _ABOVE:
        return "that is more than is usual in this exam"
    weighs_less = ", so it weighs less" if weighting.typical_share < 1 else ""
    if deviation.robust_z <= -_ABOVE:
        return f"that is less than is usual in this exam{weighs_less}"
    return f"that is about what is usual in this exam{weighs_less}"


def _excused(observations: Sequence[Observation], weighting: Weighting) -> str:
    excused = [each for each in observations if each.explained_by]
    if not excused:
        return ""
    causes = sorted(
        {EVENT_TYPES[each.explained_by].label for each in excused if each.explained_by}
    )
    count = sum(each.count for each in excused)
    weighs_less = ", and weighs less" if weighting.explained_share < 1 else ""
    return f"{count} of it fell into {' or '.join(causes)}{weighs_less}"


def _left_out(observations: Sequence[Observation]) -> str:
    if not observations:
        return ""
    count = sum(each.count for each in observations)
    return f"{count} more too short, too rare or too slight to count"
