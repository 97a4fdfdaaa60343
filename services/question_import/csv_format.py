"""Questions from a CSV file (RFC 4180), one a record. docs/question-import.md."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final

from pydantic import ValidationError

from models.question_types import (
    MAX_OPTIONS,
    Essay,
    MultipleChoice,
    NewOption,
    NewQuestion,
    Numeric,
    QuestionKind,
    ShortText,
    SingleChoice,
    TrueFalse,
)
from services.question_import.result import (
    Findings,
    ImportResult,
    LineProblem,
    RefusedError,
    checked,
    describe,
    parse_number,
    prepare,
)

OPTIONS: Final = tuple(f"option_{number}" for number in range(1, MAX_OPTIONS + 1))
COMMON: Final = frozenset(("kind", "text", "points", "feedback"))
# The columns that a kind has besides the common ones.
COLUMNS: Final[Mapping[QuestionKind, frozenset[str]]] = {
    QuestionKind.SINGLE_CHOICE: frozenset(("correct", *OPTIONS)),
    QuestionKind.MULTIPLE_CHOICE: frozenset(("correct", *OPTIONS)),
    QuestionKind.TRUE_FALSE: frozenset(("correct",)),
    QuestionKind.NUMERIC: frozenset(("correct", "tolerance")),
    QuestionKind.SHORT_TEXT: frozenset(("accepted_answers", "is_case_sensitive")),
    QuestionKind.ESSAY: frozenset(("max_characters",)),
}
KNOWN: Final = COMMON.union(*COLUMNS.values())
YES: Final = frozenset(("true", "t", "yes", "1"))
NO: Final = frozenset(("false", "f", "no", "0"))
# A thousand where numbers have a decimal comma, and one where they have a point.
# More points make no number anyway, and no thousands begin with 0.
GROUPED: Final = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)


def parse_csv(text: str) -> ImportResult:
    """Read the questions of a CSV file of at most 1 MB and 500 questions.

    Raises nothing: what can't be imported is in the result's problems. A record's
    line is the one on which it begins.
    """
    findings = Findings()
    try:
        for record in _records(prepare(text), findings):
            if findings.is_full:
                break
            findings.add(record.line, partial(_read, record))
    except RefusedError as error:
        findings.refuse(error.problem)
    return findings.result()


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    # Cells that are not empty, trimmed, by column.
    cells: Mapping[str, str]
    # Whether numbers may be written with a comma, as where ; parts the cells.
    has_decimal_comma: bool

    def get(self, column: str) -> str:
        """Return a cell that must not be empty."""
        if column not in self.cells:
            raise RefusedError(self.line, "This cell must not be empty.", column)
        return self.cells[column]

    def number(self, column: str) -> Decimal:
        written = self.get(column)
        if self.has_decimal_comma:
            if GROUPED.fullmatch(written):
                raise RefusedError(
                    self.line,
                    f"'{written}' can be read as two numbers: write "
                    f"{written.replace('.', '')} or {written.replace('.', ',')}.",
                    column,
                )
            written = written.replace(",", ".", 1)
        return parse_number(written, self.line, column)

    def whole_number(self, column: str) -> int:
        value = self.number(column)
        # A bound first: int() of 1E+999 has a thousand digits.
        if not 0 <= value <= 10**9 or value != int(value):
            raise RefusedError(
                self.line, f"'{self.get(column)}' is not a whole number.", column
            )
        return int(value)

    def boolean(self, column: str) -> bool:
        written = self.get(column).casefold()
        if written not in YES | NO:
            raise RefusedError(self.line, "Write true or false here.", column)
        return written in YES

    def parts(self, column: str) -> list[str]:
        """Return what is parted by | in a cell."""
        return [part.strip() for part in self.get(column).split("|")]


def _records(text: str, findings: Findings) -> Iterator[_Record]:
    delimiter = _delimiter(text)
    header: list[str] | None = None
    for line, row in _rows(text, delimiter):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if header is None:
            header = _header(line, cells)
            for column in sorted(set(header) - KNOWN):
                findings.refuse(
                    LineProblem(
                        line,
                        "This column is not known, and was not read. See "
                        "docs/question-import.md for the names.",
                        column[:100],
                    )
                )
        elif any(cells[len(header) :]):
            findings.refuse(
                LineProblem(
                    line,
                    f"There are {len(cells)} cells, and the header has {len(header)}. "
                    'Put text that contains the separator into "double quotes".',
                )
            )
        else:
            named = zip(header, cells, strict=False)
            yield _Record(line, {n: c for n, c in named if c}, delimiter == ";")
    if header is None:
        raise RefusedError(1, "The file is empty. Its first line must name columns.")


def _delimiter(text: str) -> str:
    header = text.lstrip("\n").partition("\n")[0]
    return max(",;\t", key=header.count)


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                raise RefusedError(
                    line,
                    f"A cell has more than {csv.field_size_limit()} characters, and "
                    "nothing from here on was read. Look for a missing quote.",
                ) from error
            raise RefusedError(
                line,
                "The quotes of this record are wrong, and nothing from here on was "
                'read. Within "quotes", write "" for one quote, and end with one.',
            ) from error
        yield line, row


def _header(line: int, cells: list[str]) -> list[str]:
    # Spreadsheets like to leave empty columns at the end.
    while cells and not cells[-1]:
        cells.pop()
    header = [cell.casefold() for cell in cells]
    for column in ("kind", "text"):
        if column not in header:
            raise RefusedError(
                line,
                "The first line must name the columns, and among them kind and text.",
                column,
            )
    for column in KNOWN:
        if header.count(column) > 1:
            raise RefusedError(line, "Two columns have this name.", column)
    return header


def _read(record: _Record) -> NewQuestion:
    written = record.get("kind").casefold()
    if written not in COLUMNS:
        kinds = ", ".join(QuestionKind)
        raise RefusedError(record.line, f"This must be one of {kinds}.", "kind")
    kind = QuestionKind(written)
    for column in record.cells:
        if column in KNOWN - COMMON - COLUMNS[kind]:
            raise RefusedError(
                record.line, f"The kind {kind} has no such cell: empty it.", column
            )
    try:
        return _question(kind, record)
    except ValidationError as error:
        raise RefusedError(record.line, describe(error), _column(error)) from error


def _column(error: ValidationError) -> str:
    """Return the column that the first error is about."""
    match error.errors()[0]["loc"]:
        case ("options", *_):
            return OPTIONS[0]
        case (str(field), *_) if field != "answer":
            return field
    # The answer to a numeric question, and what options must be together.
    return "correct"


def _question(kind: QuestionKind, record: _Record) -> NewQuestion:
    # What is not given has the model's default. Any: each has the type of its field.
    given: dict[str, Any] = {
        "text": record.get("text"),
        "points": record.number("points") if "points" in record.cells else Decimal(1),
        "feedback": record.cells.get("feedback", ""),
    }
    match kind:
        case QuestionKind.SINGLE_CHOICE:
            return SingleChoice(kind=kind, options=_options(record), **given)
        case QuestionKind.MULTIPLE_CHOICE:
            return MultipleChoice(kind=kind, options=_options(record), **given)
        case QuestionKind.TRUE_FALSE:
            correct = record.boolean("correct")
            return TrueFalse(kind=kind, correct=correct, **given)
        case QuestionKind.NUMERIC:
            given["answer"] = record.number("correct")
            if "tolerance" in record.cells:
                given["tolerance"] = record.number("tolerance")
            return Numeric(kind=kind, **given)
        case QuestionKind.SHORT_TEXT:
            given["accepted_answers"] = tuple(record.parts("accepted_answers"))
            if "is_case_sensitive" in record.cells:
                given["is_case_sensitive"] = record.boolean("is_case_sensitive")
            return ShortText(kind=kind, **given)
        case QuestionKind.ESSAY:
            if "max_characters" in record.cells:
                given["max_characters"] = record.whole_number("max_characters")
            return Essay(kind=kind, **given)


def _options(record: _Record) -> tuple[NewOption, ...]:
    count = sum(column in record.cells for column in OPTIONS)
    texts = [record.get(column) for column in OPTIONS[:count]]
    correct: set[int] = set()
    for part in record.parts("correct"):
        number = parse_number(part, record.line, "correct")
        if number not in range(1, count + 1):
            raise RefusedError(
                record.line,
                f"There is no option {part}. Give the number of the right option, or "
                "numbers parted by |.",
                "correct",
            )
        correct.add(int(number))
    return tuple(
        checked(
            record.line,
            partial(NewOption, text=text, is_correct=number in correct),
            what="The option",
            column=OPTIONS[number - 1],
        )
        for number, text in enumerate(texts, start=1)
    )
