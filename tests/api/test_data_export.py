"""All that is held on a person: whole, without anybody else, and without the keys."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from typing import Any, Final

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection

from api.schemas.data_export import DataExportResponse
from models.audit_event import AuditEvent
from services.analysis_job import AnalysisJob
from services.audit_verification import verify
from services.data_export_rules import RULES
from services.data_export_sections import SECTIONS
from tests.audit_trail import run, scalar
from tests.databases import connection_to, copy_of, settings_for
from tests.exams import (
    ONE_OF_EACH,
    Json,
    active,
    assign,
    body,
    convict,
    entries,
    start,
    step,
    watch,
)
from tests.personas import Api, Persona, Speaker
from tests.reports import observed, record
from tests.scene import Cast, Scene, playing

OWN: Final = "/api/auth/me/data-export"
# Of which table a section has the rows. Each column is in it, or here below.
ROWS_OF: Final = {
    "users": "account",
    "sessions": "sessions",
    "refresh_tokens": "refreshes",
    "exam_assignments": "assignments",
    "exam_proctors": "exams_watched",
    "exams": "exams_made",
    "attempts": "attempts",
    "attempt_activity": "activity",
    "answers": "answers",
    "proctoring_events": "events",
    "ai_analyses": "analyses",
    "appeals": "appeals",
    "audit_log": "entries",
}
LEFT_OUT: Final = {
    "users.password_hash": "opens the account, and tells nothing",
    "refresh_tokens.token_hash": "opens nothing, and tells nothing",
    **{
        f"exams.{name}": "says what the exam is, and nothing of who made it"
        for name in (
            *("description", "instructions", "duration_minutes", "starts_at"),
            *("ends_at", "frozen_at", "updated_at", "max_attempts", "status"),
            *("passing_score_percent", "proctoring", "shuffle_options"),
            *("shuffle_questions", "version"),
        )
    },
    "attempts.layout": "questions, in an order that was drawn by chance",
    "attempt_activity.analysis_due_since": "the server's note to itself",
    **{
        f"audit_log.{name}": "seals the entry; is in a bundle or a receipt"
        for name in (
            *("xid", "flags", "schema_version", "payload_salt", "payload_hash"),
            *("state_hash", "previous_hash", "hash", "state"),
        )
    },
}
# A table that says nothing of a person, or nothing that is not said elsewhere: why, and
# the columns of which that was said.
NOT_EXPORTED: Final = {
    "attempt_risk": (
        "points at the newest analysis, which is there",
        "analysis_id attempt_id checked_at exam_id risk_score",
    ),
    "audit_head": (
        "where the log ends",
        "hash log_id next_seq origin recorded_at suspension",
    ),
    "audit_suspensions": (
        "what showed that the log is not the one that was signed",
        "found_at id lifted_by log_root log_size note root seen_by size",
    ),
    "checkpoint_timestamps": (
        "signatures of the whole log, of authorities",
        "id is_chain_verified note received_at response size stamped_at tsa_url",
    ),
    "checkpoints": (
        "signatures of the whole log",
        "cosigned_at cosigned_note note root signed_at size witnessed_at",
    ),
    "evidence_views": (
        "what staff has just looked at; the looks are entries",
        "noted_at subject_id subject_type viewer_id what",
    ),
    "idempotency_keys": (
        "copies of answers, kept for a day",
        "body body_hash created_at headers key route scope status",
    ),
    "legal_holds": (
        "that data must be kept, and why, is in the entries of whom it is about",
        (
            "attempt_id exam_id id placed_at placed_by reason release_reason"
            " released_at released_by user_id"
        ),
    ),
    "merkle_tiles": ("hashes of the whole log", "hashes level tile_index"),
    "questions": (
        "nobody's, and others sit them",
        "answer_key body exam_id id kind points position text",
    ),
    "rate_limits": ("counters of minutes", "expires_at hits key seconds"),
    "retention_rules": (
        "for how long things are kept; who changed it is an entry of his",
        "applied_on data_class days updated_at updated_by",
    ),
    "schema_migrations": ("the schema's own", "applied_at name sha256 version"),
    "verification_runs": (
        "the verifier's notes; who had it run is an entry of his",
        (
            "alive_at cancel_requested deep ended_at entries_checked entries_total"
            " failure id requested_by result started_at state"
        ),
    ),
}
COLUMNS: Final = """
    SELECT table_name, column_name FROM information_schema.columns
     WHERE table_schema = 'public'
"""
ESSAY: Final = "An essay that only its author and his graders know."
COMMENT: Final = "Two steps are missing."
NOTE: Final = "He asked for water."


def sections_of(document: Json) -> dict[str, list[Any]]:
    return {name: each["items"] for name, each in document["sections"].items()}


def export(speaker: Speaker, path: str = OWN) -> Json:
    return body(speaker.get(path))


@pytest.fixture
def exam(
    api: Api, ada: Persona, bob: Persona, alice: Persona, mallory: Persona
) -> Json:
    made = active(
        api.as_(ada), alice.id, mallory.id, questions=ONE_OF_EACH, max_attempts=2
    )
    watch(api.as_(ada), made, bob.id)
    return made


@pytest.fixture
def running(api: Api, bob: Persona, alice: Persona, exam: Json) -> Json:
    """An attempt with an answer, reports, and a proctor's note."""
    student = api.as_(alice)
    paper = start(student, exam)
    record(student, paper, observed(1), observed(2, "clipboard.paste"))
    answers = [
        {"question_id": each["id"], "response": response, "client_version": 1}
        for each, response in (
            (paper["questions"][-1], ESSAY),
            (paper["questions"][0], paper["questions"][0]["options"][0]["id"]),
        )
    ]
    path = f"/api/exams/attempts/{paper['id']}/answers"
    body(student.put(path, json={"answers": answers}))
    note = f"/api/proctoring/attempt/{paper['id']}/notes"
    body(api.as_(bob).post(note, json={"text": NOTE}), 201)
    return paper


@pytest.fixture
def ended(app: Flask, api: Api, bob: Persona, alice: Persona, running: Json) -> Json:
    """The same, handed in and graded, while the exam is still on."""
    path = f"/api/exams/attempts/{running['id']}"
    body(api.as_(alice).post(f"{path}/submit"))
    grade = {
        "question_id": running["questions"][-1]["id"],
        "points": 2.5,
        "comment": COMMENT,
    }
    body(api.as_(bob).put(f"{path}/grades", json={"grades": [grade]}))
    AnalysisJob(app.extensions["database"]).run()
    return running


@pytest.fixture
def over(api: Api, ada: Persona, exam: Json, ended: Json) -> Json:
    """The same, and nobody sits the exam any more."""
    step(api.as_(ada), exam, "completed")
    return ended


@pytest.fixture
def given_out(
    api: Api, ada: Persona, bob: Persona, alice: Persona, over: Json
) -> set[str]:
    """The columns, as table.column, that somebody is given after an exam."""
    convict(api.as_(ada), over)
    path = f"/api/exams/attempts/{over['id']}/appeals"
    body(api.as_(alice).post(path, json={"reason": "It was not I."}), 201)
    login = {"email": alice.email, "password": "correct horse battery staple"}
    body(api.as_(None).post("/api/auth/login", json=login))
    found = sections_of(export(api.as_(alice)))
    found["exams_watched"] = sections_of(export(api.as_(bob)))["exams_watched"]
    found["exams_made"] = sections_of(export(api.as_(ada)))["exams_made"]
    return {
        f"{table}.{column}"
        for table, section in ROWS_OF.items()
        for row in found[section]
        for column in row
    }


def undecided(sql: connection, given_out: set[str]) -> set[str]:
    """Return the columns that nobody has said anything of."""
    there = {f"{table}.{column}" for table, column in run(sql, COLUMNS)}
    decided = {
        f"{table}.{column}"
        for table, (_, columns) in NOT_EXPORTED.items()
        for column in columns.split()
    } | set(LEFT_OUT)
    # Nothing is excused that is not there, or that is given out after all.
    assert decided <= there
    assert not decided & given_out
    return there - given_out - decided


def test_every_column_is_given_out_or_has_a_reason_not_to_be(
    sql: connection, given_out: set[str]
) -> None:
    assert undecided(sql, given_out) == set()


@pytest.mark.parametrize("table", ["users", "exams", "questions", "rate_limits"])
def test_a_new_column_waits_for_somebody_to_decide(
    sql: connection, given_out: set[str], table: str
) -> None:
    run(sql, f"ALTER TABLE {table} ADD COLUMN shoe_size integer")

    assert undecided(sql, given_out) == {f"{table}.shoe_size"}


def test_a_new_table_waits_for_somebody_to_decide(
    sql: connection, given_out: set[str]
) -> None:
    run(sql, "CREATE TABLE photographs (student_id uuid)")

    assert undecided(sql, given_out) == {"photographs.student_id"}


def test_what_is_given_out_is_what_is_stored(
    api: Api, alice: Persona, over: Json, sql: connection
) -> None:
    ended = over
    found = sections_of(export(api.as_(alice)))

    ((event,),) = run(
        sql,
        "SELECT row_to_json(proctoring_events) FROM proctoring_events"
        " WHERE attempt_id = %s AND sequence = 2",
        ended["id"],
    )
    (given,) = [each for each in found["events"] if each["sequence"] == 2]
    assert given["payload"] == event["payload"]
    assert given["received_at"] == event["received_at"].replace("+00:00", "Z") or (
        given["received_at"].endswith("Z")
    )
    seqs = [
        seq
        for (seq,) in run(
            sql,
            "SELECT seq FROM audit_log WHERE event_type <> 'data.exported'"
            " AND (attempt_id = %s OR entity_id = %s OR actor_id = %s"
            "      OR payload LIKE %s) ORDER BY seq",
            ended["id"],
            str(alice.id),
            str(alice.id),
            f"%{alice.id}%",
        )
    ]
    assert [each["seq"] for each in found["entries"]] == seqs
    assert all(each["payload"] is not None for each in found["entries"])
    assert {each["response"] for each in found["answers"]} >= {ESSAY}
    assert COMMENT in {each["grader_comment"] for each in found["answers"]}
    # What he chose can be read, not only that it was the first option.
    first = ended["questions"][0]["options"][0]["text"]
    assert [first] in [each["chosen"] for each in found["answers"]]
    assert NOTE in {each["payload"].get("text") for each in found["events"]}
    (receipt,) = found["receipts"]
    assert receipt["audit_seq"] in seqs


def test_it_says_in_words_what_each_part_is(api: Api, alice: Persona) -> None:
    response = api.as_(alice).get(OWN)
    document = DataExportResponse.model_validate_json(response.data)

    assert list(document.sections) == list(SECTIONS)
    for section in document.sections.values():
        for sentence in (section.about, section.rests_on, section.seen_by):
            assert len(sentence) > 20 or sentence.startswith("You")
            assert sentence.endswith(".")


@pytest.fixture
def in_the_scene(
    scene: Scene, database_server: str, administrator: connection
) -> Iterator[tuple[Api, connection]]:
    with (
        copy_of(scene.template, administrator, database_server) as copy,
        closing(psycopg2.connect(copy)) as session,
        playing(settings_for(connection_to(copy))) as application,
    ):
        session.autocommit = True
        yield Api(application), session
        assert verify(connection_to(copy)).errors == ()


SIMILAR: Final = """
    INSERT INTO ai_analyses
    SELECT gen_random_uuid(), attempt_id, model_version, false, risk_score, risk_level,
           confidence,
           jsonb_set(jsonb_set(result, '{cohort,similar_attempts}', jsonb_build_array(
               jsonb_build_object('attempt_id', %(other)s, 'shared_wrong_answers', 7,
                                  'expected', 1.5, 'probability', 0.001,
                                  'question_ids', jsonb_build_array(%(question)s)))),
               '{factors}', jsonb_build_array(
               jsonb_build_object('code', 'answer_similarity', 'weight', 0.5,
                                  'contribution', 20, 'evidence', '[]'::jsonb,
                                  'evidence_count', 0, 'explanation', 'Of another.',
                                  'questions', jsonb_build_array(%(question)s)))),
           sha256('x'), created_at + interval '1 second'
      FROM ai_analyses WHERE attempt_id = %(attempt)s LIMIT 1;
    SELECT audit_append_one('analysis.computed', 'analysis', 'x', 'system',
                            %(attempt)s::uuid, '{}')
"""


def add_similar(sql: connection, cast: Cast, attempt: str) -> None:
    names = {
        "attempt": attempt,
        "other": cast.ids["paused_attempt_id"],
        "question": cast.ids["question_id"],
    }
    with sql.cursor() as cursor:
        cursor.execute(SIMILAR, names)


def test_who_sees_a_part_is_told_as_this_document_has_it(
    api: Api, bob: Persona, alice: Persona, exam: Json
) -> None:
    """What reviewers and proctors wrote is in it once the attempt has ended."""
    student = api.as_(alice)
    paper = start(student, exam)
    path = f"/api/proctoring/attempt/{paper['id']}"
    note = {"text": "He uses a screen reader."}
    body(api.as_(bob).post(f"{path}/notes", json=note), 201)
    body(student.post(f"/api/exams/attempts/{paper['id']}/submit"))
    review = {"status": "in_review", "note": "Looked at by two."}
    body(api.as_(bob).put(f"{path}/review", json=review))

    sections = export(student)["sections"]

    (attempt,) = sections["attempts"]["items"]
    assert attempt["review_note"] == "Looked at by two."
    assert "He uses a screen reader." in json.dumps(sections["events"]["items"])
    for name in ("attempts", "events"):
        assert "but for the notes" not in sections[name]["seen_by"]
        assert "after the attempt" in sections[name]["seen_by"]
        assert "here alone" in sections[name]["seen_by"]
    assert sections["entries"]["seen_by"].startswith("You, here; the administrators")


@pytest.mark.parametrize("who", ["alice", "dave", "bob", "ada", "mallory"])
def test_nobody_else_is_in_it(
    in_the_scene: tuple[Api, connection], scene: Scene, who: str
) -> None:
    api, sql = in_the_scene
    cast = scene.cast
    attempts = {"alice": "attempt_id", "dave": "submitted_attempt_id"}
    if who in attempts:
        add_similar(sql, cast, cast.ids[attempts[who]])
    own = {
        str(row[0])
        for row in run(
            sql, "SELECT id FROM attempts WHERE student_id = %s", str(cast[who].id)
        )
    }

    for reader, path in (
        (who, OWN),
        ("ada", f"/api/users/{cast[who].id}/data-export"),
    ):
        text = api.as_(cast[reader]).get(path).text

        assert cast[who].email in text
        for name, persona in cast.personas.items():
            if name != who:
                assert str(persona.id) not in text
                assert persona.email not in text
                assert persona.full_name not in text
        for (attempt,) in run(sql, "SELECT id FROM attempts"):
            assert (str(attempt) in text) <= (str(attempt) in own)


def test_how_many_answers_are_shared_is_told_and_not_with_whom(
    in_the_scene: tuple[Api, connection], scene: Scene
) -> None:
    api, sql = in_the_scene
    cast = scene.cast
    add_similar(sql, cast, cast.ids["submitted_attempt_id"])
    found = sections_of(export(api.as_(cast["dave"])))["analyses"]

    (pair,) = [
        pair for each in found for pair in each["result"]["cohort"]["similar_attempts"]
    ]
    assert pair == {
        "shared_wrong_answers": 7,
        "expected": 1.5,
        "probability": 0.001,
    }


@pytest.mark.parametrize("state", ["running", "ended", "over"])
def test_neither_keys_nor_questions_nor_secrets_are_in_it(
    request: pytest.FixtureRequest,
    api: Api,
    alice: Persona,
    sql: connection,
    state: str,
) -> None:
    request.getfixturevalue(state)
    text = api.as_(alice).get(OWN).text

    for word in ("answer_key", "is_correct", "password_hash", "token_hash", "accepted"):
        assert word not in text
    for (question,) in run(sql, "SELECT text FROM questions"):
        assert question not in text
    for (kept,) in run(
        sql,
        "SELECT password_hash FROM users UNION ALL"
        " SELECT encode(token_hash, 'hex') FROM refresh_tokens",
    ):
        assert kept not in text


@pytest.mark.usefixtures("running")
def test_in_the_middle_of_an_exam_nothing_is_told_of_what_is_right(
    app: Flask, api: Api, alice: Persona
) -> None:
    AnalysisJob(app.extensions["database"]).run()

    response = api.as_(alice).get(OWN)
    found = sections_of(body(response))

    # From another device it would be a way to carry the paper out.
    assert ESSAY not in response.text
    assert NOTE not in response.text
    assert {each["response"] for each in found["answers"]} == {None}
    assert all("response" in each["held_back"] for each in found["answers"])
    for each in found["analyses"]:
        assert (each["risk_score"], each["risk_level"]) == (None, None)
        # Nor what a share of the score, or a hash of all inputs, would tell of it.
        assert each["inputs_hash"] is None
        assert not any("contribution" in factor for factor in each["result"]["factors"])
        assert "cohort" not in each["result"]
    for each in found["entries"]:
        if each["event_type"] in {"attempt.answers_saved", "analysis.computed"}:
            assert each["payload"] is None
    assert [each["sequence"] for each in found["events"] if each["sequence"]] == [1, 2]


@pytest.mark.usefixtures("ended")
def test_while_others_sit_it_points_are_held_back(
    api: Api, ada: Persona, alice: Persona, exam: Json
) -> None:
    response = api.as_(alice).get(OWN)
    before = sections_of(body(response))
    assert ESSAY in response.text
    assert COMMENT not in response.text
    assert {each["points_awarded"] for each in before["answers"]} == {None}
    (graded,) = [x for x in before["entries"] if x["event_type"] == "attempt.graded"]
    assert graded["held_back"] == ["payload"]

    step(api.as_(ada), exam, "completed")

    after = sections_of(export(api.as_(alice)))
    assert 2.5 in {each["points_awarded"] for each in after["answers"]}
    assert not any("held_back" in each for each in after["answers"])


def test_it_is_recorded_once_it_is_there(
    api: Api, ada: Persona, alice: Persona, running: Json, sql: connection
) -> None:
    own = api.as_(alice).get(OWN)
    path = f"/api/users/{alice.id}/data-export"
    other = api.as_(ada).get(path + "?reason=a+letter")

    for response in (own, other):
        digest = b64encode(sha256(response.data).digest()).decode()
        assert response.headers["Repr-Digest"] == f"sha-256=:{digest}:"
        assert int(response.headers["Content-Length"]) == len(response.data)
        assert response.headers["Cache-Control"] == "no-store"
    first, second = entries(sql, "data.exported")
    assert first["sha256"] == sha256(own.data).hexdigest()
    assert (first["reason"], second["reason"]) == (None, "a letter")
    # The server's own, two of the client, and the note.
    assert first["items"]["events"] == 4
    rows = run(
        sql,
        "SELECT entity_id, actor_id FROM audit_log"
        " WHERE event_type = 'data.exported' ORDER BY seq",
    )
    assert rows == [
        (str(alice.id), str(alice.id)),
        (str(alice.id), str(ada.id)),
    ]
    # Her own is her own business; that of the admin is a look at her.
    views = f"/api/blockchain/attempt/{running['id']}/views"
    seen = body(api.as_(alice).get(views))["items"]
    assert [each["what"] for each in seen] == ["data_export"]


@pytest.mark.usefixtures("running")
def test_what_could_not_be_recorded_is_not_given_out(
    api: Api, alice: Persona, dsn: str
) -> None:
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM audit_head FOR UPDATE")
        response = api.as_(alice).get(OWN)
        other.rollback()

    assert response.status_code == 503
    assert alice.email not in response.text


@pytest.mark.parametrize("path", [OWN, "/api/users/{}/data-export"])
def test_who_asks_for_the_headers_alone_has_none_made(
    api: Api, ada: Persona, sql: connection, path: str
) -> None:
    response = api.as_(ada).open(path.format(ada.id), method="HEAD")

    assert response.status_code == 405
    assert entries(sql, "data.exported") == []


def test_of_nobody_there_is_none(api: Api, ada: Persona, sql: connection) -> None:
    missing = "019ab1c2-0000-7000-8000-00000000dead"

    problem = body(api.as_(ada).get(f"/api/users/{missing}/data-export"), 404)

    assert problem["type"] == "/problems/user-not-found"
    assert entries(sql, "data.exported") == []


def test_a_second_one_at_the_same_time_waits(
    app: Flask, api: Api, ada: Persona
) -> None:
    exports = app.extensions["services"].data_exports
    with exports._making:  # noqa: SLF001 - What another request holds meanwhile.
        problem = body(api.as_(ada).get(OWN), 503)

    assert problem["type"] == "/problems/data-export-busy"
    assert export(api.as_(ada))["user_id"] == str(ada.id)


def test_every_type_of_entry_has_a_rule() -> None:
    """Nothing of a type that is new is given out before somebody has thought of it."""
    assert set(RULES) == set(AuditEvent)


MANY_EVENTS: Final = """
    INSERT INTO proctoring_events
    SELECT gen_random_uuid(), %(attempt)s, %(batch)s, gen_random_uuid(), n,
           'focus.lost', 'integrity', 'low', clock_timestamp(), clock_timestamp(),
           jsonb_build_object('text', repeat('x', 500))
      FROM generate_series(10, 20009) AS n;
    SELECT audit_append_one('proctoring.events_recorded', 'event_batch', %(batch)s,
                            'system', %(attempt)s::uuid, '{"events":[]}')
"""


def test_twenty_thousand_events_are_no_matter(
    api: Api, alice: Persona, running: Json, sql: connection
) -> None:
    with sql.cursor() as cursor:
        names = {"attempt": running["id"], "batch": running["id"]}
        cursor.execute(MANY_EVENTS, names)

    response = api.as_(alice).get(OWN)

    assert response.status_code == 200
    found = sections_of(json.loads(response.data))
    assert len(found["events"]) == 20_004
    assert (
        scalar(
            sql,
            "SELECT payload::json -> 'items' ->> 'events' FROM audit_log"
            " WHERE event_type = 'data.exported'",
        )
        == "20004"
    )


def test_an_admin_has_what_he_did_without_to_whom(
    api: Api, ada: Persona, alice: Persona
) -> None:
    change = {"full_name": "Alice Changed"}
    body(api.as_(ada).patch(f"/api/users/{alice.id}", json=change))

    response = api.as_(ada).get(OWN)

    (done,) = [
        each
        for each in sections_of(body(response))["entries"]
        if each["event_type"] == "user.updated"
    ]
    assert done["held_back"] == ["entity_id", "attempt_id", "payload"]
    assert "Alice" not in response.text


def test_of_a_deleted_exam_everybody_has_what_he_was_granted(
    api: Api, ada: Persona, alice: Persona, mallory: Persona, bob: Persona
) -> None:
    admin = api.as_(ada)
    exam = active(admin, mallory.id)
    assign(admin, exam, alice.id, extra_time_minutes=30)
    watch(admin, exam, bob.id)
    assert admin.delete(f"/api/exams/{exam['id']}").status_code == 204

    hers, his = (
        next(
            each["payload"]
            for each in sections_of(export(api.as_(who)))["entries"]
            if each["event_type"] == "exam.deleted"
        )
        for who in (alice, bob)
    )

    granted = {
        "student_id": str(alice.id),
        "extra_time_minutes": 30,
        "time_multiplier": "1.00",
    }
    assert hers == {"assignments": [granted], "proctor_ids": []}
    assert his == {"assignments": [], "proctor_ids": [str(bob.id)]}
