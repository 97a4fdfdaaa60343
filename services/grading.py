"""Grading: pure functions from a question and a response to points.

A multiple-choice answer earns all points or none. Part marks need a rule for wrong
ticks, and every such rule (minus points, a floor, a share) rewards guessing in some
question and has to be explained to each student; the set is right or it is not.
"""

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact
from typing import Final

from models.question_response import Response
from models.question_storage import (
    AnyStoredQuestion,
    ChoiceKey,
    EssayKey,
    NumericKey,
    ShortTextKey,
    TrueFalseKey,
    parse_answer_key,
)
from utils.visible_text import as_read

NOTHING: Final = Decimal("0.00")
CENT: Final = Decimal("0.01")
# Two doubles of up to 10^15 differ by a decimal of at most 340 digits (the smallest
# double is 5e-324). The trap proves that no subtraction was ever rounded.
EXACT: Final = Context(prec=400, traps=[Inexact])


def grade(question: AnyStoredQuestion, response: Response) -> Decimal | None:
    """Return the points that a response earns, or None if a human must decide.

    Only an essay in which something stands needs a human. `response` is what
    `parse_response` returned for this question; one of another kind earns nothing.
    """
    if response is None:
        return NOTHING
    key = parse_answer_key(question.kind, question.answer_key)
    if isinstance(key, EssayKey):
        is_written = isinstance(response, str) and response.strip() != ""
        return None if is_written else NOTHING
    return question.points if _is_right(key, response) else NOTHING


def _is_right(
    key: ChoiceKey | TrueFalseKey | NumericKey | ShortTextKey, response: Response
) -> bool:
    match key:
        case ChoiceKey(correct_option_ids=correct):
            chosen = response if isinstance(response, tuple) else (response,)
            return frozenset(chosen) == frozenset(correct)
        case TrueFalseKey(correct=is_true):
            return response is is_true
        case NumericKey(answer=answer, tolerance=tolerance):
            # copy_abs(), because abs() rounds to the thread's 28 digits.
            return (
                isinstance(response, Decimal)
                and EXACT.subtract(response, answer).copy_abs() <= tolerance
            )
        case ShortTextKey():
            return isinstance(response, str) and _reads_like(key, response)


def _reads_like(key: ShortTextKey, response: str) -> bool:
    given = comparable(response, is_case_sensitive=key.is_case_sensitive)
    # A key from before blank ones were refused must not reward a blank answer.
    return given != "" and any(
        given == comparable(accepted, is_case_sensitive=key.is_case_sensitive)
        for accepted in key.accepted_answers
    )


def comparable(text: str, *, is_case_sensitive: bool) -> str:
    """Return what two short texts share when they count as the same answer.

    What `as_read` leaves of them, and case folded unless it matters.
    """
    text = as_read(text)
    # Folding can undo NFC (Unicode 15, section 3.13, D145), so it is done again.
    return text if is_case_sensitive else as_read(text.casefold())


def total(grades: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum, or None as long as one answer waits for a human."""
    score = NOTHING
    for points in grades:
        if points is None:
            return None
        score += points
    return score


def is_passed(score: Decimal, maximum: Decimal, passing_score_percent: Decimal) -> bool:
    """Say whether the score reaches the mark, by its exact and never its rounded share.

    With 66.67 to pass, 2 of 3 (66.666… percent) fails, though it is shown as 66.67.
    """
    return 100 * score >= passing_score_percent * maximum and (
        maximum > 0 or passing_score_percent == 0
    )
