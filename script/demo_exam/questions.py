"""The bundled questions: one exam a category, and what right and wrong answers are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydantic import JsonValue

from script.demo_behaviours import PlannedQuestion
from script.demo_exam.replies import KeyedQuestion

SOURCE = Path(__file__).parent.parent / "demo_data" / "questions.gift"
NO_IDEA = ("I do not know", "All of them", "It depends")
THOROUGH = "Thorough: "
ESSAYS = (
    THOROUGH + "the cause, how it works, two examples, and where it does not hold.",
    "The cause and one example.",
    "One example, without saying why.",
    "I ran out of time.",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A category of the bundled file, as GIFT text."""

    title: str
    gift: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the right response to it, and wrong ones, the likeliest first."""

    question: KeyedQuestion
    right: JsonValue
    wrong: Sequence[JsonValue]

    def response(self, wrong_variant: int | None) -> JsonValue:
        return self.right if wrong_variant is None else self.wrong[wrong_variant]


def subjects() -> list[Subject]:
    text = SOURCE.read_text(encoding="utf-8")
    _, *parts = re.split(r"(?m)^\$CATEGORY: *(.+)$", text)
    return [
        Subject(title.strip(), gift)
        for title, gift in zip(parts[::2], parts[1::2], strict=True)
    ]


def asked(question: KeyedQuestion) -> Asked:
    """Read right and wrong responses off the key that an admin sees."""
    right_ids = [str(o.id) for o in question.options if o.is_correct]
    wrong_ids = [str(o.id) for o in question.options if not o.is_correct]
    match question.kind:
        case "single_choice":
            return Asked(question, right_ids[0], wrong_ids)
        case "multiple_choice":
            variants: list[JsonValue] = [
                [*right_ids, wrong_ids[0]],
                list(right_ids[:-1]) or [wrong_ids[0]],
                list(wrong_ids),
            ]
            return Asked(question, list(right_ids), variants)
        case "true_false":
            return Asked(question, question.correct, [not question.correct])
        case "numeric":
            answer, step = question.answer or 0.0, 1 + 2 * question.tolerance
            return Asked(
                question, answer, [answer + step, answer - step, 2 * answer + step]
            )
        case "short_text":
            return Asked(question, question.accepted_answers[0], list(NO_IDEA))
    thorough, *others = ESSAYS
    return Asked(question, thorough, list(others))


def planned(questions: Sequence[Asked], rng: Random) -> tuple[PlannedQuestion, ...]:
    return tuple(
        PlannedQuestion(difficulty=rng.gauss(-0.2, 1.0), wrong_variants=len(each.wrong))
        for each in questions
    )
