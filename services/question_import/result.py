"""What an import found: the good questions, and a sentence for each bad line."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from pydantic import ValidationError

from models.question_types import NewQuestion
from services.exam_fields import MAX_QUESTIONS

MAX_BYTES: Final = 1_000_000
# A file of another format has a problem in each line. The first of them tell as much.
MAX_PROBLEMS: Final = 100

NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
MAX_NUMBER_CHARACTERS: Final = 40
# Below the smallest double, and so nothing that a JSON number can say.
SMALLEST_EXPONENT: Final = -324

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class LineProblem:
    """A sentence about a line, counted from 1, and in a CSV file about a column."""

    line: int
    detail: str
    column: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """The good questions in the file's order; what is wrong; what was left out.

    Questions are returned beside problems: the caller decides whether a part of a
    file is worth having. A note is no problem: the question was imported, or there
    was none.
    """

    questions: tuple[NewQuestion, ...]
    problems: tuple[LineProblem, ...]
    notes: tuple[LineProblem, ...]


class RefusedError(Exception):
    """One question can't be imported. It does not leave this package."""

    def __init__(self, line: int, detail: str, column: str | None = None) -> None:
        super().__init__(detail)
        self.problem = LineProblem(line, detail, column)


class Findings:
    """What was found so far, within the limits of one import."""

    def __init__(self) -> None:
        self._questions: list[NewQuestion] = []
        self._problems: list[LineProblem] = []
        self._notes: list[LineProblem] = []
        self.is_full = False

    def add(self, line: int, read: Callable[[], NewQuestion]) -> None:
        """Keep the question that `read` returns, or the reason why it can't."""
        if len(self._questions) == MAX_QUESTIONS:
            self.is_full = True
            self._problems.append(
                LineProblem(
                    line,
                    f"This is more than {MAX_QUESTIONS} questions: nothing from here "
                    "on was read. Split the file.",
                )
            )
            return
        try:
            self._questions.append(read())
        except RefusedError as error:
            self.refuse(error.problem)

    def refuse(self, problem: LineProblem) -> None:
        """Keep the problem, unless there are so many that nobody reads on."""
        if self.is_full:
            return
        self._problems.append(problem)
        if len(self._problems) == MAX_PROBLEMS:
            self.is_full = True
            self._problems.append(
                LineProblem(
                    problem.line,
                    f"These are {MAX_PROBLEMS} problems: nothing after this line was "
                    "read. Correct them, or check that this is the right format.",
                )
            )

    def note(self, line: int, detail: str) -> None:
        # One note a line is possible at most, but a file can be all such lines.
        if len(self._notes) < MAX_QUESTIONS:
            self._notes.append(LineProblem(line, detail))

    def result(self) -> ImportResult:
        return ImportResult(
            questions=tuple(self._questions),
            problems=tuple(self._problems),
            notes=tuple(self._notes),
        )


def prepare(text: str) -> str:
    """Drop a byte order mark and make every line end with a bare newline.

    Raises RefusedError for a text above the limit.
    """
    # UTF-8 is never shorter than its characters, so no long text is ever encoded.
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise RefusedError(
            1, f"The file is larger than {MAX_BYTES} bytes: split it into parts."
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def checked(
    line: int,
    make: Callable[[], Made],
    *,
    what: str = "The question",
    column: str | None = None,
) -> Made:
    """Return what `make` makes, with a validation error as a sentence about `what`."""
    try:
        return make()
    except ValidationError as error:
        raise RefusedError(line, describe(error, what), column) from error


def describe(error: ValidationError, what: str = "The question") -> str:
    sentences: list[str] = []
    for item in error.errors(include_url=False, include_input=False):
        match item["loc"]:
            case (str(field), int(index), *_):
                where = f"{field.removesuffix('s').replace('_', ' ')} {index + 1}"
            case (str(field), *_) if field != "text":
                where = field.replace("_", " ")
            case _:
                where = what
        sentences.append(f"{where}: {item['msg'].removeprefix('Value error, ')}.")
    return " ".join(sentences)


def parse_number(text: str, line: int, column: str | None = None) -> Decimal:
    """Return the exact decimal that a text writes down."""
    if len(text) > MAX_NUMBER_CHARACTERS or not NUMBER.fullmatch(text):
        hint = ""
        if re.fullmatch(r"-?\d{1,20},\d{1,20}", text, re.ASCII):
            hint = " Write the decimal with a point, not a comma."
        shown = text if len(text) <= MAX_NUMBER_CHARACTERS else f"{text[:37]}..."
        raise RefusedError(line, f"'{shown}' is not a number.{hint}", column)
    value = Decimal(text)
    if value and value.adjusted() < SMALLEST_EXPONENT:
        raise RefusedError(line, f"'{text}' is too small to be told from 0.", column)
    return value
