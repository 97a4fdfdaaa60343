"""Questions as an admin writes them: one type a kind, told apart by `kind`.

The types accept what the table can hold and the grader can decide, and nothing else.
Numbers are exact decimals inside and ordinary numbers in JSON.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    model_validator,
)

from models.wire import CONTROLS_BUT_NEWLINES, Integer, Number, WireModel
from utils.visible_text import as_read, without_unseen

MAX_OPTIONS: Final = 20
MAX_ACCEPTED_ANSWERS: Final = 50
MAX_SHORT_TEXT_CHARACTERS: Final = 500
MAX_ESSAY_CHARACTERS: Final = 100_000
# Every integer up to here is exact in a JSON number, wherever it is read.
LARGEST_NUMBER: Final = 10**15


class QuestionKind(StrEnum):
    """What a question asks for. All but the essay are graded by the server."""

    SINGLE_CHOICE = "single_choice"
    MULTIPLE_CHOICE = "multiple_choice"
    TRUE_FALSE = "true_false"
    NUMERIC = "numeric"
    SHORT_TEXT = "short_text"
    ESSAY = "essay"


def check_prose(value: str) -> str:
    """Return the text with bare newlines. ValueError if it has control characters."""
    value = value.replace("\r\n", "\n")
    if CONTROLS_BUT_NEWLINES.search(value):
        raise ValueError("must not contain control characters")
    return value


def _not_blank(value: str) -> str:
    if not without_unseen(value).strip():
        raise ValueError("must not be blank")
    return value


def _survives_json(value: Decimal) -> Decimal:
    # What goes out as a JSON number must come back as the same decimal.
    if Decimal(repr(float(value))) != value:
        raise ValueError("has more digits than a JSON number can carry")
    return value


QuestionText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=10_000),
    AfterValidator(check_prose),
    AfterValidator(_not_blank),
    Field(json_schema_extra={"pattern": r"\S"}),
]
OptionText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2_000),
    AfterValidator(check_prose),
    AfterValidator(_not_blank),
    Field(json_schema_extra={"pattern": r"\S"}),
]
AcceptedAnswer = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_SHORT_TEXT_CHARACTERS),
    AfterValidator(check_prose),
    AfterValidator(_not_blank),
    Field(json_schema_extra={"pattern": r"\S"}),
]
Feedback = Annotated[
    str, StringConstraints(max_length=5_000), AfterValidator(check_prose)
]
MaxCharacters = Annotated[Integer, Field(ge=1, le=MAX_ESSAY_CHARACTERS)]
Points = Annotated[Number, Field(gt=0, le=1000, decimal_places=2)]
NumericAnswer = Annotated[
    Number,
    Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER),
    AfterValidator(_survives_json),
]
Tolerance = Annotated[
    Number,
    Field(ge=0, le=LARGEST_NUMBER),
    AfterValidator(_survives_json),
]


class NewOption(WireModel):
    """One option of a choice, with the part of the key that is its own."""

    text: OptionText
    is_correct: bool


def _contains_correct(at_most: int | None) -> dict[str, object]:
    # Says the rule in JSON Schema too, so that /openapi.json promises nothing false.
    rule: dict[str, object] = {
        "contains": {"properties": {"is_correct": {"const": True}}},
        "minContains": 1,
    }
    return rule if at_most is None else rule | {"maxContains": at_most}


def _refuse_doubles(options: tuple[NewOption, ...]) -> None:
    # Nobody can choose between two options that read the same.
    seen: dict[str, int] = {}
    for number, option in enumerate(options, start=1):
        reads = as_read(option.text)
        if reads in seen:
            raise ValueError(f"options {seen[reads]} and {number} read the same")
        seen[reads] = number


class _Question(WireModel):
    text: QuestionText
    points: Points
    # For staff, beside the answers that are to be graded; no student sees it.
    feedback: Feedback = ""


class SingleChoice(_Question):
    """Exactly one option is right."""

    kind: Literal[QuestionKind.SINGLE_CHOICE]
    options: Annotated[
        tuple[NewOption, ...],
        Field(
            min_length=2,
            max_length=MAX_OPTIONS,
            json_schema_extra=_contains_correct(at_most=1),
        ),
    ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_doubles(self.options)
        correct = sum(option.is_correct for option in self.options)
        if correct != 1:
            raise ValueError(f"needs exactly one correct option, and has {correct}")
        return self


class MultipleChoice(_Question):
    """One or more options are right; the answer is the set of them."""

    kind: Literal[QuestionKind.MULTIPLE_CHOICE]
    options: Annotated[
        tuple[NewOption, ...],
        Field(
            min_length=2,
            max_length=MAX_OPTIONS,
            json_schema_extra=_contains_correct(at_most=None),
        ),
    ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_doubles(self.options)
        if not any(option.is_correct for option in self.options):
            raise ValueError("needs at least one correct option")
        return self


class TrueFalse(_Question):
    kind: Literal[QuestionKind.TRUE_FALSE]
    correct: bool


class Numeric(_Question):
    """Right is what differs from `answer` by `tolerance` or less."""

    kind: Literal[QuestionKind.NUMERIC]
    answer: NumericAnswer
    tolerance: Tolerance = Decimal(0)


class ShortText(_Question):
    """Right is what reads like one of the accepted answers."""

    kind: Literal[QuestionKind.SHORT_TEXT]
    accepted_answers: Annotated[
        tuple[AcceptedAnswer, ...],
        Field(min_length=1, max_length=MAX_ACCEPTED_ANSWERS),
    ]
    is_case_sensitive: bool = False


class Essay(_Question):
    """Graded by a human, unless nothing was written."""

    kind: Literal[QuestionKind.ESSAY]
    max_characters: MaxCharacters = 20_000


NewQuestion: TypeAlias = Annotated[
    SingleChoice | MultipleChoice | TrueFalse | Numeric | ShortText | Essay,
    Field(discriminator="kind"),
]
