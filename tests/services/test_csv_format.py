"""Questions from CSV: what they become, and what is said of the rest."""

from decimal import Decimal

import pytest

from models.question_types import Essay, Numeric, ShortText, TrueFalse
from services.question_import import ImportResult, parse_csv
from tests.services.question_imports import HEADER, only, refusal, ticks


def csv(*cells: str) -> ImportResult:
    return parse_csv(HEADER + ",".join(cells) + "\n")


def test_csv_reads_each_kind() -> None:
    result = parse_csv(
        HEADER + "single_choice,Capital?,1,Yes,Paris,Lyon,,1,,,,\n"
        "Multiple_Choice,Primes?,2,,2,3,4, 1 | 2 ,,,,\n"
        "true_false,Dead?,,,,,,yes,,,,\n"
        "numeric,Pi?,1.5,,,,,3.14,0.005,,,\n"
        'short_text,"In one word, please\nCapital ""F""?",1,,,,,,,Paris|Lutetia,TRUE,\n'
        ",,,,,,,,,,,\n"
        "essay,Why?,5,,,,,,,,,300\n"
    )

    assert result.problems == ()
    single, multiple, true_false, numeric, short, essay = result.questions
    assert ticks(single) == {"Paris": True, "Lyon": False}
    assert single.feedback == "Yes"
    assert ticks(multiple) == {"2": True, "3": True, "4": False}
    assert isinstance(true_false, TrueFalse)
    assert true_false.correct
    assert true_false.points == 1
    assert isinstance(numeric, Numeric)
    assert (numeric.answer, numeric.tolerance) == (Decimal("3.14"), Decimal("0.005"))
    assert isinstance(short, ShortText)
    assert short.text == 'In one word, please\nCapital "F"?'
    assert short.accepted_answers == ("Paris", "Lutetia")
    assert short.is_case_sensitive is True
    assert isinstance(essay, Essay)
    assert essay.max_characters == 300


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffKind;Text;Points;Correct;;\r\nnumeric;Pi, roughly?;1,5;3,14;;\r\n",
        "text\tkind\tcorrect\tpoints\nPi, roughly?\tnumeric\t3.14\t1.5\n",
        '\n\n"kind","text","points","correct"\r"numeric","Pi, roughly?","1.5","3.14"\r',
    ],
    ids=["semicolons", "tabs", "old line ends"],
)
def test_csv_reads_what_spreadsheets_write(text: str) -> None:
    question = only(parse_csv(text))

    assert isinstance(question, Numeric)
    assert question.text == "Pi, roughly?"
    assert (question.points, question.answer) == (Decimal("1.5"), Decimal("3.14"))


@pytest.mark.parametrize(
    ("cells", "column", "says"),
    [
        (("riddle", "Q"), "kind", "one of single_choice"),
        (("", "Q"), "kind", "must not be empty"),
        (("essay", ""), "text", "must not be empty"),
        (("essay", "Q", "0"), "points", "greater than 0"),
        (("essay", "Q", "x"), "points", "'x' is not a number"),
        (("essay", "Q", "1", "x" * 5001), "feedback", "at most 5000"),
        (("essay", "Q", *[""] * 9, "1.5"), "max_characters", "whole number"),
        (("essay", "Q", *[""] * 9, "1e999"), "max_characters", "whole number"),
        (("essay", "Q", *[""] * 5, "true"), "correct", "The kind essay has no such"),
        (("true_false", "Q", *[""] * 5, "maybe"), "correct", "true or false"),
        (("true_false", "Q"), "correct", "must not be empty"),
        (("numeric", "Q", *[""] * 5, "1e16"), "correct", "less than or equal"),
        (("numeric", "Q", *[""] * 5, "1", "-1"), "tolerance", "greater than or"),
        (("short_text", "Q"), "accepted_answers", "must not be empty"),
        (("short_text", "Q", *[""] * 7, "a||b"), "accepted_answers", "at least 1"),
        (("single_choice", "Q", "", "", "a", "", "c", "1"), "option_2", "not be empty"),
        (("single_choice", "Q", "", "", "a", "", "", "1"), "option_1", "at least 2"),
        (("single_choice", "Q", "", "", "a", "b", "", "3"), "correct", "no option 3"),
        (("single_choice", "Q", "", "", "a", "b", "", "1|2"), "correct", "exactly one"),
        (("single_choice", "Q", "", "", "a", "a", "", "1"), "correct", "read the same"),
        (
            ("single_choice", "Q", "", "", "a", "x" * 2001, "", "1"),
            "option_2",
            "at most 2000",
        ),
    ],
)
def test_csv_names_the_line_and_the_column(
    cells: tuple[str, ...], column: str, says: str
) -> None:
    problem = refusal(csv(*cells))

    assert (problem.line, problem.column) == (2, column), problem
    assert says in problem.detail


def test_csv_counts_physical_lines() -> None:
    result = parse_csv(HEADER + 'essay,"a\nb\n\nc"\n\nriddle,Q\nessay,d,\n')

    assert [question.text for question in result.questions] == ["a\nb\n\nc", "d"]
    assert [problem.line for problem in result.problems] == [7]


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, None, "empty"),
        ("kind,points\nessay,1", 1, "text", "name the columns"),
        ("A question?\n", 1, "kind", "name the columns"),
        ("kind,text,kind\n", 1, "kind", "Two columns"),
        ("kind,text,colour\nessay", 1, "colour", "not known"),
        ("kind,text\nessay,Q,and more", 2, None, "3 cells"),
        ('kind,text\nessay,"Q\n', 2, None, "quotes"),
        ('kind,text\nessay,"Q"x\nessay,R', 2, None, "quotes"),
        ('kind,text\nessay,"' + "x" * 200_000 + '"', 2, None, "131072"),
    ],
)
def test_csv_says_what_is_wrong_with_the_file(
    text: str, line: int, column: str | None, says: str
) -> None:
    problem = parse_csv(text).problems[0]

    assert (problem.line, problem.column) == (line, column)
    assert says in problem.detail


@pytest.mark.parametrize(
    ("written", "whole", "decimal"),
    [("1.000", "1000", "1,000"), ("-3.142", "-3142", "-3,142")],
)
def test_a_point_for_thousands_or_decimals_is_refused_where_semicolons_part(
    written: str, whole: str, decimal: str
) -> None:
    text = "kind;text;points;correct;max_characters\n"

    problem = refusal(parse_csv(f"{text}numeric;How many?;1;{written};\n"))

    assert problem.line == 2
    assert problem.column == "correct"
    assert f"write {whole} or {decimal}." in problem.detail
    for column in (f"{written};;", f"1;;{written}"):
        assert parse_csv(f"{text}essay;Why?;{column}\n").questions == ()


@pytest.mark.parametrize(
    ("written", "number"),
    [("0.125", "0.125"), ("3.14", "3.14"), ("1000", "1000"), ("1,000", "1")],
)
def test_a_point_that_can_be_but_one_thing_is_read(written: str, number: str) -> None:
    question = only(parse_csv(f"kind;text;correct\nnumeric;Q;{written}\n"))

    assert isinstance(question, Numeric)
    assert question.answer == Decimal(number)
