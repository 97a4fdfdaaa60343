"""What the tests of the two import formats share."""

from models.question_types import MultipleChoice, NewQuestion, SingleChoice
from services.question_import import ImportResult, LineProblem

HEADER = (
    "kind,text,points,feedback,option_1,option_2,option_3,correct,tolerance,"
    "accepted_answers,is_case_sensitive,max_characters\n"
)


def only(result: ImportResult) -> NewQuestion:
    assert result.problems == ()
    (question,) = result.questions
    return question


def refusal(result: ImportResult) -> LineProblem:
    assert result.questions == ()
    (problem,) = result.problems
    return problem


def ticks(question: NewQuestion) -> dict[str, bool]:
    assert isinstance(question, SingleChoice | MultipleChoice)
    return {option.text: option.is_correct for option in question.options}
