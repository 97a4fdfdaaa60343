"""What a response earns, and what is a response at all."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from time import process_time
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, TypeAdapter, ValidationError

from models.question_response import (
    ResponseMismatchError,
    parse_response,
    response_to_json,
)
from models.question_storage import StoredQuestion, from_storage, to_storage
from models.question_types import NewQuestion
from services.grading import comparable, grade, is_passed, total

QUESTION: TypeAdapter[NewQuestion] = TypeAdapter(NewQuestion)


def options(correct: str) -> list[JsonValue]:
    """Return an option a character: + for a right one, - for a wrong one."""
    return [
        {"text": f"option {number}", "is_correct": sign == "+"}
        for number, sign in enumerate(correct)
    ]


def parse(**fields: JsonValue) -> NewQuestion:
    body = {"text": "What?", "points": 2.5} | fields
    return QUESTION.validate_json(json.dumps(body), strict=True)


def stored(**fields: JsonValue) -> StoredQuestion:
    return to_storage(parse(**fields), uuid4)


def option_ids(question: StoredQuestion) -> list[str]:
    found = question.body["options"]
    assert isinstance(found, list)
    return [str(option["id"]) for option in found if isinstance(option, dict)]


def points_for(question: StoredQuestion, raw: JsonValue) -> Decimal | None:
    return grade(question, parse_response(question.kind, question.body, raw))


KINDS: list[dict[str, JsonValue]] = [
    {"kind": "single_choice", "options": options("-+")},
    {"kind": "multiple_choice", "options": options("+-+")},
    {"kind": "true_false", "correct": False},
    {"kind": "numeric", "answer": 3.14, "tolerance": 0.01},
    {"kind": "short_text", "accepted_answers": ["Paris", "Lutetia"]},
    {"kind": "essay", "max_characters": 100},
]


@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: str(fields["kind"]))
def test_a_question_comes_back_as_it_was_written(fields: dict[str, JsonValue]) -> None:
    new = parse(**fields, feedback="Because.")
    question = to_storage(new, uuid4)
    question_id = uuid4()

    view = from_storage(question_id, 3, question).model_dump(mode="json")

    assert (view.pop("id"), view.pop("position")) == (str(question_id), 3)
    for option in view.get("options", []):
        assert UUID(option.pop("id"))
    assert view == new.model_dump(mode="json")


@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: str(fields["kind"]))
def test_nothing_of_the_key_is_in_what_students_see(
    fields: dict[str, JsonValue],
) -> None:
    question = stored(**fields, feedback="Because.")

    assert set(question.body) <= {"options", "max_characters"}
    for secret in ("correct", "Because", "Paris", "3.14"):
        assert secret not in json.dumps(question.body)


@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: str(fields["kind"]))
def test_no_response_earns_nothing(fields: dict[str, JsonValue]) -> None:
    assert points_for(stored(**fields), None) == 0


def test_the_right_option_earns_the_points() -> None:
    question = stored(**KINDS[0])
    wrong, right = option_ids(question)

    assert points_for(question, right) == Decimal("2.5")
    assert points_for(question, right.upper()) == Decimal("2.5")
    assert points_for(question, wrong) == 0


def test_several_options_are_all_or_nothing() -> None:
    question = stored(**KINDS[1])
    first, second, third = option_ids(question)

    assert points_for(question, [third, first]) == Decimal("2.5")
    assert points_for(question, [first]) == 0
    assert points_for(question, [first, second, third]) == 0
    assert points_for(question, []) == 0


def test_the_order_of_ticks_does_not_matter() -> None:
    question = stored(**KINDS[1])
    ids: list[JsonValue] = list(option_ids(question))

    forward = parse_response(question.kind, question.body, ids)
    backward = parse_response(question.kind, question.body, ids[::-1])

    assert forward == backward
    assert response_to_json(forward) == ids


def test_false_is_an_answer() -> None:
    question = stored(**KINDS[2])

    assert points_for(question, False) == Decimal("2.5")  # noqa: FBT003
    assert points_for(question, True) == 0  # noqa: FBT003


@pytest.mark.parametrize(
    ("answer", "tolerance", "response", "is_right"),
    [
        (0.3, 0, 0.3, True),
        (0.3, 0.1, 0.4, True),
        (0.3, 0.1, 0.2, True),
        (0.3, 0, 0.1 + 0.2, False),
        (1.1, 0.1, 1.2000000000000002, False),
        (5, 0, 5.0, True),
        (0, 0, -0.0, True),
        (1e15, 0, 999999999999999.9, False),
        (1e15, 1e15, 5e-324, True),
        (-(10**15), 10**15, 0, True),
    ],
)
def test_a_number_may_differ_by_the_tolerance_exactly(
    answer: float, tolerance: float, response: float, *, is_right: bool
) -> None:
    question = stored(kind="numeric", answer=answer, tolerance=tolerance)

    assert points_for(question, response) == (Decimal("2.5") if is_right else 0)


BOUNDED = st.floats(-1e15, 1e15) | st.integers(-(10**15), 10**15)


@settings(deadline=None)
@given(answer=BOUNDED, tolerance=BOUNDED.map(abs), response=BOUNDED)
def test_numbers_are_compared_as_rational_numbers_are(
    answer: float, tolerance: float, response: float
) -> None:
    question = stored(kind="numeric", answer=answer, tolerance=tolerance)
    difference = Fraction(repr(response)) - Fraction(repr(answer))

    is_right = abs(difference) <= Fraction(repr(tolerance))

    assert (points_for(question, response) == question.points) is is_right


@settings(deadline=None)
@given(BOUNDED)
def test_a_number_is_stored_as_it_was_sent(sent: float) -> None:
    question = stored(**KINDS[3])
    response = parse_response(question.kind, question.body, sent)

    kept = json.loads(json.dumps(response_to_json(response)))

    assert parse_response(question.kind, question.body, kept) == response


@pytest.mark.parametrize(
    ("accepted", "given", "is_case_sensitive", "is_right"),
    [
        ("Paris", "  pARIS\n", False, True),
        ("Paris", "paris", True, False),
        ("Paris", "Paris ", True, True),
        ("New York", "new \t york", False, True),
        ("New York", "newyork", False, False),
        ("Straße", "STRASSE", False, True),
        ("é", "e\u0301", False, True),
        ("É", "e\u0301", False, True),
        ("É", "E\u0301", True, True),
        ("Paris", "", False, False),
        ("TCP", "\ufeffTC\u200bP\u2060", False, True),
        ("TC\u00adP", "TCP", True, True),
        ("TCP", "TC\u200cP\ufe0f", True, True),
        ("l'eau", "l\u2019eau", False, True),
        ("\u201eja\u201c", '"ja"', True, True),
        ("e-mail", "e\u2010mail", True, True),
        ("e\u2011mail", "E-Mail", False, True),
        ("-5", "\u22125", True, True),
        ("TCP!", "\uff34\uff23\uff30\uff01", True, True),
        ("\u00c9", "\uff25\u0301", True, True),
        # A joiner that can be seen, between letters that join, tells them apart.
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u062e", False, False),
        ("x\u00b2", "x2", False, False),
    ],
)
def test_a_short_text_is_compared_by_what_it_reads_like(
    accepted: str, given: str, *, is_case_sensitive: bool, is_right: bool
) -> None:
    question = stored(
        kind="short_text",
        accepted_answers=["something else", accepted],
        is_case_sensitive=is_case_sensitive,
    )

    assert points_for(question, given) == (Decimal("2.5") if is_right else 0)


def test_a_blank_key_from_before_rewards_no_blank_answer() -> None:
    question = stored(**KINDS[4])
    blank = replace(
        question, answer_key=question.answer_key | {"accepted_answers": ["\u200b"]}
    )

    assert points_for(blank, "") == 0
    assert points_for(blank, "\u200b") == 0


def test_marks_without_end_are_compared_in_time() -> None:
    marks = "\u0301\u0327" * 50_000
    started = process_time()

    assert comparable(marks, is_case_sensitive=False)
    assert process_time() - started < 2


def test_an_essay_waits_for_a_human_unless_it_is_blank() -> None:
    question = stored(**KINDS[5])

    assert points_for(question, "I think") is None
    assert points_for(question, " \n ") == 0


@pytest.mark.parametrize(
    ("kind", "raw", "says"),
    [
        (0, 7, "must be the id"),
        (0, "nonsense", "not the id"),
        (0, "0198c0de-0000-7000-8000-000000000000", "has not"),
        (0, "{0198c0de-0000-7000-8000-000000000000}", "has not"),
        (1, "x", "list"),
        (1, {}, "list"),
        (1, ["a", "b", "c", "d"], "more options"),
        (1, [None], "must be the id"),
        (2, 1, "true, false"),
        (2, "true", "true, false"),
        (3, True, "a number"),
        (3, "3.14", "a number"),
        (3, 1e16, "between"),
        (3, -(10**400), "between"),
        (3, float("nan"), "between"),
        (3, float("inf"), "between"),
        (4, ["Paris"], "text"),
        (4, "x" * 501, "501 characters"),
        (4, "a\x00b", "control"),
        (5, "a\x0bb\x1bc", "control"),
        (4, "\ud800", "control"),
        (5, "x" * 101, "100 are allowed"),
        (5, False, "text"),
    ],
)
def test_what_does_not_fit_the_question_is_refused(
    kind: int, raw: JsonValue, says: str
) -> None:
    question = stored(**KINDS[kind])

    with pytest.raises(ResponseMismatchError, match=says):
        parse_response(question.kind, question.body, raw)


@pytest.mark.parametrize("kind", [4, 5])
def test_whatever_breaks_a_line_is_kept_as_a_newline(kind: int) -> None:
    question = stored(**KINDS[kind])
    raw = "a\r\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h\n\ni"

    kept = parse_response(question.kind, question.body, raw)

    assert kept == "a\nb\nc\nd\ne\nf\ng\nh\n\ni"


def test_an_option_ticked_twice_is_refused() -> None:
    question = stored(**KINDS[1])
    first, *_ = option_ids(question)

    with pytest.raises(ResponseMismatchError, match="twice"):
        parse_response(question.kind, question.body, [first, first.upper()])


@pytest.mark.parametrize(
    "changes",
    [
        {"points": 0},
        {"points": 0.001},
        {"points": 1000.01},
        {"points": True},
        {"points": "1"},
        {"text": ""},
        {"text": " \n "},
        {"text": "\u200b"},
        {"text": "a\x07"},
        {"text": "x" * 10_001},
        {"feedback": "x" * 5_001},
        {"colour": "red"},
        {"kind": "riddle"},
        {"options": options("+")},
        {"options": options("++")},
        {"options": options("--")},
        {"options": options("+" + 20 * "-")},
        {"options": [{"text": "a", "is_correct": n == 0} for n in range(2)]},
        {
            "options": [
                {"text": text, "is_correct": text == "TCP"}
                for text in ("TCP", "TC\u00adP")
            ]
        },
        {"options": [dict[str, JsonValue](text="a", is_correct=1), *options("-")]},
        {"kind": "multiple_choice", "options": options("--")},
    ],
    ids=str,
)
def test_a_question_that_can_not_be_asked_is_refused(
    changes: dict[str, JsonValue],
) -> None:
    with pytest.raises(ValidationError):
        parse(**KINDS[0] | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": True},
        {"answer": "3"},
        {"answer": 1e16},
        {"tolerance": -0.1},
        {"tolerance": False},
    ],
    ids=str,
)
def test_a_number_that_is_none_is_refused(changes: dict[str, JsonValue]) -> None:
    with pytest.raises(ValidationError):
        parse(**KINDS[3] | changes)


@pytest.mark.parametrize("blank", [" ", "\u200b", "\ufeff \u00ad"])
def test_an_accepted_answer_that_nobody_sees_is_refused(blank: str) -> None:
    with pytest.raises(ValidationError, match="must not be blank"):
        parse(**KINDS[4] | {"accepted_answers": ["Paris", blank]})


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e400", "-1e400"])
def test_endless_numbers_are_refused(literal: str) -> None:
    body = f'{{"kind": "numeric", "text": "?", "points": 1, "answer": {literal}}}'

    with pytest.raises(ValidationError):
        QUESTION.validate_json(body, strict=True)


@pytest.mark.parametrize("written", ["1", "1.0", "1e0"])
def test_a_whole_number_may_be_written_in_any_way(written: str) -> None:
    body = f'{{"kind": "essay", "text": "?", "points": {written}}}'

    assert QUESTION.validate_json(body, strict=True).points == 1


def test_the_total_is_unknown_while_an_answer_is_ungraded() -> None:
    assert total([Decimal("0.10"), Decimal("0.20")]) == Decimal("0.30")
    assert total([Decimal(1), None]) is None
    assert total([]) == 0


@pytest.mark.parametrize(
    ("score", "maximum", "mark", "expected"),
    [
        ("5", "10", "50", True),
        ("4.99", "10", "50", False),
        ("2", "3", "66.67", False),
        ("2", "3", "66.66", True),
        ("0", "0", "0", True),
        ("0", "0", "50", False),
    ],
)
def test_who_passes_is_decided_before_rounding(
    score: str, maximum: str, mark: str, *, expected: bool
) -> None:
    assert is_passed(Decimal(score), Decimal(maximum), Decimal(mark)) is expected
