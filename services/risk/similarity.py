"""Wrong answers that two students share more often than chance allows.

Only wrong answers are looked at: right ones agree because they are right (van der
Linden and Sotaridona, 2004, show that taking them in makes the hypotheses improper).
The number of identical wrong answers is compared with its distribution for students
who work alone, a generalized binomial (van der Linden and Sotaridona, 2006, Journal of
Educational and Behavioral Statistics 31(3); in the line of Holland's K-index, 1996,
and Wollack's omega, 1997). Instead of a fitted response model it takes the chance of a
wrong answer from the question's difficulty and the student's own error rate, and the
chance of *this* wrong answer from its popularity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from uuid import UUID

from services.risk.cohort import (
    Cohort,
    CohortMember,
    ItemStatistics,
    TimedAnswer,
    graded,
)

# Below this the sum of products is noise; it also keeps log10 finite.
SMALLEST_PROBABILITY = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarAttempt:
    """Another attempt whose wrong answers are improbably like this one's.

    `probability` is that of so many or more if both worked alone, multiplied by the
    number of pairs in the exam (Bonferroni), at most 1.
    """

    attempt_id: UUID
    shared_wrong_answers: int
    expected: float
    probability: float
    question_ids: tuple[UUID, ...]

    @property
    def log10_probability(self) -> float:
        return log10(max(self.probability, SMALLEST_PROBABILITY))


def most_similar(
    answers: Sequence[TimedAnswer],
    cohort: Cohort,
    peers: Sequence[CohortMember],
    minimum_shared: int,
) -> SimilarAttempt | None:
    """Return the peer with the least probable agreement, or None if none agrees enough.

    A pair is judged in both directions and the more probable of the two is believed.
    """
    own = graded(answers)
    pairs = (len(peers) + 1) * len(peers) // 2
    best: SimilarAttempt | None = None
    for peer in sorted(peers, key=lambda each: each.attempt_id):
        theirs = cohort.graded[peer.attempt_id]
        shared = own.wrong & theirs.wrong
        if len(shared) < minimum_shared:
            continue
        chances = max(
            _chances(own.answers, theirs.answers, cohort.items),
            _chances(theirs.answers, own.answers, cohort.items),
            key=lambda each: tail(each, len(shared)),
        )
        found = SimilarAttempt(
            attempt_id=peer.attempt_id,
            shared_wrong_answers=len(shared),
            expected=sum(chances),
            probability=min(1.0, tail(chances, len(shared)) * pairs),
            question_ids=tuple(sorted(question for question, _ in shared)),
        )
        if best is None or found.probability < best.probability:
            best = found
    return best


def tail(chances: Sequence[float], at_least: int) -> float:
    """Return the chance of `at_least` or more successes in independent trials.

    The trials have chances of their own (the Poisson binomial distribution). Everything
    from `at_least` on is kept in one last cell, so that nothing is lost to
    cancellation.
    """
    cells = [1.0] + [0.0] * at_least
    for chance in chances:
        cells[at_least] += cells[at_least - 1] * chance
        for count in range(at_least - 1, 0, -1):
            cells[count] += (cells[count - 1] - cells[count]) * chance
        cells[0] *= 1 - chance
    return min(1.0, max(0.0, cells[at_least]))


def _chances(
    source: Mapping[UUID, TimedAnswer],
    other: Mapping[UUID, TimedAnswer],
    items: Mapping[UUID, ItemStatistics],
) -> list[float]:
    """Return the chance that `other` alone repeats each wrong answer of `source`."""
    common = sorted(source.keys() & other.keys())
    difficulty = {q: _share_wrong(items[q], source[q], other[q]) for q in common}
    odds_of_other = _relative_odds([other[q] for q in common], difficulty)
    chances: list[float] = []
    for question in common:
        if source[question].is_correct is not False:
            continue
        odds = difficulty[question] / (1 - difficulty[question]) * odds_of_other
        wrong = odds / (1 + odds)
        chances.append(
            wrong * _popularity(items[question], source[question], other[question])
        )
    return chances


def _share_wrong(item: ItemStatistics, *pair: TimedAnswer) -> float:
    """Return the share of wrong answers among the others, drawn towards a half."""
    others = item.answered - len(pair)
    wrong = item.wrong - sum(each.is_correct is False for each in pair)
    return (wrong + 1) / (others + 2)


def _relative_odds(
    answers: Sequence[TimedAnswer], difficulty: Mapping[UUID, float]
) -> float:
    """Return by what factor a student's odds of a wrong answer exceed the usual."""
    wrong = sum(each.is_correct is False for each in answers) + 0.5
    right = sum(each.is_correct is True for each in answers) + 0.5
    expected_wrong = sum(difficulty.values()) + 0.5
    expected_right = len(difficulty) - sum(difficulty.values()) + 0.5
    return (wrong / right) / (expected_wrong / expected_right)


def _popularity(item: ItemStatistics, answer: TimedAnswer, other: TimedAnswer) -> float:
    """Return the share of this response among the wrong ones of the others.

    One of each possible wrong response is added, so that what nobody else chose is
    rare, but never impossible.
    """
    response = answer.response_digest
    pair = [each for each in (answer, other) if each.is_correct is False]
    wrong = item.wrong - len(pair)
    same = item.wrong_responses.get(response, 0) - sum(
        each.response_digest == response for each in pair
    )
    if answer.kind in {"single_choice", "true_false"} and answer.options_count:
        possible = max(1, answer.options_count - 1)
    else:
        possible = len(item.wrong_responses) + 1
    return min(1.0, (same + 1) / (wrong + possible))
