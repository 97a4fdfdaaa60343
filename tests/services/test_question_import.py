"""What holds for both import formats: bounds, and that no text makes them fail."""

from collections import Counter
from pathlib import Path
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.question_types import QuestionKind
from services.question_import import ImportResult, parse_csv, parse_gift
from services.question_import.result import MAX_BYTES, MAX_PROBLEMS
from tests.services.question_imports import HEADER, refusal

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "script" / "demo_data" / "questions.gift"


def test_a_file_above_the_limit_is_not_read() -> None:
    for result in (parse_gift("é" * MAX_BYTES), parse_csv("x" * (MAX_BYTES + 1))):
        assert "larger" in refusal(result).detail


def test_more_questions_than_an_exam_may_have_are_refused() -> None:
    for result in (
        parse_gift("Q {T}\n\n" * 501),
        parse_csv("kind,text\n" + "essay,Q\n" * 501),
    ):
        assert len(result.questions) == 500
        (problem,) = result.problems
        assert problem.line == (
            1001 if result.questions[0].kind == "true_false" else 502
        )


def test_reading_stops_after_many_problems() -> None:
    for result in (
        parse_gift("Q\n\n" * 5000),
        parse_csv("kind,text\n" + "x,y\n" * 5000),
        parse_csv("kind,text\n" + "essay,y,z\n" * 5000),
        parse_csv("kind,text," + ",".join(map(str, range(50_000))) + '\n"a"b,'),
    ):
        assert len(result.problems) == MAX_PROBLEMS + 1
        assert "nothing after this line" in result.problems[-1].detail


@pytest.mark.parametrize(
    "unit",
    [
        *("~", "=a", "{", "}", "\\", "//\n", "//points:1\n", " ", "a\n", "|", "Q{T}\n"),
        *("::", "[html]", "<", "<!--", "<a ", "&#", "#", "####", '"', ",", ";", "a,\n"),
        *("$CATEGORY:\n", "// points: 1\n\n", "$CATEGORY:\n\n", "%50%"),
    ],
)
@pytest.mark.parametrize(
    "frame", ["{}", "[html]{} {{T}}", "Q {{={}}}", "kind,text\n{}"]
)
def test_no_short_text_repeated_makes_reading_slow(unit: str, frame: str) -> None:
    text = frame.format(unit * (200_000 // len(unit)))
    started = process_time()

    parse_gift(text)
    parse_csv(text)

    # It takes some hundredths of a second; what is quadratic takes minutes.
    assert process_time() - started < 5


GIFT_TOKENS = st.sampled_from(
    [
        *("{", "}", "~", "=", "#", "####", "::", "\\", "\\\\", "\\n", "\n", "\n\n"),
        *("->", "%50%", "%-1%", "%100%", "T", "TRUE", "1..2", "3.1:0.1", "1e999", ".."),
        *(":", "// points: 2\n", "//", "*", "$CATEGORY: a\n", "[html]", "<br>", "<"),
        *("&amp;", "&#0;", " ", "text", "\x00", "\u2028", "\r", "é", "\ufeff"),
    ]
)
CSV_TOKENS = st.sampled_from(
    [
        *(",", ";", "\t", '"', '""', "\n", "\r\n", "|", "1", "true", "1e999", "1,5"),
        *("single_choice", "multiple_choice", "true_false", "numeric", "short_text"),
        *("essay", "option_1", "correct", "\x00", "\u2028", "é", " ", "a"),
    ]
)


def written_with(tokens: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(tokens | st.text(max_size=3), max_size=40).map("".join)


def check(text: str, result: ImportResult) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    for problem in result.problems + result.notes:
        assert 1 <= problem.line <= lines
        assert problem.detail.endswith(".")


@settings(max_examples=500, deadline=None)
@given(st.text() | written_with(GIFT_TOKENS))
@example("a{#0:}")
@example("\\")
@example("\ud800{T}")
@example("a{#1e999..-1e-324}")
def test_gift_never_raises(text: str) -> None:
    check(text, parse_gift(text))


@settings(max_examples=500, deadline=None)
@given(
    st.text()
    | written_with(CSV_TOKENS)
    | written_with(CSV_TOKENS).map(HEADER.__add__)
    | st.lists(st.sampled_from(HEADER.strip().split(",")) | st.text(max_size=3)).map(
        ",".join
    )
)
@example("\ud800")
@example(HEADER + "essay,\ud800")
def test_csv_never_raises(text: str) -> None:
    check(text, parse_csv(text))


def test_the_demo_questions_are_good() -> None:
    result = parse_gift(DEMO.read_text(encoding="utf-8"))

    assert result.problems == ()
    assert [note.detail for note in result.notes] == [
        "The category 'Computer networking' was left out.",
        "The category 'Statistics' was left out.",
        "The category 'European history' was left out.",
    ]
    kinds = Counter(question.kind.value for question in result.questions)
    assert len(kinds) == 6
    assert min(kinds.values()) >= 3
    assert kinds.total() == 48
    assert len({question.text for question in result.questions}) == 48
    assert {question.points for question in result.questions} == {1, 2, 4}


def test_the_documented_example_is_good() -> None:
    page = (ROOT / "docs" / "question-import.md").read_text(encoding="utf-8")
    example_file = page.partition("```csv\n")[2].partition("```")[0]

    result = parse_csv(example_file)

    assert result.problems == ()
    assert {question.kind for question in result.questions} == set(QuestionKind)
