"""The audit log over HTTP: who may read what, and what it says."""

from http import HTTPStatus
from uuid import UUID, uuid4

import pytest
from flask import Flask
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from models.audit_event import AuditEvent
from models.database import Database
from services import audit
from services.attempt_service import AttemptService
from services.audit_verification import verify
from tests.audit_trail import append, run, scalar
from tests.exam_room import ExamRoom
from tests.exams import Json, body
from tests.personas import Api, Persona
from tests.tampering import allow_everything


@pytest.fixture
def room(sql: connection) -> ExamRoom:
    return ExamRoom(sql)


def record(database: Database, entity_type: str, entity_id: UUID) -> int:
    """Append an entry about an exam or an attempt and return its number."""
    is_attempt = entity_type == "attempt"
    with database.transaction() as tx:
        entry = audit.append(
            tx,
            AuditEvent.ATTEMPT_STARTED if is_attempt else AuditEvent.EXAM_UPDATED,
            entity_type,
            entity_id,
            actor=audit.SYSTEM,
            attempt_id=entity_id if is_attempt else None,
            payload={"title": "Ünïcode", "numbers": [1, 2]},
        )
    return entry.seq


def start(database: Database, room: ExamRoom) -> UUID:
    """Let a new student begin, and return the attempt's id."""
    student = room.new_student()
    service = AttemptService(database)
    started = service.start_attempt(student, room.exam_id, take_over=False)
    return started.paper.attempt.id


def items(response: TestResponse) -> list[Json]:
    found: list[Json] = body(response)["items"]
    return found


def test_an_entry_says_what_happened_and_how_it_is_chained(
    api: Api, ada: Persona, database: Database
) -> None:
    exam_id = uuid4()
    seq = record(database, "exam", exam_id)

    (entry,) = items(api.as_(ada).get(f"/api/blockchain/entity/exam/{exam_id}"))
    (before,) = items(api.as_(ada).get("/api/blockchain/events/user.created"))
    (genesis,) = items(api.as_(ada).get("/api/blockchain/events/log.genesis"))

    assert set(entry) == {
        *("seq", "recorded_at", "event_type", "entity_type", "entity_id"),
        *("actor_id", "attempt_id", "payload"),
        *("payload_hash", "previous_hash", "hash"),
    }
    assert entry["seq"] == seq
    assert entry["event_type"] == "exam.updated"
    assert entry["entity_id"] == str(exam_id)
    assert entry["actor_id"] == "system"
    assert entry["attempt_id"] is None
    assert entry["payload"] == {"title": "Ünïcode", "numbers": [1, 2]}
    assert entry["recorded_at"].endswith("Z")
    assert entry["previous_hash"] == before["hash"]
    assert before["previous_hash"] == genesis["hash"]
    assert genesis["previous_hash"] == "00" * 32


def test_a_trail_is_paged_in_order(api: Api, ada: Persona, database: Database) -> None:
    numbers = append(database, 5)
    path = "/api/blockchain/events/attempt.answers_saved"

    first = body(api.as_(ada).get(f"{path}?limit=2"))
    second = body(api.as_(ada).get(f"{path}?limit=2&cursor={first['next_cursor']}"))
    third = body(api.as_(ada).get(f"{path}?limit=2&cursor={second['next_cursor']}"))

    pages = [first, second, third]
    assert [e["seq"] for page in pages for e in page["items"]] == numbers
    assert third["next_cursor"] is None


def test_a_proctor_reads_what_concerns_his_exams(
    api: Api, sql: connection, bob: Persona, database: Database, room: ExamRoom
) -> None:
    attempt_id = start(database, room)
    other = ExamRoom(sql)
    other_attempt_id = start(database, other)
    run(
        sql,
        "INSERT INTO exam_proctors (exam_id, proctor_id) VALUES (%s, %s)",
        str(room.exam_id),
        str(bob.id),
    )
    of_exam, of_attempt = (
        record(database, "exam", room.exam_id),
        record(database, "attempt", attempt_id),
    )
    record(database, "exam", other.exam_id)
    record(database, "attempt", other_attempt_id)
    client = api.as_(bob)

    def seqs(path: str) -> list[int]:
        return [entry["seq"] for entry in items(client.get(f"/api/blockchain{path}"))]

    def status(path: str) -> int:
        return int(client.get(f"/api/blockchain{path}").status_code)

    assert seqs(f"/entity/exam/{room.exam_id}") == [of_exam]
    assert of_attempt in seqs(f"/attempt/{attempt_id}")
    assert of_attempt in seqs(f"/entity/attempt/{attempt_id}")
    assert seqs("/events/exam.updated") == [of_exam]
    assert seqs("/events/attempt.started")[-1] == of_attempt
    assert status(f"/entity/exam/{other.exam_id}") == HTTPStatus.NOT_FOUND
    assert status(f"/attempt/{other_attempt_id}") == HTTPStatus.NOT_FOUND
    assert status(f"/entity/attempt/{other_attempt_id}") == HTTPStatus.NOT_FOUND
    assert status(f"/entity/user/{bob.id}") == HTTPStatus.NOT_FOUND
    assert status("/entity/exam/no-uuid") == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("path", ["/summary", "/verify", "/initialize"])
def test_the_whole_log_is_for_admins(
    api: Api, bob: Persona, alice: Persona, path: str
) -> None:
    method = "POST" if path == "/initialize" else "GET"
    for persona in (bob, alice):
        response = api.as_(persona).open(f"/api/blockchain{path}", method=method)

        assert response.status_code == HTTPStatus.FORBIDDEN


def test_event_types_are_listed_with_a_sentence(api: Api, bob: Persona) -> None:
    listed = items(api.as_(bob).get("/api/blockchain/event-types"))

    assert [each["event_type"] for each in listed] == list(AuditEvent)
    assert all(each["description"].endswith(".") for each in listed)


def test_an_unknown_event_type_is_not_found(api: Api, ada: Persona) -> None:
    response = api.as_(ada).get("/api/blockchain/events/exam.exploded")

    assert (
        body(response, HTTPStatus.NOT_FOUND)["type"] == "/problems/event-type-unknown"
    )


@pytest.mark.parametrize("path", ["attempt/%00", "at%00tempt/1"])
def test_a_name_that_no_text_can_hold_has_no_trail(
    api: Api, ada: Persona, path: str
) -> None:
    problem = body(api.as_(ada).get(f"/api/blockchain/entity/{path}"), 404)

    assert problem["type"] == "/problems/not-found"


@pytest.mark.parametrize("cursor", ["!", "WyJhIl0", "WzEuNV0", "W10"])
def test_a_cursor_of_another_list_is_refused(
    api: Api, ada: Persona, cursor: str
) -> None:
    response = api.as_(ada).get(f"/api/blockchain/events/log.genesis?cursor={cursor}")

    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_beginning_again_gives_the_same_entry(api: Api, ada: Persona) -> None:
    first = api.as_(ada).post("/api/blockchain/initialize")
    second = api.as_(ada).post("/api/blockchain/initialize")

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json == second.json
    assert body(first)["seq"] == 0


# The account is there, and no entry speaks of it any more.
@pytest.mark.tampers
def test_a_log_that_was_never_begun_can_be(
    api: Api, ada: Persona, sql: connection
) -> None:
    forget_the_log(sql)
    before = api.as_(ada).get("/api/blockchain/summary")

    made = api.as_(ada).post("/api/blockchain/initialize")

    assert body(before, HTTPStatus.CONFLICT)["allowed_actions"] == ["initialize"]
    assert body(made, HTTPStatus.CREATED)["event_type"] == "log.genesis"


def forget_the_log(sql: connection) -> None:
    run(
        sql,
        "ALTER TABLE audit_head DISABLE TRIGGER ALL;"
        " ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " TRUNCATE audit_head, audit_log",
    )


def test_the_summary_tells_where_the_log_stands(
    api: Api, ada: Persona, database: Database, sql: connection
) -> None:
    append(database, 3)

    summary = body(api.as_(ada).get("/api/blockchain/summary"))

    assert (summary["entries"], summary["head_seq"]) == (5, 4)
    assert summary["head_hash"] == scalar(
        sql, "SELECT encode(hash, 'hex') FROM audit_log WHERE seq = 4"
    )
    assert summary["event_types"] == [
        {"event_type": "attempt.answers_saved", "entries": 3},
        {"event_type": "log.genesis", "entries": 1},
        {"event_type": "user.created", "entries": 1},
    ]


def test_an_intact_log_is_valid(api: Api, ada: Persona, database: Database) -> None:
    append(database, 3)

    report = body(api.as_(ada).get("/api/blockchain/verify"))

    assert report["valid"] is True
    assert report["verdict"] == "internally_consistent"
    assert report["entries_checked"] == 5
    assert (report["first_seq"], report["last_seq"]) == (0, 4)
    assert report["first_invalid"] is None
    assert {"name": "checkpoint", "result": "not_checked"}.items() <= next(
        check for check in report["checks"] if check["name"] == "checkpoint"
    ).items()


@pytest.mark.tampers
def test_a_damaged_log_is_told_with_200(
    api: Api, ada: Persona, database: Database, sql: connection
) -> None:
    append(database, 3)
    run(
        sql,
        "ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " UPDATE audit_log SET actor_id = 'nobody' WHERE seq = 2",
    )

    response = api.as_(ada).get("/api/blockchain/verify")

    assert body(response)["valid"] is False
    assert body(response)["first_invalid"]["seq"] == 2
    assert body(response)["first_invalid"]["reason"] == "hash"
    assert body(response)["first_invalid"]["found"] == scalar(
        sql, "SELECT encode(hash, 'hex') FROM audit_log WHERE seq = 2"
    )
    assert body(response)["errors_by_class"] == {"hash": 1}


@pytest.mark.tampers
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DROP TABLE merkle_tiles CASCADE", {"schema": 1}),
        ("ALTER TABLE checkpoints DROP note", {"schema": 1}),
        ("UPDATE audit_head SET recorded_at = '0044-03-15 BC'", {"head": 1}),
        (
            "UPDATE audit_log SET hash = substring(hash FOR 31) WHERE seq = 3",
            {"hash": 1, "head": 1},
        ),
    ],
    ids=["no table", "no column", "no time", "no hash"],
)
def test_a_log_that_can_not_be_read_is_told_the_same_way(  # noqa: PLR0917 - a row of the table.
    app: Flask,
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    statement: str,
    expected: Json,
) -> None:
    append(database, 3 - scalar(sql, "SELECT max(seq) FROM audit_log"))
    allow_everything(sql)
    run(sql, statement)

    response = api.as_(ada).get("/api/blockchain/verify")
    result = app.test_cli_runner().invoke(args=["audit", "verify"])

    found = body(response)
    assert (found["valid"], found["verdict"]) == (False, "tampered")
    assert found["errors_by_class"] == expected
    assert found["head_hash"] is None or len(found["head_hash"]) == 64
    assert result.exit_code == 1


@pytest.mark.tampers
def test_what_breaks_down_is_no_word_about_the_log(
    app: Flask, database: Database, sql: connection
) -> None:
    append(database, 3)
    run(sql, "REVOKE SELECT ON checkpoints FROM proctoring_app")

    result = app.test_cli_runner().invoke(args=["audit", "verify"])

    assert result.exit_code == 2
    assert "tampered" not in result.output


@pytest.mark.parametrize(
    ("query", "status", "checked"),
    [
        ("?from_seq=1&to_seq=2", HTTPStatus.OK, 2),
        ("?from_seq=2", HTTPStatus.OK, 3),
        ("?from_seq=3&to_seq=2", HTTPStatus.UNPROCESSABLE_ENTITY, None),
        ("?from_seq=-1", HTTPStatus.UNPROCESSABLE_ENTITY, None),
        ("?from_seq=x", HTTPStatus.UNPROCESSABLE_ENTITY, None),
        ("?to_seq=99999999999999999999", HTTPStatus.UNPROCESSABLE_ENTITY, None),
        ("?deep=true&from_seq=1", HTTPStatus.UNPROCESSABLE_ENTITY, None),
        ("?unknown=1", HTTPStatus.UNPROCESSABLE_ENTITY, None),
    ],
)
def test_a_range_can_be_asked_for(
    api: Api,
    ada: Persona,
    database: Database,
    query: str,
    status: HTTPStatus,
    checked: int | None,
) -> None:
    append(database, 3)

    response = api.as_(ada).get(f"/api/blockchain/verify{query}")

    assert body(response, status).get("entries_checked") == checked


def test_the_terminal_has_the_same(
    app: Flask, database: Database, sql: connection
) -> None:
    append(database, 3)
    runner = app.test_cli_runner()

    verified = runner.invoke(args=["audit", "verify"])
    head = runner.invoke(args=["audit", "head"])
    shown = runner.invoke(args=["audit", "show", "2"])
    missing = runner.invoke(args=["audit", "show", "99"])
    exported = runner.invoke(args=["audit", "export", "-", "--reason", "appeal"])

    assert verified.exit_code == 0
    assert "internally_consistent" in verified.output
    assert head.output.split()[2:] == [
        "3",
        scalar(sql, "SELECT encode(hash, 'hex') FROM audit_log WHERE seq = 3"),
    ]
    assert '"seq": 2' in shown.output
    assert missing.exit_code == 1
    assert [line[:8] for line in exported.output.splitlines()] == [
        f'{{"seq": {seq}'[:8] for seq in range(5)
    ]


@pytest.mark.tampers
def test_an_entry_that_stands_there_twice_is_shown_twice(
    app: Flask, api: Api, ada: Persona, database: Database, sql: connection
) -> None:
    append(database, 3)
    run(
        sql,
        "ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
        " ALTER TABLE audit_log DROP CONSTRAINT audit_log_previous_hash_key;"
        " INSERT INTO audit_log SELECT * FROM audit_log WHERE seq IN (0, 2)",
    )

    shown = app.test_cli_runner().invoke(args=["audit", "show", "2"])

    assert shown.exit_code == 0
    assert shown.output.count('"seq": 2') == 2
    assert body(api.as_(ada).get("/api/blockchain/summary"))["head_seq"] == 4
    assert body(api.as_(ada).get("/api/blockchain/verify"))["valid"] is False
    assert api.as_(ada).get("/metrics").status_code == 200


@pytest.mark.tampers
def test_the_terminal_reports_damage_by_its_exit_code(
    app: Flask, database: Database, sql: connection
) -> None:
    append(database, 3)
    run(
        sql,
        "ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " ALTER TABLE audit_head DISABLE TRIGGER ALL;"
        " DELETE FROM audit_head; DELETE FROM audit_log WHERE seq = 0",
    )
    runner = app.test_cli_runner()

    result = runner.invoke(args=["audit", "verify", "--json"])
    head = runner.invoke(args=["audit", "head"])

    assert result.exit_code == 1
    assert '"reason": "genesis"' in result.output
    assert (head.exit_code, head.output) == (1, "Error: the log has no head\n")
    assert not verify(app.extensions["database"].settings).valid


@pytest.mark.tampers
@pytest.mark.parametrize(
    "payload",
    ["[", "[1]", "null", "[" * 200_000, '{"a":"\\ud800"}', '{"a":NaN}'],
    ids=["half", "list", "null", "deep", "surrogate", "no number"],
)
def test_a_payload_that_is_no_object_is_shown_as_its_text(
    api: Api, ada: Persona, database: Database, sql: connection, payload: str
) -> None:
    exam_id = uuid4()
    seq = record(database, "exam", exam_id)
    allow_everything(sql)
    run(sql, "UPDATE audit_log SET payload = %s WHERE seq = %s", payload, seq)

    (of_entity,) = items(api.as_(ada).get(f"/api/blockchain/entity/exam/{exam_id}"))
    (of_type,) = items(api.as_(ada).get("/api/blockchain/events/exam.updated"))

    assert of_entity["payload"] == of_type["payload"] == payload


@pytest.mark.tampers
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET recorded_at = '0044-03-15 BC' WHERE seq = 3",
        "UPDATE audit_log SET recorded_at = '20000-01-01Z' WHERE seq = 3",
        (
            "ALTER TABLE audit_log ALTER hash DROP NOT NULL;"
            " UPDATE audit_log SET hash = NULL WHERE seq = 3"
        ),
    ],
    ids=["before Christ", "far ahead", "no hash"],
)
def test_who_reads_what_can_not_be_read_is_told_how_to_find_out(
    api: Api, ada: Persona, database: Database, sql: connection, statement: str
) -> None:
    append(database, 3 - scalar(sql, "SELECT max(seq) FROM audit_log"))
    allow_everything(sql)
    run(sql, statement)

    response = api.as_(ada).get("/api/blockchain/events/attempt.answers_saved")

    problem = body(response, HTTPStatus.INTERNAL_SERVER_ERROR)
    assert problem["type"] == "/problems/data-unreadable"
    assert "/api/blockchain/verify" in problem["detail"]


@pytest.mark.tampers
def test_a_head_that_can_not_be_read_is_no_summary(
    api: Api, ada: Persona, sql: connection
) -> None:
    allow_everything(sql)
    run(sql, "UPDATE audit_head SET recorded_at = '0044-03-15 BC'")

    response = api.as_(ada).get("/api/blockchain/summary")

    problem = body(response, HTTPStatus.INTERNAL_SERVER_ERROR)
    assert problem["type"] == "/problems/data-unreadable"
