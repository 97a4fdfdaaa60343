"""Questions from GIFT: what they become, and what is said of the rest."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.question_types import (
    Essay,
    MultipleChoice,
    NewQuestion,
    Numeric,
    ShortText,
    SingleChoice,
    TrueFalse,
)
from services.question_import import ImportResult, parse_gift
from tests.services.question_imports import only, refusal, ticks


def gift(text: str) -> NewQuestion:
    return only(parse_gift(text))


def test_one_right_answer_makes_a_single_choice() -> None:
    question = gift("Who is buried in Grant's tomb?{~Grant ~Jefferson =no one}")

    assert isinstance(question, SingleChoice)
    assert question.text == "Who is buried in Grant's tomb?"
    assert question.points == 1
    assert ticks(question) == {"Grant": False, "Jefferson": False, "no one": True}


def test_weights_make_a_multiple_choice() -> None:
    question = gift(
        "Who is in Grant's tomb? {\n"
        "  ~%-50%No one\n  ~%50%Grant\n  ~%33.333%His wife\n  ~%0%His dog\n  ~Us }"
    )

    assert isinstance(question, MultipleChoice)
    assert ticks(question) == {
        "No one": False,
        "Grant": True,
        "His wife": True,
        "His dog": False,
        "Us": False,
    }


def test_part_marks_beside_a_right_answer_count_as_wrong_and_are_noted() -> None:
    result = parse_gift("Q {\n~wrong\n~%50%half\n=full}")

    assert ticks(only(result)) == {"wrong": False, "half": False, "full": True}
    (note,) = result.notes
    assert note.line == 3
    assert "'half'" in note.detail


@pytest.mark.parametrize(
    ("answer", "is_true"),
    [("T", True), ("TRUE", True), ("F", False), (" FALSE ", False), ("True", True)],
)
def test_true_and_false(answer: str, *, is_true: bool) -> None:
    question = gift(f"Grant is dead. {{{answer}}}")

    assert isinstance(question, TrueFalse)
    assert question.correct is is_true


@pytest.mark.parametrize(
    ("answers", "answer", "tolerance"),
    [
        ("#1822", "1822", "0"),
        ("# 3.14:0.01 ", "3.14", "0.01"),
        ("#3.141..3.142", "3.1415", "0.0005"),
        ("#-5..-1", "-3", "2"),
        ("#0...5", "0.25", "0.25"),
        ("#=1822:5", "1822", "5"),
        ("#=%100%1.5e3", "1500", "0"),
        ("#.1:0.1#right ~#wrong", "0.1", "0.1"),
    ],
)
def test_numbers(answers: str, answer: str, tolerance: str) -> None:
    question = gift(f"When? {{{answers}}}")

    assert isinstance(question, Numeric)
    assert question.answer == Decimal(answer)
    assert question.tolerance == Decimal(tolerance)


def test_short_answers() -> None:
    question = gift("Who? {=no one =%100%nobody#yes =%0%Grant#no =\\*}")

    assert isinstance(question, ShortText)
    assert question.accepted_answers == ("no one", "nobody", "*")
    assert question.is_case_sensitive is False
    assert question.feedback == "nobody: yes\nGrant: no"


@pytest.mark.parametrize("braces", ["{}", "{ \n }"])
def test_empty_braces_make_an_essay(braces: str) -> None:
    assert isinstance(gift(f"How are you? {braces}"), Essay)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Grant is {=buried ~dead} in a tomb.", "Grant is _____ in a tomb."),
        ("Two and two is {=four}.", "Two and two is _____."),
        ("Two and two is {=four}  \n", "Two and two is"),
    ],
)
def test_text_after_the_answers_leaves_a_gap(written: str, text: str) -> None:
    assert gift(written).text == text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"\~ \= \# \{ \} \: {}", "~ = # { } :"),
        (r"a\nb {}", "a\nb"),
        (r"C:\\new\dir \\{}", "C:\\new\\dir \\"),
        ("two\n   lines {}", "two lines"),
        ("  ::T\\:\\: itle::\n text {}", "text"),
        ("a::b {}", "a::b"),
        ("[markdown]- *a*\n- b {}", "- *a*\n- b"),
        ("[plain]a\n\\n b {}", "a \n b"),
        ("[html]<p>x<sup>2</sup> &lt; 3</p><P class\\='y'>y<br/>z</P> {}", None),
        (
            r"[html]<p>F\:</p><PRE>if x\:\n    y\n\nz\n</PRE><p>?\n!</p> {}",
            "F:\nif x:\n    y\nz\n? !",
        ),
        ("[html]a\nb<pre>c\n  d</pre> {}", "a b\nc\n  d"),
        (
            "[html]e<sup>2x</sup> a<sub>i+1</sub> 10<sup>-3</sup> H<sub>2</sub>O {}",
            "e^(2x) a_(i+1) 10^-3 H_2O",
        ),
        (
            "[html]x<sup>2<sub><i>i</i></sub></sup> x<sup>2</sup>3 x<sup>n</sup>y {}",
            "x^(2_i) x^(2)3 x^(n)y",
        ),
        ("[html]<dl><dt>a</dt><dd>b</dd></dl> {}", "a\nb"),
        ("[colour]red {}", "[colour]red"),
        ("a < b, c > d {}", "a < b, c > d"),
        ("// above\na\n// within\nb {}", "a b"),
    ],
)
def test_the_text_is_what_is_meant(written: str, text: str | None) -> None:
    assert gift(written).text == (text or "x^2 < 3\ny\nz")


def test_escaped_marks_are_part_of_an_answer() -> None:
    question = gift(r"Which is 5? {~ \= 2 + 2 = \= 2 + 3 #\#1\~ ~\{4\}}")

    assert ticks(question) == {"= 2 + 2": False, "= 2 + 3": True, "{4}": False}
    assert question.feedback == "= 2 + 3: #1~"


def test_a_short_answer_is_what_is_typed() -> None:
    question = gift("[html]<p>Q</p> {=%100%List<String>#<b>Yes</b> =<p> =R&amp;D}")

    assert isinstance(question, ShortText)
    assert question.accepted_answers == ("List<String>", "<p>", "R&amp;D")
    assert question.feedback == "List<String>: Yes"


def test_feedback_names_the_answer_that_it_is_about() -> None:
    choice = gift("Q {=a#good ~b ~c#[html]<b>bad</b>\n#### In\n general. }")
    right = gift("Q {T#no#yes}")
    wrong = gift("Q {F#no####all}")

    assert choice.feedback == "In general.\na: good\nc: bad"
    assert right.feedback == "True: yes\nFalse: no"
    assert wrong.feedback == "all\nTrue: no"


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("// points: 2.5\nQ {T}", "2.5"),
        ("::a::\n//POINTS : 3\nQ {T}", "3"),
        ("// 3 points\nQ {T}", "1"),
    ],
)
def test_a_comment_gives_the_points(text: str, points: str) -> None:
    assert gift(text).points == Decimal(points)


def test_categories_are_noted_and_left_out() -> None:
    result = parse_gift("$CATEGORY: a/b\n\n$CATEGORY: c\nQ {T}\n")

    assert only(result).text == "Q"
    assert [(note.line, note.detail) for note in result.notes] == [
        (1, "The category 'a/b' was left out."),
        (3, "The category 'c' was left out."),
    ]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("\n\nMatch {\n=a -> b\n=c -> d}", 4, "Matching"),
        ("When?\n{#=1:0 =%50%1:2}", 2, "Several numeric"),
        ("When? {#1 =2}", 1, "Several numeric"),
        ("When? {#=%50%1}", 1, "Part marks"),
        ("When? {#soon}", 1, "'soon' is not a number"),
        ("When? {#3,5}", 1, "with a point"),
        ("When? {#\u0663}", 1, "not a number"),
        ("When? {#5..1}", 1, "upside down"),
        ("When? {#5:-1}", 1, "below 0"),
        ("When? {#1e999}", 1, "less than or equal"),
        ("When? {#1e-999}", 1, "too small"),
        ("When? {#0.12345678901234567890}", 1, "more digits"),
        ("When? {#" + "9" * 5000 + "}", 1, "not a number"),
        ("When? {#}", 1, "empty"),
        ("Who? {\n=a\n=%50%b}", 3, "Part marks"),
        ("Who? {=a*}", 1, "*"),
        ("Who? {Paris}", 1, "before the first answer"),
        ("Who? {=%0%a}", 1, "at least 1"),
        ("Who? {\n\t~a\n\t~b\n}", 1, "No answer is right"),
        ("Who? {=a\n=b ~c}", 2, "2 answers are marked right"),
        ("Who? {=a ~%100%b}", 1, "Two answers earn"),
        ("Who? {=%50%a ~b}", 1, "take out its %"),
        ("Who? {=a ~}", 1, "An answer is empty"),
        ("Who? {=a ~ a}", 1, "read the same"),
        ("Who? {~%50%a}", 1, "at least 2"),
        ("Who? {~%50%a\n~%50,0%b ~c}", 2, "no weight"),
        ("Who? {~%50 %a ~%50%b ~c}", 1, "no weight"),
        ("Who? {=%100,0%a ~c}", 1, "no weight"),
        ("Who? {" + "~a" * 60 + "}", 1, "more than 50 answers"),
        ("Who? {=a " + " ".join(f"~{n}" for n in range(20)) + "}", 1, "at most 20"),
        ("\nDear all,\nread this.", 2, "Descriptions"),
        ("a\nb {\n=c", 2, "not closed"),
        ("a } b {T}", 1, "no counterpart"),
        ("a {T}\nb {F}", 2, "no counterpart"),
        ("a {=b {c} }", 1, "no counterpart"),
        ("\n{T}", 2, "no text"),
        ("::title {T}", 1, "title"),
        ("::title::{T}", 1, "no text"),
        ("// points: many\nQ {T}", 1, "not a number"),
        ("Q\n// points: 0\n{T}", 2, "above 0"),
        ("// points: 1.005\nQ {T}", 1, "two decimals"),
        ("// points: 1001\nQ {T}", 1, "at most 1000"),
        ("// points: 2\n\n", 1, "no question"),
        ("[html]see <img src\\='x'> {T}", 1, "<img>"),
        ("[html]&#" + "9" * 5000 + "; {T}", 1, "too long"),
        ("a\x00b {T}", 1, "control characters"),
        ("x" * 10_001 + "{T}", 1, "at most 10000"),
        ("Q {=a\n~" + "x" * 2_001 + "}", 2, "The answer: String"),
        ("Q {=a\n=" + "x" * 501 + "}", 1, "accepted answer 2: String"),
        ("Q {T####" + "x" * 5_001 + "}", 1, "feedback: String"),
    ],
)
def test_what_is_not_supported_is_named_with_its_line(
    text: str, line: int, says: str
) -> None:
    problem = refusal(parse_gift(text))

    assert problem.line == line, problem
    assert says in problem.detail


def test_the_good_questions_of_a_bad_file_are_kept() -> None:
    result = parse_gift("A {T}\r\n\r\nB {=x -> y}\r\n\r\nC {F}")

    assert [question.text for question in result.questions] == ["A", "C"]
    assert [problem.line for problem in result.problems] == [3]


def test_a_file_without_questions_gives_none() -> None:
    assert parse_gift("\ufeff\n// nothing\n\n") == ImportResult(
        questions=(), problems=(), notes=()
    )


PLAIN = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30)


def escaped(text: str) -> str:
    for mark in "\\~=#{}:":
        text = text.replace(mark, f"\\{mark}")
    return text


@settings(deadline=None)
@given(st.lists(PLAIN, min_size=3, max_size=21, unique_by=str.casefold))
def test_any_text_can_be_written_in_gift(texts: list[str]) -> None:
    question, right, *wrong = texts
    # A comment, a weight and a format have no escape; a word before them helps.
    answers = " ".join(f"~x {escaped(text)}" for text in wrong)

    result = parse_gift(f"x {escaped(question)} {{=x {escaped(right)} {answers}}}")

    assert only(result).text == f"x {question}"
    assert ticks(only(result)) == {
        f"x {text}": text == right for text in (right, *wrong)
    }
