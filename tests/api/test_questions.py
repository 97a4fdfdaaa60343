"""Editing and importing the questions of an exam."""

from itertools import count
from time import time_ns
from uuid import uuid4

import pytest
from psycopg2.extensions import connection

from tests.exams import (
    ONE_OF_EACH,
    SINGLE_CHOICE,
    TRUE_FALSE,
    Json,
    active,
    body,
    count_entries,
    create,
    entries,
    start,
    step,
    tag,
)
from tests.personas import Api, Persona, Speaker

GIFT = """
// Two good questions.
::One:: Which is prime? {~4 =5 ~6}

Water boils at 100 degrees Celsius. {T}
"""
BAD_GIFT = """Which is prime? {~4 =5 ~6}

Which is even? {~3 ~5}
"""
CSV = "kind,text,points,correct\r\ntrue_false,Snow is white.,2,true\r\n"


def path_of(exam: Json) -> str:
    return f"/api/exams/{exam['id']}/questions"


def texts(admin: Speaker, exam: Json) -> list[str]:
    items = body(admin.get(path_of(exam)))["items"]
    assert [q["position"] for q in items] == list(range(1, len(items) + 1))
    return [q["text"] for q in items]


def read(admin: Speaker, exam: Json) -> Json:
    return body(admin.get(f"/api/exams/{exam['id']}"))


def test_ids_of_options_tell_no_order(
    admin: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever they are made: here on a machine that takes a millisecond for each."""
    exam = create(admin)
    options = [{"text": f"{n}", "is_correct": n == 0} for n in range(20)]
    monkeypatch.setattr("time.time_ns", count(time_ns(), 1_000_000).__next__)

    made = body(
        admin.post(path_of(exam), json=SINGLE_CHOICE | {"options": options}), 201
    )

    ids = [option["id"] for option in made["options"]]
    assert len(set(ids)) == 20
    assert ids != sorted(ids)


def test_all_questions_are_replaced_at_once(admin: Speaker, sql: connection) -> None:
    exam = create(admin)

    response = admin.put(
        path_of(exam), json={"questions": ONE_OF_EACH}, headers=tag(exam)
    )

    assert response.headers["ETag"] == '"2"'
    assert body(response)["items"] == read(admin, exam)["questions"]
    assert body(response)["next_cursor"] is None
    assert texts(admin, exam) == [q["text"] for q in ONE_OF_EACH]
    (entry,) = entries(sql, "exam.questions_changed")
    assert [q["id"] for q in entry["before"]] == [q["id"] for q in exam["questions"]]
    assert len(entry["after"]) == 6
    assert entry["version"] == 2


def test_replacing_needs_the_version_that_was_seen(admin: Speaker) -> None:
    exam = create(admin)
    path = path_of(exam)
    new: Json = {"questions": []}
    one = f"{path}/{exam['questions'][0]['id']}"

    for response, status in (
        (admin.put(path, json=new), 428),
        (admin.put(path, json=new, headers={"If-Match": '"2"'}), 412),
        (admin.put(one, json=TRUE_FALSE), 428),
        (admin.put(one, json=TRUE_FALSE, headers={"If-Match": '"2"'}), 412),
        (admin.post(path, json=TRUE_FALSE, headers={"If-Match": '"2"'}), 412),
        (admin.delete(one, headers={"If-Match": '"2"'}), 412),
    ):
        assert response.status_code == status
    assert read(admin, exam) == exam


def test_a_question_is_added_at_the_end(admin: Speaker, sql: connection) -> None:
    exam = create(admin)

    added = body(admin.post(path_of(exam), json=ONE_OF_EACH[4]), 201)

    assert added["position"] == 3
    assert added["accepted_answers"] == ONE_OF_EACH[4]["accepted_answers"]
    assert read(admin, exam)["version"] == 2
    assert read(admin, exam)["questions"][2] == added
    (entry,) = entries(sql, "exam.questions_changed")
    assert [q["id"] for q in entry["added"]] == [added["id"]]
    assert "Goethe" not in str(entry)


def test_a_question_is_written_anew_in_its_place(
    admin: Speaker, sql: connection
) -> None:
    exam = create(admin)
    first, second = exam["questions"]
    path = f"{path_of(exam)}/{first['id']}"

    written = admin.put(path, json=ONE_OF_EACH[3], headers=tag(exam))

    assert body(written)["id"] == first["id"]
    assert (body(written)["kind"], body(written)["position"]) == ("numeric", 1)
    assert written.headers["ETag"] == '"2"'
    assert read(admin, exam)["questions"] == [body(written), second]
    (entry,) = entries(sql, "exam.questions_changed")
    assert entry["before"][0]["sha256"] != entry["after"][0]["sha256"]


def test_those_behind_a_removed_question_move_up(admin: Speaker) -> None:
    exam = create(admin, questions=ONE_OF_EACH)
    second = exam["questions"][1]

    assert admin.delete(f"{path_of(exam)}/{second['id']}").status_code == 204

    kept = [q["text"] for q in ONE_OF_EACH if q["text"] != second["text"]]
    assert texts(admin, exam) == kept


def test_a_question_of_another_exam_is_not_there(admin: Speaker) -> None:
    exam, other = create(admin), create(admin)

    for question_id in (other["questions"][0]["id"], str(uuid4())):
        path = f"{path_of(exam)}/{question_id}"
        for response in (
            admin.put(path, json=TRUE_FALSE, headers=tag(exam)),
            admin.delete(path),
        ):
            refused = body(response, 404)
            assert refused["type"] == "/problems/question-not-found"
    assert read(admin, other) == other


def test_an_exam_that_takes_place_keeps_a_question(admin: Speaker) -> None:
    exam = step(admin, create(admin, questions=[TRUE_FALSE]), "scheduled")
    path = path_of(exam)

    emptied = admin.put(path, json={"questions": []}, headers=tag(exam))
    removed = admin.delete(f"{path}/{exam['questions'][0]['id']}")

    for refused in (emptied, removed):
        assert body(refused, 409)["type"] == "/problems/last-question"


def test_questions_freeze_with_the_first_attempt(
    api: Api, admin: Speaker, alice: Persona
) -> None:
    exam = active(admin, alice.id)
    start(api.as_(alice), exam)
    path, frozen = path_of(exam), read(admin, exam)
    one = f"{path}/{exam['questions'][0]['id']}"

    for response in (
        admin.put(path, json={"questions": [TRUE_FALSE]}, headers=tag(frozen)),
        admin.post(path, json=TRUE_FALSE),
        admin.put(one, json=TRUE_FALSE, headers=tag(frozen)),
        admin.delete(one),
        admin.post(f"{path}/import", data=GIFT, content_type="text/plain"),
        admin.post(
            f"{path}/import?mode=replace&dry_run=true",
            data=GIFT,
            content_type="text/plain",
        ),
    ):
        refused = body(response, 409)
        assert refused["type"] == "/problems/exam-frozen"
        assert refused["allowed_actions"] == ["duplicate"]
    assert read(admin, exam) == frozen


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"kind": "riddle", "text": "?", "points": 1}, "/kind"),
        ({"text": "?", "points": 1}, "/kind"),
        ({"kind": "true_false", "text": "?", "points": 1}, "/correct"),
        (TRUE_FALSE | {"points": 0}, "/points"),
        (TRUE_FALSE | {"points": 0.125}, "/points"),
        (TRUE_FALSE | {"correct": "no"}, "/correct"),
        (TRUE_FALSE | {"text": " "}, "/text"),
        (TRUE_FALSE | {"id": str(uuid4())}, "/id"),
        (SINGLE_CHOICE | {"options": SINGLE_CHOICE["options"][:1]}, "/options"),
        (SINGLE_CHOICE | {"options": [SINGLE_CHOICE["options"][0]] * 2}, ""),
        (
            SINGLE_CHOICE | {"options": [{"text": "a"}, *SINGLE_CHOICE["options"]]},
            "/options/0/is_correct",
        ),
    ],
)
def test_a_question_that_does_not_fit_is_refused(
    admin: Speaker, wrong: Json, pointer: str
) -> None:
    exam = create(admin)

    added = admin.post(path_of(exam), json=wrong)
    replaced = admin.put(
        path_of(exam), json={"questions": [TRUE_FALSE, wrong]}, headers=tag(exam)
    )

    for response, where in ((added, ""), (replaced, "/questions/1")):
        refused = body(response, 422)
        assert refused["type"] == "/problems/invalid-request"
        # The pointer points into what was sent, and knows nothing of our types.
        assert [e["pointer"] for e in refused["errors"]] == [f"#{where}{pointer}"]
    assert read(admin, exam) == exam


def test_who_sends_no_known_kind_is_told_which_there_are(admin: Speaker) -> None:
    question = {"kind": "riddle", "text": "?", "points": 1}

    refused = body(admin.post(path_of(create(admin)), json=question), 422)

    (error,) = refused["errors"]
    assert error["detail"] == (
        "Input should be one of 'single_choice', 'multiple_choice', 'true_false',"
        " 'numeric', 'short_text', 'essay'"
    )


def test_an_exam_is_never_too_long(admin: Speaker) -> None:
    exam = create(admin, questions=[TRUE_FALSE] * 500)

    added = admin.post(path_of(exam), json=TRUE_FALSE)
    imported = admin.post(
        f"{path_of(exam)}/import", data=GIFT, content_type="text/plain"
    )

    for refused in (added, imported):
        assert body(refused, 422)["type"] == "/problems/too-many-questions"


def upload(admin: Speaker, exam: Json, file: str | bytes, query: str = "") -> Json:
    response = admin.post(
        f"{path_of(exam)}/import{query}", data=file, content_type="text/plain"
    )
    return body(response, 201)


def test_gift_is_imported_behind_what_is_there(admin: Speaker, sql: connection) -> None:
    exam = create(admin)

    report = upload(admin, exam, GIFT)

    assert report["question_count"] == 4
    assert report["version"] == read(admin, exam)["version"] == 2
    assert report["problems"] == []
    assert [q["kind"] for q in report["questions"]] == ["single_choice", "true_false"]
    assert texts(admin, exam)[2:] == [
        "Which is prime?",
        "Water boils at 100 degrees Celsius.",
    ]
    (entry,) = entries(sql, "exam.questions_imported")
    assert (entry["format"], entry["mode"]) == ("gift", "append")
    assert len(entry["added"]) == 2


def test_an_import_can_replace_what_is_there(admin: Speaker, sql: connection) -> None:
    exam = create(admin)

    upload(admin, exam, GIFT, "?mode=replace")

    assert len(texts(admin, exam)) == 2
    (entry,) = entries(sql, "exam.questions_imported")
    assert len(entry["removed"]) == 2


def test_csv_is_known_by_its_type_or_by_name(admin: Speaker) -> None:
    exam = create(admin, questions=[])

    by_type = admin.post(
        f"{path_of(exam)}/import",
        data="\ufeff" + CSV,
        content_type="text/csv; charset=UTF-8",
    )
    upload(admin, exam, CSV, "?format=csv")

    assert body(by_type, 201)["questions"][0]["points"] == 2
    assert texts(admin, exam) == ["Snow is white."] * 2


@pytest.mark.parametrize(
    ("file", "query"),
    [(BAD_GIFT, ""), ("// one\n\nWhich? {=a =b ~c}", "?skip_bad=true")],
)
def test_a_file_with_mistakes_is_refused_by_line(
    admin: Speaker, sql: connection, file: str, query: str
) -> None:
    exam = create(admin)
    before = count_entries(sql)

    refused = body(
        admin.post(
            f"{path_of(exam)}/import{query}",
            data=file,
            content_type="text/plain",
        ),
        422,
    )

    assert refused["type"] == "/problems/import-refused"
    assert [e["pointer"] for e in refused["errors"]] == ["#/line/3"]
    assert read(admin, exam) == exam
    assert count_entries(sql) == before


def test_the_good_questions_of_a_bad_file_are_imported_on_demand(
    admin: Speaker,
) -> None:
    exam = create(admin, questions=[])

    report = upload(admin, exam, BAD_GIFT, "?skip_bad=true")

    assert [problem["line"] for problem in report["problems"]] == [3]
    assert texts(admin, exam) == ["Which is prime?"]


def test_a_dry_run_says_what_would_be_and_does_nothing(
    admin: Speaker, sql: connection
) -> None:
    exam = create(admin)
    before = count_entries(sql)

    response = admin.post(
        f"{path_of(exam)}/import?dry_run=true", data=BAD_GIFT, content_type="text/plain"
    )

    report = body(response, 200)
    assert report["is_dry_run"] is True
    assert report["question_count"] == 3
    assert [problem["line"] for problem in report["problems"]] == [3]
    assert [q["text"] for q in report["questions"]] == ["Which is prime?"]
    assert read(admin, exam) == exam
    assert count_entries(sql) == before


@pytest.mark.parametrize(
    ("file", "content_type", "query", "status"),
    [
        (b"", "text/plain", "", 422),
        (b"// nothing", "text/plain", "", 422),
        (b"\xff\xfe", "text/plain", "", 400),
        (b"x", "application/json", "", 415),
        (b"x", "text/plain; charset=latin-1", "", 415),
        (b"x" * (1024 * 1024 + 1), "text/plain", "", 413),
        (b"x {T}", "text/plain", "?format=xml", 422),
        (b"x {T}", "text/plain", "?mode=merge", 422),
        (b"x {T}", "text/plain", "?skip_bad=perhaps", 422),
        (b"x\x00y {T}", "text/plain", "", 422),
    ],
)
def test_a_strange_file_is_refused(
    admin: Speaker, file: bytes, content_type: str, query: str, status: int
) -> None:
    exam = create(admin)

    response = admin.post(
        f"{path_of(exam)}/import{query}", data=file, content_type=content_type
    )

    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    assert read(admin, exam) == exam


def test_who_sends_another_type_of_file_is_told_which_ones_are_read(
    admin: Speaker,
) -> None:
    path = f"{path_of(create(admin))}/import"

    response = admin.post(path, data=b"{}", content_type="application/json")

    read_here = response.headers["Accept"].split(", ")
    assert set(read_here) >= {"text/plain", "text/csv"}
    assert all(each in body(response, 415)["detail"] for each in read_here)


def test_a_repeated_import_adds_the_questions_once(admin: Speaker) -> None:
    exam = create(admin, questions=[])
    path, headers = f"{path_of(exam)}/import", {"Idempotency-Key": "import-1"}

    for _ in range(2):
        response = admin.post(
            path, data=GIFT, content_type="text/plain", headers=headers
        )
        assert response.status_code == 201
    other = admin.post(path, data=CSV, content_type="text/csv", headers=headers)

    assert len(texts(admin, exam)) == 2
    assert body(other, 422)["type"] == "/problems/idempotency-key-reused"
