"""Making, reading and changing exams."""

from uuid import uuid4

import pytest
from psycopg2.extensions import connection

from tests.exams import (
    ONE_OF_EACH,
    SINGLE_CHOICE,
    active,
    assign,
    body,
    count_entries,
    create,
    entries,
    fields_of,
    from_now,
    new_exam,
    start,
    step,
    tag,
    watch,
)
from tests.personas import Api, Persona, Speaker


def test_a_title_and_a_duration_make_a_draft(admin: Speaker, ada: Persona) -> None:
    response = admin.post("/api/exams", json={"title": "X", "duration_minutes": 30})

    exam = body(response, 201)
    assert response.headers["ETag"] == '"1"'
    assert exam["status"] == "draft"
    assert exam["version"] == 1
    assert exam["passing_score_percent"] == 50
    assert exam["max_attempts"] == 1
    assert exam["questions"] == []
    assert exam["created_by"] == str(ada.id)
    assert exam["allowed_statuses"] == ["scheduled", "cancelled"]
    assert exam["proctoring"]["debounce_seconds"] > 0
    assert body(admin.get(f"/api/exams/{exam['id']}")) == exam


def test_questions_come_back_as_they_were_written(admin: Speaker) -> None:
    exam = create(admin, questions=ONE_OF_EACH)

    found = body(admin.get(f"/api/exams/{exam['id']}"))

    assert found["question_count"] == 6
    assert found["total_points"] == 12.5
    assert [q["position"] for q in found["questions"]] == [1, 2, 3, 4, 5, 6]
    for written, shown in zip(ONE_OF_EACH, found["questions"], strict=True):
        assert shown["kind"] == written["kind"]
        assert shown["points"] == written["points"]
        for option, seen in zip(
            written.get("options", []), shown.get("options", []), strict=True
        ):
            assert {name: seen[name] for name in option} == option


def test_creating_is_logged_without_the_questions(
    admin: Speaker, ada: Persona, sql: connection
) -> None:
    exam = create(admin, questions=ONE_OF_EACH)

    (entry,) = entries(sql, "exam.created")
    assert entry["exam"]["title"] == "Networks"
    assert [q["id"] for q in entry["questions"]] == [q["id"] for q in exam["questions"]]
    assert len({q["sha256"] for q in entry["questions"]}) == 6
    assert "Goethe" not in str(entry)
    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT entity_type, entity_id, actor_id FROM audit_log"
            " WHERE event_type = 'exam.created'"
        )
        assert cursor.fetchone() == ("exam", exam["id"], str(ada.id))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"title": "  "}, "#/title"),
        ({"title": "a\nb"}, "#/title"),
        ({"title": "x" * 201}, "#/title"),
        ({"duration_minutes": 0}, "#/duration_minutes"),
        ({"duration_minutes": 1441}, "#/duration_minutes"),
        ({"duration_minutes": True}, "#/duration_minutes"),
        ({"duration_minutes": "60"}, "#/duration_minutes"),
        ({"duration_minutes": 60.5}, "#/duration_minutes"),
        ({"starts_at": "2026-11-23T10:00:00"}, "#/starts_at"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "#/ends_at"),
        ({"passing_score_percent": 100.01}, "#/passing_score_percent"),
        ({"passing_score_percent": 33.333}, "#/passing_score_percent"),
        ({"max_attempts": 21}, "#/max_attempts"),
        ({"instructions": "a\u0000b"}, "#/instructions"),
        ({"proctoring": {"debounce_seconds": -1}}, "#/proctoring/debounce_seconds"),
        ({"proctoring": {"allowed_events": ["x"]}}, "#/proctoring/allowed_events/0"),
        ({"questions": [{"kind": "riddle"}]}, "#/questions/0/kind"),
        ({"questions": [SINGLE_CHOICE] * 501}, "#/questions"),
        # What the server decides is nobody's to send (S35).
        ({"id": str(uuid4())}, "#/id"),
        ({"status": "active"}, "#/status"),
        ({"version": 7}, "#/version"),
        ({"frozen_at": None}, "#/frozen_at"),
        ({"created_by": str(uuid4())}, "#/created_by"),
    ],
)
def test_what_does_not_fit_is_refused(
    admin: Speaker, sql: connection, change: dict[str, object], pointer: str
) -> None:
    before = count_entries(sql)

    refused = body(admin.post("/api/exams", json=new_exam(**change)), 422)

    assert pointer in [problem["pointer"] for problem in refused["errors"]]
    assert count_entries(sql) == before


def test_a_proctor_sees_his_exams_without_their_questions(
    api: Api, admin: Speaker, bob: Persona
) -> None:
    his, other = create(admin), create(admin)
    watch(admin, his, bob.id)
    proctor = api.as_(bob)

    listed = body(proctor.get("/api/exams"))
    found = body(proctor.get(f"/api/exams/{his['id']}"))

    assert [exam["id"] for exam in listed["items"]] == [his["id"]]
    assert found["questions"] is None
    assert found["question_count"] == 2
    refused = body(proctor.get(f"/api/exams/{other['id']}"), 404)
    missing = body(proctor.get(f"/api/exams/{uuid4()}"), 404)
    assert refused["type"] == missing["type"] == "/problems/exam-not-found"


def test_a_list_counts_what_is_in_each_exam(admin: Speaker, alice: Persona) -> None:
    exam = active(admin, alice.id)

    (item,) = body(admin.get("/api/exams"))["items"]

    assert item["id"] == exam["id"]
    assert (item["question_count"], item["total_points"]) == (2, 3)
    assert (item["assigned_count"], item["attempt_count"]) == (1, 0)
    assert "questions" not in item


def test_pages_have_every_exam_once_newest_first(admin: Speaker) -> None:
    made = [create(admin, title=f"Exam {n}")["id"] for n in range(5)]
    found: list[str] = []
    query = "?limit=2"

    while query:
        page = body(admin.get(f"/api/exams{query}"))
        found += [exam["id"] for exam in page["items"]]
        # One that is made meanwhile is newer than all that follow.
        create(admin)
        cursor = page["next_cursor"]
        query = cursor and f"?limit=2&cursor={cursor}"

    assert sorted(found) == sorted(made)
    assert found == sorted(found, reverse=True)


def test_a_list_is_filtered_by_status_and_title(admin: Speaker) -> None:
    step(admin, create(admin, title="Networks I"), "scheduled")
    create(admin, title="networks II")
    create(admin, title="100% of it")
    create(admin, title="100 of it")

    def titles(query: str) -> list[str]:
        items = body(admin.get(f"/api/exams?{query}"))["items"]
        return sorted(exam["title"] for exam in items)

    assert titles("status=scheduled") == ["Networks I"]
    assert titles("q=NETworks") == ["Networks I", "networks II"]
    assert titles("q=NETworks&status=draft") == ["networks II"]
    # LIKE's own characters stand for themselves.
    assert titles("q=100%25") == ["100% of it"]
    assert titles("q=%25") == titles("q=_") == titles("q=%5C") == []


@pytest.mark.parametrize(
    "query",
    ["status=open", "limit=0", "limit=201", "cursor=x", "q=", "sort=id", "q=a%00"],
)
def test_a_list_refuses_a_strange_query(admin: Speaker, query: str) -> None:
    assert admin.get(f"/api/exams?{query}").status_code == 422


def test_a_change_needs_the_version_that_was_seen(
    admin: Speaker, sql: connection
) -> None:
    exam = create(admin)
    path = f"/api/exams/{exam['id']}"
    new = fields_of(exam, title="Networks, revised", max_attempts=2)

    missing = admin.put(path, json=new)
    written = admin.put(path, json=new, headers=tag(exam))
    stale = admin.put(path, json=fields_of(exam, title="Lost"), headers=tag(exam))
    weak = admin.put(path, json=new, headers={"If-Match": 'W/"2"'})

    assert body(missing, 428)["type"] == "/problems/if-match-required"
    assert body(written)["title"] == "Networks, revised"
    assert written.headers["ETag"] == '"2"'
    assert body(stale, 412)["type"] == "/problems/version-mismatch"
    assert weak.status_code == 412
    assert entries(sql, "exam.updated") == [
        {
            "version": 2,
            "changes": {
                "title": {"before": "Networks", "after": "Networks, revised"},
                "max_attempts": {"before": 1, "after": 2},
            },
        }
    ]


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ('"7", "1"', 200),
        ("*", 200),
        ('W/"1"', 412),
        ('""', 412),
        ("", 412),
        ("1x", 412),
        ('"01x"', 412),
        ('"99999999999999999999"', 412),
        ('"1', 412),
    ],
)
def test_if_match_compares_strongly(admin: Speaker, if_match: str, status: int) -> None:
    exam = create(admin)

    response = admin.put(
        f"/api/exams/{exam['id']}",
        json=fields_of(exam, title="Y"),
        headers={"If-Match": if_match},
    )

    assert response.status_code == status, response.text


def test_a_change_says_every_field(admin: Speaker) -> None:
    exam = create(admin, description="Do not lose me.")
    new = fields_of(exam)
    del new["description"]

    refused = admin.put(f"/api/exams/{exam['id']}", json=new, headers=tag(exam))

    assert [e["pointer"] for e in body(refused, 422)["errors"]] == ["#/description"]


def test_the_same_fields_change_nothing(admin: Speaker, sql: connection) -> None:
    exam = create(admin, proctoring={"debounce_seconds": 5})
    before = count_entries(sql)

    same = admin.put(
        f"/api/exams/{exam['id']}", json=fields_of(exam), headers={"If-Match": "*"}
    )

    assert body(same) == exam
    assert count_entries(sql) == before


def test_who_has_this_version_is_sent_nothing(admin: Speaker) -> None:
    path = f"/api/exams/{create(admin)['id']}"

    known = admin.get(path, headers={"If-None-Match": 'W/"1"'})
    older = admin.get(path, headers={"If-None-Match": '"0"'})

    assert (known.status_code, known.data) == (304, b"")
    assert known.headers["ETag"] == '"1"'
    assert older.status_code == 200


def test_an_exam_without_attempts_is_deleted_with_all_it_has(
    admin: Speaker, alice: Persona, mallory: Persona, bob: Persona, sql: connection
) -> None:
    exam = active(admin, alice.id)
    assign(admin, exam, mallory.id, extra_time_minutes=30, time_multiplier=1.25)
    watch(admin, exam, bob.id)
    path = f"/api/exams/{exam['id']}"

    stale = admin.delete(path, headers={"If-Match": '"1"'})
    deleted = admin.delete(path, headers=tag(exam))

    assert stale.status_code == 412
    assert (deleted.status_code, deleted.data) == (204, b"")
    assert admin.get(path).status_code == 404
    assert admin.delete(path).status_code == 404
    (entry,) = entries(sql, "exam.deleted")
    assert entry["exam"]["title"] == "Networks"
    assert len(entry["questions"]) == 2
    granted = {
        one["student_id"]: (one["extra_time_minutes"], one["time_multiplier"])
        for one in entry["assignments"]
    }
    assert granted == {str(alice.id): (0, "1.00"), str(mallory.id): (30, "1.25")}
    assert entry["proctor_ids"] == [str(bob.id)]


def test_an_exam_with_attempts_is_not_deleted(
    api: Api, admin: Speaker, alice: Persona
) -> None:
    exam = active(admin, alice.id)
    start(api.as_(alice), exam)

    refused = body(admin.delete(f"/api/exams/{exam['id']}"), 409)

    assert refused["type"] == "/problems/exam-has-attempts"
    assert refused["current_status"] == "active"
    assert refused["allowed_actions"] == ["completed", "cancelled"]


def test_a_copy_is_a_draft_without_a_date(admin: Speaker, sql: connection) -> None:
    exam = step(
        admin,
        create(admin, title="x" * 200, questions=ONE_OF_EACH),
        "scheduled",
        "active",
        "completed",
    )

    copy = body(admin.post(f"/api/exams/{exam['id']}/duplicate"), 201)

    assert copy["title"] == "x" * 193 + " (copy)"
    assert copy["status"] == "draft"
    assert (copy["starts_at"], copy["ends_at"]) == (None, None)
    assert copy["total_points"] == exam["total_points"]
    assert [q["text"] for q in copy["questions"]] == [
        q["text"] for q in exam["questions"]
    ]
    ids = {q["id"] for q in copy["questions"]}
    assert not ids & {q["id"] for q in exam["questions"]}
    assert entries(sql, "exam.created")[-1]["duplicated_from"] == exam["id"]


def test_a_repeated_create_makes_one_exam(admin: Speaker) -> None:
    new, headers = new_exam(), {"Idempotency-Key": "a"}

    first = body(admin.post("/api/exams", json=new, headers=headers), 201)
    again = body(admin.post("/api/exams", json=new, headers=headers), 201)

    assert first == again
    assert len(body(admin.get("/api/exams"))["items"]) == 1


def test_rules_freeze_with_the_first_attempt(
    api: Api, admin: Speaker, alice: Persona
) -> None:
    exam = active(admin, alice.id)
    start(api.as_(alice), exam)
    path = f"/api/exams/{exam['id']}"
    frozen = body(admin.get(path))

    for change in (
        {"duration_minutes": 61},
        {"passing_score_percent": 51},
        {"shuffle_questions": True},
        {"shuffle_options": True},
        {"proctoring": {"debounce_seconds": 3}},
    ):
        new = fields_of(frozen, **change)
        refused = body(admin.put(path, json=new, headers=tag(frozen)), 409)
        assert refused["type"] == "/problems/exam-frozen"
        assert next(iter(change)) in refused["detail"]
    renamed = admin.put(
        path, json=fields_of(frozen, title="Renamed"), headers=tag(frozen)
    )

    assert frozen["frozen_at"] is not None
    assert frozen["version"] > exam["version"]
    assert body(renamed)["title"] == "Renamed"


def test_a_later_end_moves_running_deadlines_and_each_attempt_says_so(
    api: Api, admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = active(admin, alice.id, duration_minutes=120, ends_at=from_now(minutes=30))
    student = api.as_(alice)
    attempt = start(student, exam)
    exam = body(admin.get(f"/api/exams/{exam['id']}"))
    later = from_now(minutes=60)

    body(
        admin.put(
            f"/api/exams/{exam['id']}",
            json=fields_of(exam, ends_at=later),
            headers=tag(exam),
        )
    )

    assert attempt["seconds_remaining"] <= 1800
    running = body(student.get(f"/api/exams/attempts/{attempt['id']}"))
    assert 3500 < running["seconds_remaining"] <= 3600
    moved = {"from": attempt["deadline_at"], "to": running["deadline_at"]}
    clock = {"paused_seconds": 0, "extended_seconds": 0}
    assert entries(sql, "attempt.deadline_moved") == [
        {"deadline_at": moved, "clock": clock | {"deadline_at": moved["to"]}}
    ]


def test_an_end_that_concerns_nobody_moves_nothing(
    api: Api, admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = active(admin, alice.id, duration_minutes=60)
    start(api.as_(alice), exam)
    exam = body(admin.get(f"/api/exams/{exam['id']}"))

    body(
        admin.put(
            f"/api/exams/{exam['id']}",
            json=fields_of(exam, ends_at=from_now(hours=5)),
            headers=tag(exam),
        )
    )

    assert entries(sql, "attempt.deadline_moved") == []


def test_an_earlier_end_leaves_a_minute_to_save(
    api: Api, admin: Speaker, alice: Persona
) -> None:
    exam = active(admin, alice.id, duration_minutes=120)
    student = api.as_(alice)
    attempt = start(student, exam)
    exam = body(admin.get(f"/api/exams/{exam['id']}"))

    body(
        admin.put(
            f"/api/exams/{exam['id']}",
            json=fields_of(exam, ends_at=from_now(seconds=20)),
            headers=tag(exam),
        )
    )

    running = body(student.get(f"/api/exams/attempts/{attempt['id']}"))
    assert 55 <= running["seconds_remaining"] <= 61


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"ends_at": None}, "#/ends_at"),
        ({"starts_at": None}, "#/starts_at"),
        ({"ends_at": from_now(minutes=-30)}, "#/ends_at"),
        ({"starts_at": from_now(minutes=30)}, "#/starts_at"),
    ],
)
def test_an_exam_that_is_on_keeps_its_window(
    admin: Speaker, change: dict[str, object], pointer: str
) -> None:
    exam = active(admin)

    refused = admin.put(
        f"/api/exams/{exam['id']}", json=fields_of(exam, **change), headers=tag(exam)
    )

    assert [e["pointer"] for e in body(refused, 422)["errors"]] == [pointer]
