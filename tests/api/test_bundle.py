"""Bundles of evidence, as the API hands them out and the verifier reads them."""

import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from psycopg2.extensions import connection

from models import attempt as attempts
from models.attempt import EndedBy
from models.audit_event import AuditEvent
from models.database import Database
from services import attempt_ending, audit
from services.analysis_job import AnalysisJob
from services.evidence_service import collect, packed
from tests.audit_trail import run, scalar
from tests.bundles import VERIFY_PY, Files, edited, listed, unzipped, zipped
from tests.erasures import erase_entries
from tests.exams import (
    ONE_OF_EACH,
    Json,
    active,
    body,
    fields_of,
    from_now,
    start,
    step,
    tag,
    watch,
)
from tests.forgeries import examined, line, put, set_to, without
from tests.personas import Api, Persona, Speaker
from tests.reports import observed, record, send_many
from tests.tampering import allow_everything
from verifier import verify as verifier

NASTY = "<script>alert(1)</script> \u202e\U0001f600 \"'&\\ \u2028 \n 0 \u00e9 e\u0301"


@pytest.fixture
def attempt(
    api: Api, ada: Persona, bob: Persona, alice: Persona, database: Database
) -> Json:
    """An attempt with all that an attempt can have, and what its student wrote."""
    admin, student = api.as_(ada), api.as_(alice)
    exam = active(admin, alice.id, questions=ONE_OF_EACH, title="<b>Nets</b> & more")
    watch(admin, exam, bob.id)
    paper = start(student, exam)
    record(
        student,
        paper,
        observed(1, payload={"title": NASTY.replace("\n", " "), "confidence": 1e-7}),
        observed(2, "clipboard.paste", payload={"count": 1.0, "deep": [[{"a": None}]]}),
    )
    record(student, paper, observed(3, "focus.lost"))
    _answer(student, paper, 1, NASTY)
    _answer(student, paper, 2, NASTY + " again")
    path = f"/api/exams/attempts/{paper['id']}"
    body(api.as_(bob).post(f"{path}/pause", json={"reason": NASTY}))
    body(api.as_(bob).post(f"{path}/resume", json={"reason": "it is over"}))
    body(student.post(f"{path}/submit"))
    essay = paper["questions"][-1]["id"]
    grade = {"question_id": essay, "points": 2.5, "comment": NASTY}
    body(api.as_(bob).put(f"{path}/grades", json={"grades": [grade]}))
    AnalysisJob(database).run()
    return paper


def _answer(student: Speaker, paper: Json, version: int, essay: str) -> None:
    questions = {each["kind"]: each for each in paper["questions"]}
    choice = questions["multiple_choice"]
    responses = {
        questions["essay"]["id"]: essay,
        questions["numeric"]["id"]: 1e-7 * version,
        questions["true_false"]["id"]: version == 1,
        choice["id"]: [choice["options"][0]["id"]],
        questions["short_text"]["id"]: None if version == 2 else "Goethe",
    }
    answers = [
        {"question_id": question, "response": response, "client_version": version}
        for question, response in responses.items()
    ]
    path = f"/api/exams/attempts/{paper['id']}/answers"
    body(student.put(path, json={"answers": answers}))


def path_of(attempt: Json) -> str:
    return f"/api/blockchain/attempt/{attempt['id']}/bundle"


@pytest.fixture
def bundle(api: Api, ada: Persona, attempt: Json) -> bytes:
    response = api.as_(ada).get(path_of(attempt) + "?reason=appeal+7")
    assert response.status_code == 200
    return bytes(response.data)


def verified(
    content: bytes, tmp_path: Path, *arguments: object
) -> tuple[int, Json, str]:
    """Run the verifier as a panel does; return its code, its report and its text."""
    archive = tmp_path / "evidence.zip"
    archive.write_bytes(content)
    command = [sys.executable, "-I", "-S", str(VERIFY_PY), str(archive)]
    as_json, as_text = (
        subprocess.run(
            [*command, *map(str, arguments), *more],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        for more in (["--json"], [])
    )
    assert as_json.stderr == as_text.stderr == ""
    assert as_json.returncode == as_text.returncode
    return as_json.returncode, json.loads(as_json.stdout), as_text.stdout


def test_a_bundle_verifies(bundle: bytes, attempt: Json, tmp_path: Path) -> None:
    code, found, text = verified(bundle, tmp_path)

    assert found["problems"] == []
    assert (code, found["verdict"]) == (0, "internally_consistent")
    assert found["attempt_id"] == attempt["id"]
    assert found["bundle_sha256"] == sha256(bundle).hexdigest()
    assert "INTERNALLY CONSISTENT" in text
    checks = {check["name"]: check["result"] for check in found["checks"]}
    assert checks["rows"] == "passed"
    # No checkpoint covers what it counts.
    assert checks["completeness"] == "not_checked"
    assert checks["client's counter"] == "passed"
    assert checks["checkpoint"] == checks["inclusion"] == "not_checked"


def test_it_holds_every_entry_of_the_attempt(
    bundle: bytes, attempt: Json, sql: connection
) -> None:
    files = unzipped(bundle)
    entries = [json.loads(each) for each in files["entries.jsonl"].splitlines()]
    rows = run(
        sql,
        "SELECT seq, payload, encode(hash, 'hex') FROM audit_log"
        " WHERE attempt_id = %s OR seq = 0 ORDER BY seq",
        attempt["id"],
    )

    assert [(each["seq"], each["payload"], each["hash"]) for each in entries] == rows
    assert len(entries) > 12
    columns = {
        name
        for (name,) in run(
            sql,
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'audit_log'",
        )
    }
    # `state` names rows of others that the same transaction changed.
    assert set(entries[0]) == columns - {"recorded_at", "state"} | {"recorded_at_us"}


def test_the_making_of_it_is_the_last_entry(
    bundle: bytes, ada: Persona, attempt: Json
) -> None:
    *before, last = map(json.loads, unzipped(bundle)["entries.jsonl"].splitlines())

    assert last["event_type"] == "evidence.exported"
    assert last["actor_id"] == str(ada.id)
    assert last["entity_id"] == attempt["id"]
    assert json.loads(last["payload"]) == {
        "format": "proctoring-evidence/1",
        "reason": "appeal 7",
        "entries": len(before) - 1,
        "last_entry": before[-1]["seq"],
    }


def test_the_same_log_gives_the_same_bytes(
    bundle: bytes, attempt: Json, database: Database
) -> None:
    exported_by = json.loads(unzipped(bundle)["manifest.json"])["exported_by"]

    with database.read() as tx:
        material = collect(tx, UUID(attempt["id"]), exported_by, None)

    assert packed(material) == bundle


def test_the_second_bundle_holds_the_making_of_the_first(
    api: Api, bob: Persona, bundle: bytes, attempt: Json, tmp_path: Path
) -> None:
    second = api.as_(bob).get(path_of(attempt)).data

    first_lines = unzipped(bundle)["entries.jsonl"].splitlines()
    second_lines = unzipped(second)["entries.jsonl"].splitlines()
    assert second_lines[:-1] == first_lines
    assert verified(second, tmp_path)[:1] == (0,)


def test_a_running_attempt_has_a_bundle_too(
    api: Api, ada: Persona, alice: Persona, tmp_path: Path
) -> None:
    exam = active(api.as_(ada), alice.id)
    paper = start(api.as_(alice), exam)

    response = api.as_(ada).get(path_of(paper))

    assert verified(response.data, tmp_path)[1]["problems"] == []


def test_a_report_that_was_refused_is_not_said_to_have_never_come(
    *, api: Api, ada: Persona, alice: Persona, tmp_path: Path
) -> None:
    """A clock that is far ahead is no fault of its student."""
    paper = start(api.as_(alice), active(api.as_(ada), alice.id))
    ahead = observed(2, occurred_at=from_now(hours=2))
    sent = [observed(1), ahead, observed(3)]
    taken = body(send_many(api.as_(alice), paper, *sent))["results"]
    assert [each["status"] for each in taken] == ["accepted", "rejected", "accepted"]
    body(api.as_(alice).post(f"/api/exams/attempts/{paper['id']}/submit"))

    bundle = bytes(api.as_(ada).get(path_of(paper)).data)

    checks = verified(bundle, tmp_path)[1]["checks"]
    (counter,) = (each for each in checks if each["name"] == "client's counter")
    assert counter["detail"] == (
        "the exam client numbered its observations, and these numbers are not on record"
        " (lost on the way, refused, or never sent): 2"
    )
    page = unzipped(bundle)["report.html"].decode()
    assert "reports that were missing at the end" in page
    assert "never arrived" not in page


@pytest.mark.parametrize("step", ["terminate", "void"])
def test_what_staff_end_has_a_bundle_too(
    api: Api, ada: Persona, attempt: Json, alice: Persona, tmp_path: Path, step: str
) -> None:
    admin = api.as_(ada)
    exam = active(admin, alice.id)
    running = start(api.as_(alice), exam)
    for each in (running, attempt) if step == "void" else (running,):
        path = f"/api/exams/attempts/{each['id']}/{step}"
        body(admin.post(path, json={"reason": "a fire"}))

        response = admin.get(path_of(each))

        assert verified(response.data, tmp_path)[1]["problems"] == []


SIMILAR = """
    SET session_replication_role = replica;
    UPDATE ai_analyses
       SET result = jsonb_set(result, '{cohort,similar_attempts}', %s::jsonb)
     WHERE attempt_id = %s
"""


@pytest.mark.tampers
def test_it_names_no_attempt_of_another_student(
    *,
    api: Api,
    ada: Persona,
    mallory: Persona,
    attempt: Json,
    sql: connection,
) -> None:
    """The accused reads it, and is never told who had the same wrong answers."""
    other = start(api.as_(mallory), active(api.as_(ada), mallory.id))["id"]
    pair = {"attempt_id": other, "shared_wrong_answers": 7, "expected": 1.5}
    allow_everything(sql)
    run(sql, SIMILAR, json.dumps([pair]), attempt["id"])

    files = unzipped(bytes(api.as_(ada).get(path_of(attempt)).data))

    analyses = map(json.loads, files["rows/analyses.jsonl"].splitlines())
    (shown,) = next(analyses)["result"]["cohort"]["similar_attempts"]
    assert shown == {"shared_wrong_answers": 7, "expected": 1.5}
    assert not any(other.encode() in content for content in files.values())


def test_what_is_sent_says_what_it_is(api: Api, ada: Persona, attempt: Json) -> None:
    response = api.as_(ada).get(path_of(attempt))

    assert response.mimetype == "application/zip"
    assert response.headers["Content-Disposition"] == (
        f'attachment; filename="evidence-{attempt["id"]}.zip"'
    )
    digest = b64encode(sha256(response.data).digest()).decode()
    assert response.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert response.headers["Cache-Control"] == "no-store"


def test_it_is_for_the_staff_of_the_exam(
    api: Api, alice: Persona, mallory: Persona, attempt: Json, sql: connection
) -> None:
    before = scalar(sql, "SELECT count(*) FROM audit_log")
    run(sql, "DELETE FROM exam_proctors")

    statuses = [
        api.as_(each).get(path_of(attempt)).status_code for each in (alice, mallory)
    ]

    assert statuses == [403, 403]
    # The refusals, and nothing else.
    assert scalar(sql, "SELECT count(*) FROM audit_log") == before + 2


def test_of_an_exam_of_others_there_is_none(
    api: Api, bob: Persona, attempt: Json, sql: connection
) -> None:
    before = scalar(sql, "SELECT count(*) FROM audit_log")
    run(sql, "DELETE FROM exam_proctors")

    problem = body(api.as_(bob).get(path_of(attempt)), 404)

    assert problem["type"] == "/problems/attempt-not-found"
    assert scalar(sql, "SELECT count(*) FROM audit_log") == before


@pytest.mark.parametrize(
    "reason", ["", "x" * 501, "two%0Alines", "%00", "a&reason=b", "a&other=b"]
)
def test_a_reason_is_one_line(
    api: Api, ada: Persona, attempt: Json, reason: str
) -> None:
    response = api.as_(ada).get(f"{path_of(attempt)}?reason={reason}")

    assert response.status_code in {400, 422}


def test_what_is_too_large_is_refused_and_not_recorded(
    api: Api, ada: Persona, attempt: Json, sql: connection
) -> None:
    before = scalar(sql, "SELECT count(*) FROM audit_log")
    run(
        sql,
        "SET session_replication_role = replica;"
        " UPDATE ai_analyses"
        " SET result = jsonb_build_object('x', repeat('x', 16 * 1024 * 1024))",
    )

    problem = body(api.as_(ada).get(path_of(attempt)), 422)

    assert problem["type"] == "/problems/evidence-too-large"
    assert scalar(sql, "SELECT count(*) FROM audit_log") == before


def test_who_asks_for_the_headers_alone_has_none_made(
    api: Api, ada: Persona, attempt: Json, sql: connection
) -> None:
    before = scalar(sql, "SELECT count(*) FROM audit_log")

    response = api.as_(ada).open(path_of(attempt), method="HEAD")

    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, OPTIONS"
    assert scalar(sql, "SELECT count(*) FROM audit_log") == before


EVENTS = "rows/events.jsonl"
# What somebody did to the database before the bundle was made: what, where, and the
# file that tells.
DAMAGE = {
    "an actor": (
        *("UPDATE audit_log SET actor_id = 'x'", "event_type = 'attempt.submitted'"),
        "entries.jsonl",
    ),
    "a payload": (
        *("UPDATE audit_log SET payload = '{}'", "event_type = 'attempt.paused'"),
        "entries.jsonl",
    ),
    "an entry": (
        *("DELETE FROM audit_log", "payload LIKE '%clipboard.paste%'"),
        EVENTS,
    ),
    "an event": (
        *("UPDATE proctoring_events SET severity = 'critical'", "sequence = 1"),
        EVENTS,
    ),
    "an event's content": (
        *("UPDATE proctoring_events SET payload = '{}'", "sequence = 1"),
        EVENTS,
    ),
    "an event's time": (
        *("UPDATE proctoring_events SET occurred_at = received_at", "sequence = 1"),
        EVENTS,
    ),
    "an event's own number": (
        *("UPDATE proctoring_events SET id = gen_random_uuid()", "sequence = 1"),
        EVENTS,
    ),
    "a deleted event": ("DELETE FROM proctoring_events", "sequence = 1", EVENTS),
    "an answer": (
        *("UPDATE answers SET response = '\"x\"'", "response = 'false'"),
        "rows/answers.jsonl",
    ),
    "a deleted answer": (
        *("DELETE FROM answers", "response = 'null'"),
        "rows/answers.jsonl",
    ),
    "a score": (
        *("UPDATE ai_analyses SET risk_score = 99", "is_official"),
        "rows/analyses.jsonl",
    ),
    "an end": (
        *("UPDATE attempts SET ended_at = started_at", "ended_at IS NOT NULL"),
        "rows/attempt.json",
    ),
    "a result": (
        *("UPDATE attempts SET score = max_score", "score < max_score"),
        "rows/attempt.json",
    ),
    "a result that was none": (
        *("UPDATE attempts SET score = NULL, is_passed = NULL", "score > 0"),
        "rows/attempt.json",
    ),
    "what there was to earn": (
        *("UPDATE attempts SET max_score = score", "score < max_score"),
        "rows/attempt.json",
    ),
    "whether it is passed": (
        *("UPDATE attempts SET is_passed = NOT is_passed", "is_passed IS NOT NULL"),
        "rows/attempt.json",
    ),
    "a status": (
        *("UPDATE attempts SET status = 'terminated'", "status = 'submitted'"),
        "rows/attempt.json",
    ),
    "a status of none": (
        *("UPDATE attempts SET status = 'voided'", "status = 'submitted'"),
        "rows/attempt.json",
    ),
    "a reason": (
        *("UPDATE attempts SET end_reason = 'ill'", "end_reason IS NULL"),
        "rows/attempt.json",
    ),
    "a review": (
        *("UPDATE attempts SET review_status = 'confirmed_violation'", "true"),
        "rows/attempt.json",
    ),
    "a review's note": (
        *("UPDATE attempts SET review_note = 'he copied'", "review_note IS NULL"),
        "rows/attempt.json",
    ),
}


@pytest.mark.tampers
@pytest.mark.parametrize("name", DAMAGE)
def test_what_was_changed_in_the_database_is_found_in_the_bundle(
    api: Api, ada: Persona, attempt: Json, sql: connection, tmp_path: Path, name: str
) -> None:
    statement, rows, file = DAMAGE[name]
    run(
        sql,
        "SET session_replication_role = replica;"
        " ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " ALTER TABLE proctoring_events DISABLE TRIGGER ALL;"
        " ALTER TABLE attempts DROP CONSTRAINT attempts_score_status_check",
    )
    changed = run(sql, f"{statement} WHERE {rows} RETURNING 1")
    assert len(changed) == 1

    response = api.as_(ada).get(path_of(attempt))
    code, found, _ = verified(response.data, tmp_path)

    assert (code, found["verdict"]) == (1, "tampered")
    assert file in {each["file"] for each in found["problems"]}


# Who does what to an attempt that runs, and what he sends.
Step = tuple[str, str, Json]
PAUSE = ("bob", "pause", {"reason": "an alarm"})
RESUME = ("bob", "resume", {"reason": "it was false"})
EXTEND = ("bob", "extend", {"minutes": 5, "reason": "an alarm"})
TERMINATE = ("bob", "terminate", {"reason": NASTY})
REOPEN = ("ada", "reopen", {"reason": "it was false", "extra_seconds": 60})
VOID = ("ada", "void", {"reason": NASTY})
SUBMIT: Step = ("alice", "submit", {})
NOT_ENOUGH, ENOUGH = (
    ("bob", "grades", {"points": points, "comment": NASTY}) for points in (1, 5)
)
IN_REVIEW, CLEARED = (
    ("bob", "review", {"status": status, "note": NASTY + status})
    for status in ("in_review", "cleared")
)
END_BY_CLOCK: Step = ("the clock", "", {})
CLOSE, CANCEL = (
    ("ada", "exam", {"status": status}) for status in ("completed", "cancelled")
)
GIVE_TIME = ("ada", "extra-time", {"incident": "x", "reason": "x", "minutes": 5})
GRANT = ("ada", "assignment", {"time_multiplier": 2})
# From when it happens: the modules are read long before.
CLOSE_SOONER = ("ada", "window", {"minutes": 30})
LIVES: dict[str, tuple[list[Step], set[str]]] = {
    "paused": ([PAUSE], set()),
    "paused and extended": ([PAUSE, EXTEND, RESUME, EXTEND, GIVE_TIME], set()),
    "given another time": ([GRANT, PAUSE, CLOSE_SOONER, RESUME, GRANT], set()),
    "reviewed while it runs": ([IN_REVIEW], set()),
    "submitted": ([SUBMIT], set()),
    "submitted and graded twice": ([SUBMIT, NOT_ENOUGH, ENOUGH], set()),
    "ended by the clock": ([END_BY_CLOCK, NOT_ENOUGH], set()),
    "ended with its exam": ([PAUSE, CLOSE, ENOUGH], set()),
    "terminated": ([TERMINATE], set()),
    "terminated, graded and reviewed": (
        [PAUSE, TERMINATE, ENOUGH, IN_REVIEW, CLEARED, IN_REVIEW],
        set(),
    ),
    "terminated during a review": ([IN_REVIEW, TERMINATE], set()),
    "reopened": ([TERMINATE, IN_REVIEW, CLEARED, REOPEN], set()),
    "reopened and submitted": (
        [TERMINATE, ENOUGH, REOPEN, PAUSE, RESUME, SUBMIT],
        set(),
    ),
    "reopened, submitted and graded": (
        [TERMINATE, NOT_ENOUGH, REOPEN, TERMINATE, REOPEN, SUBMIT, ENOUGH],
        set(),
    ),
    "voided": ([VOID], set()),
    "voided while it was paused": ([PAUSE, VOID], set()),
    "voided with its exam": ([CANCEL], set()),
    "voided after a grade": ([SUBMIT, ENOUGH, IN_REVIEW, VOID], set()),
    "voided after it was reopened": ([TERMINATE, REOPEN, VOID], set()),
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An exam that alice sits, and all who have to do with it."""

    api: Api
    cast: Mapping[str, Persona]
    exam: Json
    attempt: Json
    database: Database

    def take(self, one: Step) -> None:
        who, what, sent = one
        if who == "the clock":
            self._end_by_clock()
            return
        speaker = self.api.as_(self.cast[who])
        attempt_id = self.attempt["id"]
        path = f"/api/exams/attempts/{attempt_id}/{what}"
        match what:
            case "exam":
                step(speaker, self.exam, sent["status"])
            case "extra-time":
                body(speaker.post(f"/api/exams/{self.exam['id']}/{what}", json=sent))
            case "assignment":
                path = f"/api/exams/{self.exam['id']}/assignments"
                body(speaker.patch(f"{path}/{self.cast['alice'].id}", json=sent))
            case "window":
                path = f"/api/exams/{self.exam['id']}"
                seen = body(speaker.get(path))
                changed = fields_of(seen, ends_at=from_now(**sent))
                body(speaker.put(path, json=changed, headers=tag(seen)))
            case "review":
                path = f"/api/proctoring/attempt/{attempt_id}/{what}"
                body(speaker.put(path, json=sent))
            case "grades":
                essay = self.attempt["questions"][-1]["id"]
                grade = sent | {"question_id": essay}
                body(speaker.put(path, json={"grades": [grade]}))
            case _:
                body(speaker.post(path, json=sent))

    def _end_by_clock(self) -> None:
        """Do what the sweeper does, without waiting for the deadline."""
        with self.database.transaction() as tx:
            running = attempts.get_for_update(tx, UUID(self.attempt["id"]))
            assert running is not None
            attempt_ending.end(tx, [running], EndedBy.DEADLINE, audit.SYSTEM)

    def bundle(self) -> bytes:
        path = path_of(self.attempt)
        return bytes(self.api.as_(self.cast["ada"]).get(path).data)


@pytest.fixture
def stage(
    api: Api, ada: Persona, bob: Persona, alice: Persona, database: Database
) -> Stage:
    exam = active(api.as_(ada), alice.id, questions=ONE_OF_EACH)
    watch(api.as_(ada), exam, bob.id)
    paper = start(api.as_(alice), exam)
    _answer(api.as_(alice), paper, 1, NASTY)
    cast = {"ada": ada, "bob": bob, "alice": alice}
    return Stage(api=api, cast=cast, exam=exam, attempt=paper, database=database)


@pytest.mark.parametrize("name", LIVES)
def test_whatever_an_attempt_went_through_its_row_is_as_recorded(
    stage: Stage, name: str
) -> None:
    steps, unknown = LIVES[name]
    for each in steps:
        stage.take(each)

    files = unzipped(stage.bundle())

    intact = examined(files)
    assert intact.problems == []
    assert not_compared(intact) == unknown
    for column in set(verifier.COLUMNS) - unknown:
        other = "0.01" if column in verifier.NUMBERS else "edited"
        forged = examined(line("rows/attempt.json", 0, set_to(column, other))(files))
        assert [(each.kind, each.file) for each in forged.problems] == [
            ("tampered", "rows/attempt.json")
        ], column


def not_compared(report: verifier.Report) -> set[str]:
    """Return the columns of the attempt's row of which nobody can tell."""
    said = "".join(
        each.detail for each in report.checks if each.name == "rows/attempt.json"
    )
    return {name for name in verifier.COLUMNS if re.search(rf"\b{name}\b", said)}


def test_what_the_erased_entries_said_is_not_compared(
    stage: Stage, database: Database
) -> None:
    """As when the answers have been kept for long enough."""
    for each in (SUBMIT, NOT_ENOUGH, IN_REVIEW, CLEARED):
        stage.take(each)
    entries = map(json.loads, unzipped(stage.bundle())["entries.jsonl"].splitlines())
    gone = {"attempt.answers_saved", "attempt.submitted", "attempt.graded"}
    numbers = [each["seq"] for each in entries if each["event_type"] in gone]
    erase_entries(database, *([number, number] for number in numbers))

    files = unzipped(stage.bundle())

    assert len(numbers) == 3
    intact = examined(files)
    assert intact.problems == []
    assert not_compared(intact) == {
        *("ended_at", "ended_by", "end_reason", "score", "is_passed", "paused_seconds")
    }
    for column in ("status", "max_score", "review_status", "review_note"):
        forged = examined(line("rows/attempt.json", 0, set_to(column, "0.01"))(files))
        assert forged.verdict == "tampered", column


def test_a_reason_that_mentioned_an_erased_person_is_not_compared(
    stage: Stage, api: Api, ada: Persona, mallory: Persona
) -> None:
    reason = f"{mallory.full_name} sat beside her"
    for each in (("bob", "terminate", {"reason": reason}), IN_REVIEW, CLEARED):
        stage.take(each)
    erased(api, ada, mallory)

    content = stage.bundle()

    assert mallory.full_name.encode() not in content
    report = examined(unzipped(content))
    assert report.problems == []
    assert not_compared(report) == {
        *("ended_at", "ended_by", "end_reason", "score", "is_passed", "paused_seconds")
    }


def test_the_verifier_knows_every_step_of_an_attempt() -> None:
    steps = {each.value for each in AuditEvent if each.value.startswith("attempt.")}

    assert set(verifier.STEPS) == steps


Edit = Callable[[Files], Files]


def edit(name: str, change: Callable[[bytes], bytes]) -> Edit:
    return lambda files: files | {name: change(files[name])}


EDITS: dict[str, tuple[Edit, str]] = {
    **{
        f"a byte of {name}": (edit(name, lambda it: it + b" "), name)
        for name in (
            *("README.txt", "report.html", "entries.jsonl", "verify.py"),
            *("rows/attempt.json", "rows/answers.jsonl", "rows/events.jsonl"),
            "rows/analyses.jsonl",
        )
    },
    "an entry": (line("entries.jsonl", 3, set_to("actor_id", "x")), "entries.jsonl"),
    "an entry that is gone": (without("entries.jsonl", 5), "entries.jsonl"),
    "a row": (put("rows/events.jsonl", b""), "rows/events.jsonl"),
    "an answer": (
        lambda files: listed(
            files
            | {
                "rows/answers.jsonl": edited(
                    files["rows/answers.jsonl"], 0, set_to("response", "x")
                )
            }
        ),
        "rows/answers.jsonl",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_was_changed_in_the_bundle_is_found(
    bundle: bytes, tmp_path: Path, name: str
) -> None:
    forge, file = EDITS[name]

    code, found, text = verified(zipped(forge(unzipped(bundle))), tmp_path)

    assert (code, found["verdict"]) == (1, "tampered")
    assert file in {each["file"] for each in found["problems"]}
    assert file in text


class Page(HTMLParser):
    """Notes the tags of a page and whether each is closed."""

    EMPTY = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_runs_nothing_and_loads_nothing(bundle: bytes) -> None:
    text = unzipped(bundle)["report.html"].decode()

    page = Page(text)

    assert page.open == []
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form", "a"}
    assert page.attributes <= {
        *("lang", "charset", "http-equiv", "content", "name", "class", "scope")
    }
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|url\(|@import", text)


def test_the_report_shows_what_there_is(bundle: bytes) -> None:
    text = unzipped(bundle)["report.html"].decode()

    assert "&lt;b&gt;Nets&lt;/b&gt; &amp; more" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "A student submitted an attempt." in text
    assert "There is no checkpoint yet" in text
    assert "What can not be claimed" in text


def test_the_terminal_makes_the_same(
    app: Flask, attempt: Json, sql: connection, tmp_path: Path
) -> None:
    runner = app.test_cli_runner()
    target = tmp_path / "evidence.zip"
    command = ["audit", "bundle", attempt["id"], str(target), "--reason", "appeal"]

    made = runner.invoke(args=command)

    assert made.exit_code == 0, made.output
    content = target.read_bytes()
    assert sha256(content).hexdigest() in made.output
    assert verified(content, tmp_path)[1]["problems"] == []
    payload = scalar(
        sql,
        "SELECT payload::json ->> 'reason' FROM audit_log"
        " WHERE event_type = 'evidence.exported' AND actor_id = 'system'",
    )
    assert payload == "appeal"


def test_who_records_much_does_not_get_rid_of_his_bundle(
    app: Flask, api: Api, ada: Persona, alice: Persona, attempt: Json, tmp_path: Path
) -> None:
    """It takes a student ten seconds and a tenth of the events that he may report."""
    largest = {f"k{number}": "x" * 800 for number in range(5)}
    for first in range(4, 2200, 120):
        # Before the attempt ended, however long this takes.
        told = {"payload": largest, "occurred_at": attempt["started_at"]}
        events = [observed(first + n, **told) for n in range(120)]
        record(api.as_(alice), attempt, *events)

    refused = body(api.as_(ada).get(path_of(attempt)), 422)
    target = tmp_path / "large.zip"
    command = ["audit", "bundle", attempt["id"], str(target), "--reason", "appeal"]
    made = app.test_cli_runner().invoke(args=command)

    assert refused["type"] == "/problems/evidence-too-large"
    assert "audit bundle" in refused["detail"]
    assert made.exit_code == 0, made.output
    code, found, _ = verified(target.read_bytes(), tmp_path, "--large")
    assert (code, found["problems"]) == (0, [])


def test_the_terminal_refuses_what_is_not_there(app: Flask, tmp_path: Path) -> None:
    missing = "019ab1c2-0000-7000-8000-00000000dead"
    target = tmp_path / "evidence.zip"

    made = app.test_cli_runner().invoke(
        args=["audit", "bundle", missing, str(target), "--reason", "appeal"]
    )

    assert made.exit_code == 1
    assert missing in made.output
    assert not target.exists()


def erased(api: Api, ada: Persona, alice: Persona) -> Json:
    why = {
        "legal_basis": "GDPR Art. 17(1)(a)",
        "reason": "asked for in a letter",
        "erase_mentions": True,
    }
    return body(api.as_(ada).post(f"/api/users/{alice.id}/erasure", json=why))


def test_a_bundle_that_was_made_before_an_erasure_still_verifies(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    bob: Persona,
    attempt: Json,
    bundle: bytes,
    tmp_path: Path,
) -> None:
    before = verified(bundle, tmp_path)
    reviewed(api, bob, attempt)

    erased(api, ada, alice)

    assert verified(bundle, tmp_path) == before
    assert before[0] == 0


def test_a_bundle_of_what_was_erased_says_so_and_verifies(
    api: Api, ada: Persona, alice: Persona, bob: Persona, attempt: Json, tmp_path: Path
) -> None:
    reviewed(api, bob, attempt)
    done = erased(api, ada, alice)

    content = bytes(api.as_(ada).get(path_of(attempt)).data)

    code, found, text = verified(content, tmp_path)
    assert found["problems"] == []
    assert (code, found["verdict"]) == (0, "internally_consistent")
    (said,) = [each for each in found["checks"] if each["name"] == "payload erased"]
    assert said["result"] == "not_checked"
    assert f"entry {done['seq']} says on which legal basis" in said["detail"]
    assert "GDPR Art. 17(1)(a)" in said["detail"]
    assert "payload erased" in text
    files = unzipped(content)
    # What happened is known from the types of the entries, and so is who did it.
    known = {"id", "status", "student_id", "reviewed_by"}
    assert not_compared(examined(files)) == set(verifier.COLUMNS) - known
    for name, each in files.items():
        assert alice.email.encode() not in each, name
        assert NASTY[:25].encode() not in each, name


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(
            lambda files: without("entries.jsonl", erasure_in(files))(files),
            id="without the erasure",
        ),
        pytest.param(
            line("entries.jsonl", 1, set_to("payload_salt", "00" * 32)),
            id="with a salt",
        ),
    ],
)
def test_a_payload_that_nothing_explains_is_missed(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    bob: Persona,
    attempt: Json,
    tmp_path: Path,
    forge: Callable[[Files], Files],
) -> None:
    reviewed(api, bob, attempt)
    erased(api, ada, alice)
    files = unzipped(bytes(api.as_(ada).get(path_of(attempt)).data))

    _, found, _ = verified(zipped(forge(files)), tmp_path)

    assert found["verdict"] in {"incomplete", "tampered"}
    assert any("no entry says why" in each["detail"] for each in found["problems"])


@pytest.mark.tampers
@pytest.mark.parametrize(
    "payload",
    ["[", "[1]", "[" * 200_000, '{"a":"\\ud800"}', '{"events":[1,{}]}', '{"events":1}'],
    ids=["half", "list", "deep", "surrogate", "odd events", "no events"],
)
def test_a_payload_that_nobody_of_us_wrote_is_in_the_bundle_as_it_is(
    *,
    api: Api,
    ada: Persona,
    attempt: Json,
    sql: connection,
    payload: str,
) -> None:
    allow_everything(sql)
    change = "UPDATE audit_log SET payload = %s WHERE event_type = 'attempt.submitted'"
    run(sql, change, payload)

    response = api.as_(ada).get(path_of(attempt))

    assert response.status_code == 200
    files = unzipped(bytes(response.data))
    entries = map(json.loads, files["entries.jsonl"].splitlines())
    assert payload in {each["payload"] for each in entries}
    assert ("events" in payload) != (escape(payload) in files["report.html"].decode())


@pytest.mark.tampers
def test_an_erasure_that_nobody_can_read_keeps_no_bundle_from_being_made(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    bob: Persona,
    attempt: Json,
    sql: connection,
) -> None:
    reviewed(api, bob, attempt)
    erased(api, ada, alice)
    allow_everything(sql)
    change = "UPDATE audit_log SET payload = '[' WHERE event_type = 'data.erased'"
    run(sql, change)

    response = api.as_(ada).get(path_of(attempt))

    assert response.status_code == 200
    files = unzipped(bytes(response.data))
    assert "data.erased" not in files["entries.jsonl"].decode()


def erasure_in(files: Files) -> int:
    """Return which line of the entries is the erasure."""
    kinds = [json.loads(each) for each in files["entries.jsonl"].splitlines()]
    (place,) = [
        number
        for number, each in enumerate(kinds)
        if each["event_type"] == "data.erased"
    ]
    return place


def reviewed(api: Api, bob: Persona, attempt: Json) -> None:
    """Finish the review, if there is one: an open case keeps the data."""
    path = f"/api/proctoring/attempt/{attempt['id']}/review"
    for status in ("in_review", "cleared"):
        body(api.as_(bob).put(path, json={"status": status}))
