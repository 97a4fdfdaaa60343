"""What the page of a bundle tells a panel: all of it true, and nothing left out."""

import re
from collections.abc import Callable
from html import unescape

import pytest

from models.database import Database
from services.analysis_job import AnalysisJob
from tests import exams
from tests.bundles import unzipped
from tests.exams import ONE_OF_EACH, Json, active, body, start, watch
from tests.personas import Api, Persona, Speaker
from tests.reports import moment, observed, record

Rows = list[list[str]]


@pytest.fixture
def paper(api: Api, ada: Persona, bob: Persona, alice: Persona) -> Json:
    """An attempt that runs, and is watched."""
    exam = active(api.as_(ada), alice.id, questions=ONE_OF_EACH)
    watch(api.as_(ada), exam, bob.id)
    return start(api.as_(alice), exam)


@pytest.fixture
def page(api: Api, ada: Persona, paper: Json) -> Callable[[], str]:
    """Make a bundle now, and return its page."""

    def made() -> str:
        path = f"/api/blockchain/attempt/{paper['id']}/bundle"
        files = unzipped(bytes(api.as_(ada).get(path).data))
        return files["report.html"].decode()

    return made


def words(markup: str) -> str:
    """Return what a reader sees, a line for each line of a cell."""
    return unescape(re.sub("<[^>]*>", "", markup.replace("<br>", "\n")))


def rows(page: str, title: str) -> Rows:
    """Return the cells of the table under a title, row by row."""
    part = page.split(f"<h2>{title}</h2>")[1].split("<h2>", maxsplit=1)[0]
    lines = re.findall("<tr>(.*?)</tr>", part, re.DOTALL)
    cells = [re.findall("<td>(.*?)</td>", each, re.DOTALL) for each in lines]
    return [[words(cell) for cell in row] for row in cells if row]


def told(page: str, sentence: str) -> list[str]:
    """Return what the timeline tells of the entries that this sentence begins."""
    found = [row[2] for row in rows(page, "Timeline")]
    return [each for each in found if each.startswith(sentence)]


def save(student: Speaker, paper: Json, kind: str, response: object) -> Json:
    (asked,) = (each for each in paper["questions"] if each["kind"] == kind)
    answer = {"question_id": asked["id"], "response": response, "client_version": 1}
    path = f"/api/exams/attempts/{paper['id']}/answers"
    body(student.put(path, json={"answers": [answer]}))
    return {"question_id": asked["id"]}


def section(page: str, title: str) -> list[str]:
    """Return the points of a list under a title."""
    part = page.partition(f"<h2>{title}</h2>")[2].partition("</ul>")[0]
    return [words(each) for each in re.findall("<li>(.*?)</li>", part, re.DOTALL)]


def fact(page: str, name: str) -> str:
    """Return what the table at the top says under a name."""
    top = page.partition("</table>")[0]
    for row in re.findall("<tr>(.*?)</tr>", top, re.DOTALL):
        title, _, value = row.partition("</th>")
        if words(title) == name:
            return words(value)
    raise LookupError(name)


def erase(admin: Speaker, person: Persona) -> None:
    why = {"legal_basis": "GDPR 17", "reason": "a letter", "erase_mentions": False}
    body(admin.post(f"/api/users/{person.id}/erasure", json=why))


def do(staff: Speaker, paper: Json, action: str, **fields: object) -> None:
    body(staff.post(f"/api/exams/attempts/{paper['id']}/{action}", json=fields))


def review(staff: Speaker, paper: Json, *steps: str, note: str | None = None) -> None:
    for status in steps:
        exams.review(staff, paper, status, note)


def test_the_timeline_tells_what_people_decided(
    *, api: Api, alice: Persona, bob: Persona, paper: Json, page: Callable[[], str]
) -> None:
    student, proctor = api.as_(alice), api.as_(bob)
    essay = save(student, paper, "essay", "SYN")
    do(proctor, paper, "extend", minutes=10, reason="the interpreter was late")
    do(student, paper, "submit")
    grade = essay | {"points": 2.5, "comment": "Two of three."}
    path = f"/api/exams/attempts/{paper['id']}/grades"
    body(proctor.put(path, json={"grades": [grade]}))
    review(proctor, paper, "in_review", "cleared", note="A screen reader.")

    made = page()

    *_, cleared = told(made, "A human reviewed")
    assert "previous status: in review\nstatus: cleared" in cleared
    assert "note: A screen reader." in cleared
    (graded,) = told(made, "An answer was graded")
    assert "score: from none to 2.50" in graded
    assert "question 6: points from none to 2.5\ncomment: Two of three." in graded
    (extended,) = told(made, "An attempt got extra time")
    assert re.search(r"deadline: from 20\S+ \S+ UTC to 20\S+ \S+ UTC", extended)
    assert "{" not in made.partition("</style>")[2]


def test_the_timeline_tells_at_what_staff_looked(
    api: Api, bob: Persona, paper: Json, page: Callable[[], str]
) -> None:
    body(api.as_(bob).get(f"/api/proctoring/attempt/{paper['id']}/events"))

    assert "Staff looked at somebody's evidence.\nlooked at: events\nrole: proctor" in (
        told(page(), "Staff looked")
    )


def test_an_answer_that_was_erased_is_not_called_cleared(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    bob: Persona,
    paper: Json,
    page: Callable[[], str],
) -> None:
    student = api.as_(alice)
    save(student, paper, "true_false", None)
    save(student, paper, "short_text", "Goethe")
    do(student, paper, "submit")

    before = rows(page(), "Answers")
    review(api.as_(bob), paper, "in_review", "cleared")
    erase(api.as_(ada), alice)
    after = rows(page(), "Answers")

    assert [each[1] for each in before] == ["(cleared)", "Goethe"]
    assert [each[1] for each in after] == ["(not on record: it was erased)"] * 2


def test_the_score_is_open_only_while_somebody_has_to_grade(
    *, api: Api, ada: Persona, alice: Persona, paper: Json, page: Callable[[], str]
) -> None:
    student = api.as_(alice)
    save(student, paper, "essay", "SYN")
    running = fact(page(), "Score")
    do(student, paper, "submit")
    ended = fact(page(), "Score")
    do(api.as_(ada), paper, "void", reason="a fire alarm")

    made = page()

    assert running == "none yet, of 12.50: the attempt has not ended"
    assert ended == "none yet, of 12.50: a person has yet to grade an answer"
    assert fact(made, "Score") == "none: the attempt was declared void"


def test_the_facts_tell_the_time_that_was_given_and_the_review(
    api: Api, bob: Persona, paper: Json, page: Callable[[], str]
) -> None:
    proctor = api.as_(bob)
    do(proctor, paper, "pause", reason="a break")
    paused = fact(page(), "Pauses")
    do(proctor, paper, "resume", reason="it is over")
    do(proctor, paper, "extend", minutes=10, reason="the interpreter was late")
    do(proctor, paper, "terminate", reason="He would not show his room.")
    review(proctor, paper, "in_review", "cleared", note="He had shown it before.")

    made = page()

    assert paused.startswith("0 s, and paused since 20")
    assert fact(made, "Pauses") in {"0 s", "1 s"}
    assert fact(made, "Time given in addition") == "10 min"
    assert fact(made, "Ended").endswith(" UTC, by a proctor")
    assert fact(made, "Reason of the end") == "He would not show his room."
    assert fact(made, "Review").startswith(f"cleared, by staff, {bob.id}, at 20")
    assert fact(made, "Note of the review") == "He had shown it before."


def test_every_time_has_its_zone(
    api: Api, alice: Persona, paper: Json, page: Callable[[], str]
) -> None:
    do(api.as_(alice), paper, "submit")

    outside_of_columns = re.sub("<tbody>.*?</tbody>", "", page(), flags=re.DOTALL)

    assert re.findall(r"\d\d:\d\d:\d\d(?! UTC)", outside_of_columns) == []
    assert outside_of_columns.count("(UTC)</th>") >= 2


def test_an_observation_tells_who_reported_it_when_it_came_and_what_it_says(
    *, api: Api, alice: Persona, bob: Persona, paper: Json, page: Callable[[], str]
) -> None:
    student = api.as_(alice)
    late = observed(
        1, occurred_at=moment(hours=2), payload={"duration_ms": 800, "why": "a reader"}
    )
    seen = observed(2, "object.phone", payload={"confidence": 0.55})
    # So far ahead that the server adds a note to the report.
    ahead = observed(3, "client.disconnected", occurred_at=moment(seconds=-200))
    record(student, paper, late, seen, ahead)
    note = {"text": "Uses a screen reader. Approved."}
    body(
        api.as_(bob).post(f"/api/proctoring/attempt/{paper['id']}/notes", json=note),
        201,
    )

    found = {row[2]: row for row in rows(page(), "Observations")}

    said, came, _, by, kind, details = found["leaving the exam window"]
    assert said < came
    assert (by, kind) == ("the exam client", "integrity, low")
    assert details == "why: a reader\nlasted: 0.8 s"
    _, _, _, by, _, details = found["a phone\n(the opinion of a detector)"]
    assert (by, details) == ("the exam client", "confidence: 0.55")
    assert found["a wrong clock"][3] == "the server"
    assert found["starting the attempt"][3] == "the server"
    _, _, _, by, _, details = found["a proctor's note"]
    assert (by, details) == (
        f"staff, {bob.id}",
        "text: Uses a screen reader. Approved.",
    )


def test_an_observation_whose_details_were_erased_says_so(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    bob: Persona,
    paper: Json,
    page: Callable[[], str],
) -> None:
    record(api.as_(alice), paper, observed(1, payload={}))
    do(api.as_(alice), paper, "submit")
    before = {row[2]: row[5] for row in rows(page(), "Observations")}
    review(api.as_(bob), paper, "in_review", "cleared")
    erase(api.as_(ada), alice)

    after = {row[2]: row[5] for row in rows(page(), "Observations")}

    assert before["leaving the exam window"] == ""
    assert after["leaving the exam window"] == "(not on record: it was erased)"


def test_what_a_client_says_at_length_is_shortened(
    api: Api, alice: Persona, paper: Json, page: Callable[[], str]
) -> None:
    long = observed(1, payload={"a": "&" * 300, "bb": "&" * 300, "ccc": 1})
    record(api.as_(alice), paper, long)

    found = {row[2]: row[5] for row in rows(page(), "Observations")}

    assert found["leaving the exam window"] == (
        f"a: {'&' * 300}\nbb: {'&' * 93}…"
        " (shortened: all of it is in rows/events.jsonl)"
    )


def test_the_page_says_what_an_observation_means(page: Callable[[], str]) -> None:
    part = words(page()).split("Observations")[-1]

    assert "by its own clock, which may be wrong" in part
    assert "Only what is of the class integrity can raise the risk score" in part
    assert "'you' is the student" in part


def test_an_analysis_tells_its_reasons_and_what_its_numbers_mean(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    bob: Persona,
    paper: Json,
    page: Callable[[], str],
    database: Database,
) -> None:
    record(api.as_(alice), paper, observed(1, payload={"duration_ms": 30_000}))
    do(api.as_(alice), paper, "submit")
    AnalysisJob(database).run()
    made = page()
    review(api.as_(bob), paper, "in_review", "cleared")
    erase(api.as_(ada), alice)

    _, score, _, _, reasons, observed_share = rows(made, "Analyses")[-1]
    erased = rows(page(), "Analyses")[-1][4]

    points = score.partition(" of 100")[0]
    assert reasons == (f"{points} points: Reported: leaving the exam window (once).")
    assert observed_share.startswith("100 % of the time; longest gap 0")
    assert erased == "(not on record: it was erased)"
    part = words(made).split("Analyses")[-1]
    assert "It does not say how sure anybody is that the student did anything" in part


def test_an_analysis_in_which_nothing_weighs_says_so(
    paper: Json, page: Callable[[], str], database: Database
) -> None:
    assert paper
    AnalysisJob(database).run()

    assert rows(page(), "Analyses")[-1][4] == "nothing"


def test_the_page_claims_no_more_than_the_bundle_can_prove(
    api: Api, alice: Persona, paper: Json, page: Callable[[], str]
) -> None:
    record(api.as_(alice), paper, observed(1))
    do(api.as_(alice), paper, "submit")

    made = page()

    # A login can be used by others, and a program reports by itself.
    actors = {row[3] for row in rows(made, "Timeline")}
    assert "the student's login" in actors
    assert "the student" not in actors
    assert fact(made, "Ended").endswith("by the student's login")
    claimed = section(made, "What can be claimed, if the verifier finds no fault")
    for each in claimed:
        if "exactly as it was recorded" in each:
            assert each.startswith("With the verdict 'consistent with anchor'")
    denied = " ".join(section(made, "What can not be claimed"))
    assert "points of single answers" in denied
    assert "explanations of analyses" in denied
    assert "witnesses are independent" in denied
    assert "no entry of the attempt was left out" in denied
    assert "all that were recorded" not in made


def test_what_a_proctor_noted_is_not_said_to_be_of_the_exam_client(
    api: Api, bob: Persona, paper: Json, page: Callable[[], str]
) -> None:
    note = {"text": "He is ill."}
    path = f"/api/proctoring/attempt/{paper['id']}/notes"
    body(api.as_(bob).post(path, json=note), 201)

    (noted,) = (row for row in rows(page(), "Timeline") if "note" in row[2])

    sentence = "What the exam client, the server or staff observed was recorded."
    assert noted[2:] == [f"{sentence}\na proctor's note", f"staff, {bob.id}"]


def test_a_screen_reader_is_told_which_cell_a_title_is_of(
    page: Callable[[], str],
) -> None:
    titles = re.findall("<th[ >][^>]*", page())

    assert set(titles) == {'<th scope="col"', '<th scope="row"'}


def test_an_answer_reads_as_it_was_written_and_as_it_was_graded(
    *, api: Api, alice: Persona, bob: Persona, paper: Json, page: Callable[[], str]
) -> None:
    essay = save(api.as_(alice), paper, "essay", "SYN\n\nSYN-ACK")
    do(api.as_(alice), paper, "submit")
    grade = essay | {"points": 2.5, "comment": "Two\nof three."}
    path = f"/api/exams/attempts/{paper['id']}/grades"
    body(api.as_(bob).put(path, json={"grades": [grade]}))

    made = page()

    (answer,) = rows(made, "Answers")
    assert answer[1] == "SYN\n\nSYN-ACK"
    assert "td { white-space: pre-wrap; }" in made
    assert answer[3] == (
        f"2.50 of 5.00\ngraded by hand by staff, {bob.id}\ncomment: Two\nof three."
    )
