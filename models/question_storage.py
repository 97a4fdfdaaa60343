"""How a question is stored: what a student may see apart from what makes it right.

`body` goes to students as it is, so nothing of the key may ever be put into it. In
`answer_key`, decimals are strings: no reader can take them for binary fractions. It has
a salt, which nobody is given: who may read the question's digest in the log, but not
the key, can not find the key by trying.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from secrets import token_hex
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from models.question_types import (
    Essay,
    MultipleChoice,
    NewQuestion,
    Numeric,
    Points,
    QuestionKind,
    ShortText,
    SingleChoice,
    TrueFalse,
)
from models.wire import Number

SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredQuestion:
    """The columns of a question that say what is asked and what is right."""

    kind: QuestionKind
    text: str
    points: Decimal
    body: dict[str, JsonValue]
    answer_key: dict[str, JsonValue]


class AnyStoredQuestion(Protocol):
    """A StoredQuestion, or a table row that has its columns and more."""

    @property
    def kind(self) -> QuestionKind: ...
    @property
    def text(self) -> str: ...
    @property
    def points(self) -> Decimal: ...
    @property
    def body(self) -> dict[str, JsonValue]: ...
    @property
    def answer_key(self) -> dict[str, JsonValue]: ...


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Option(_Document):
    id: UUID
    text: str


class ChoiceBody(_Document):
    options: tuple[Option, ...]


class EssayBody(_Document):
    max_characters: int


class PlainBody(_Document):
    """The body of a kind that shows nothing but its text."""


Body: TypeAlias = ChoiceBody | EssayBody | PlainBody


class _Key(_Document):
    feedback: str
    # None of questions that were stored before there was one.
    salt: str | None = None


class ChoiceKey(_Key):
    correct_option_ids: tuple[UUID, ...]


class TrueFalseKey(_Key):
    correct: bool


class NumericKey(_Key):
    answer: Decimal
    tolerance: Decimal


class ShortTextKey(_Key):
    accepted_answers: tuple[str, ...]
    is_case_sensitive: bool


class EssayKey(_Key):
    """Nothing but the feedback: a person grades it."""


AnswerKey: TypeAlias = ChoiceKey | TrueFalseKey | NumericKey | ShortTextKey | EssayKey


def parse_body(kind: QuestionKind, document: dict[str, JsonValue]) -> Body:
    """Return the typed body. Raises ValueError for one that was not written by us."""
    match kind:
        case QuestionKind.SINGLE_CHOICE | QuestionKind.MULTIPLE_CHOICE:
            return ChoiceBody.model_validate(document)
        case QuestionKind.ESSAY:
            return EssayBody.model_validate(document)
        case QuestionKind.TRUE_FALSE | QuestionKind.NUMERIC | QuestionKind.SHORT_TEXT:
            return PlainBody.model_validate(document)


def parse_answer_key(kind: QuestionKind, document: dict[str, JsonValue]) -> AnswerKey:
    """Return the typed key. Raises ValueError for one that was not written by us."""
    match kind:
        case QuestionKind.SINGLE_CHOICE | QuestionKind.MULTIPLE_CHOICE:
            return ChoiceKey.model_validate(document)
        case QuestionKind.TRUE_FALSE:
            return TrueFalseKey.model_validate(document)
        case QuestionKind.NUMERIC:
            return NumericKey.model_validate(document)
        case QuestionKind.SHORT_TEXT:
            return ShortTextKey.model_validate(document)
        case QuestionKind.ESSAY:
            return EssayKey.model_validate(document)


def to_storage(new: NewQuestion, new_id: Callable[[], UUID]) -> StoredQuestion:
    """Split a question into what students see and what they do not.

    `new_id` names each option, in order.
    """
    body, key = _documents(new, new_id)
    return StoredQuestion(
        kind=new.kind,
        text=new.text,
        points=new.points,
        body=body.model_dump(mode="json"),
        answer_key=salted(key.model_dump(mode="json")),
    )


def salted(answer_key: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the key with a new salt in it: each copy of a question has its own."""
    return answer_key | {"salt": token_hex(SALT_BYTES)}


def _documents(new: NewQuestion, new_id: Callable[[], UUID]) -> tuple[Body, AnswerKey]:
    match new:
        case SingleChoice() | MultipleChoice():
            options = [(Option(id=new_id(), text=o.text), o) for o in new.options]
            correct = tuple(option.id for option, o in options if o.is_correct)
            return (
                ChoiceBody(options=tuple(option for option, _ in options)),
                ChoiceKey(correct_option_ids=correct, feedback=new.feedback),
            )
        case TrueFalse():
            true_false = TrueFalseKey(correct=new.correct, feedback=new.feedback)
            return PlainBody(), true_false
        case Numeric():
            return PlainBody(), NumericKey(
                answer=new.answer, tolerance=new.tolerance, feedback=new.feedback
            )
        case ShortText():
            return PlainBody(), ShortTextKey(
                accepted_answers=new.accepted_answers,
                is_case_sensitive=new.is_case_sensitive,
                feedback=new.feedback,
            )
        case Essay():
            body = EssayBody(max_characters=new.max_characters)
            return body, EssayKey(feedback=new.feedback)


class OptionView(Option):
    is_correct: bool


class _View(_Document):
    id: UUID
    position: int
    text: str
    points: Points
    feedback: str


class SingleChoiceView(_View):
    kind: Literal[QuestionKind.SINGLE_CHOICE]
    options: tuple[OptionView, ...]


class MultipleChoiceView(_View):
    kind: Literal[QuestionKind.MULTIPLE_CHOICE]
    options: tuple[OptionView, ...]


class TrueFalseView(_View):
    kind: Literal[QuestionKind.TRUE_FALSE]
    correct: bool


class NumericView(_View):
    kind: Literal[QuestionKind.NUMERIC]
    answer: Number
    tolerance: Number


class ShortTextView(_View):
    kind: Literal[QuestionKind.SHORT_TEXT]
    accepted_answers: tuple[str, ...]
    is_case_sensitive: bool


class EssayView(_View):
    kind: Literal[QuestionKind.ESSAY]
    max_characters: int


# A question as an admin sees it: what he wrote, with its id, its place and its key.
QuestionView: TypeAlias = Annotated[
    SingleChoiceView
    | MultipleChoiceView
    | TrueFalseView
    | NumericView
    | ShortTextView
    | EssayView,
    Field(discriminator="kind"),
]
_VIEW: TypeAdapter[QuestionView] = TypeAdapter(QuestionView)


def from_storage(
    question_id: UUID, position: int, stored: AnyStoredQuestion
) -> QuestionView:
    """Return the admin's view. Never render it for a student: it contains the key."""
    body = parse_body(stored.kind, stored.body)
    key = parse_answer_key(stored.kind, stored.answer_key)
    # Any: the fields of the two documents, which the view's own type checks again.
    fields: dict[str, Any] = body.model_dump() | key.model_dump(exclude={"salt"})
    if isinstance(body, ChoiceBody) and isinstance(key, ChoiceKey):
        del fields["correct_option_ids"]
        fields["options"] = [
            option.model_dump() | {"is_correct": option.id in key.correct_option_ids}
            for option in body.options
        ]
    return _VIEW.validate_python(
        {
            "id": question_id,
            "position": position,
            "kind": stored.kind,
            "text": stored.text,
            "points": stored.points,
            **fields,
        }
    )
