"""Receipts: a student takes one home, and it contradicts whoever changes the log."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from uuid import UUID

import pytest
from flask import Flask
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.erasure import DataClass, Target
from services.checkpoint_files import Files, read_keys
from tests.audit_trail import append, run
from tests.by_hand import stated
from tests.checkpoints import sign
from tests.erasures import erase_entries
from tests.exams import Json, active, body, start
from tests.personas import Api, Persona
from tests.scene import playing
from utils.blockchain_hasher import entry_bytes, leaf_hash, parse_entry
from utils.canonical_text import to_base64
from utils.checkpoint import Checkpoint
from utils.signed_note import COSIGNATURE, ED25519, Note, Signer, VerifierKey, verified
from utils.tlog_proof import TlogProof
from utils.witness_policy import WitnessPolicy

TEXT = "text/plain; charset=utf-8"
VERIFY = "/api/blockchain/receipts/verify"
AT_ITS_DEADLINE = stated(
    "UPDATE attempts SET deadline_at = clock_timestamp() + interval '1 second'"
)


@pytest.fixture
def app(settings: Settings, files: Files) -> Iterator[Flask]:
    vkeys = tuple(period.vkey for period in read_keys(files.keys).periods)
    application = create_app(replace(settings, audit_log_vkeys=vkeys))
    yield application
    application.extensions["database"].close()


@pytest.fixture
def path(api: Api, ada: Persona, alice: Persona) -> str:
    """The address of an attempt that runs."""
    attempt = start(api.as_(alice), active(api.as_(ada), alice.id))
    return f"/api/exams/attempts/{attempt['id']}"


@pytest.fixture
def submitted(
    api: Api,
    alice: Persona,
    path: str,
    connection_settings: ConnectionSettings,
    files: Files,
) -> Json:
    """What the submission answered; a checkpoint covers it."""
    answer = body(api.as_(alice).post(f"{path}/submit"))
    sign(connection_settings, files)
    return answer


@pytest.fixture
def proof(api: Api, alice: Persona, path: str, submitted: Json) -> str:
    reply = api.as_(alice).get(f"{path}/receipt", headers={"Accept": "text/plain"})
    assert reply.content_type == TEXT
    assert submitted["audit_seq"] == TlogProof.parse(reply.data).index
    return reply.text


def check(api: Api, text: str) -> Json:
    return body(api.as_(None).post(VERIFY, data=text, content_type=TEXT))


def failed(report: Json) -> set[str]:
    return {each["name"] for each in report["checks"] if each["result"] == "failed"}


def test_the_receipt_of_the_submission_can_be_checked_without_us(
    api: Api, alice: Persona, path: str, submitted: Json, files: Files, proof: str
) -> None:
    receipt = body(api.as_(alice).get(f"{path}/receipt"))

    assert receipt["proof"] == proof
    assert receipt["receipt_hash"] == submitted["receipt_hash"]
    assert receipt["audit_seq"] == submitted["audit_seq"]
    assert not receipt["is_cosigned"]
    # Nothing but the text and the published key from here on.
    read = TlogProof.parse(proof.encode())
    held = json.loads(read.extra or b"")
    leaf = leaf_hash(base64.b64decode(held["entry"]))
    (period,) = read_keys(files.keys).periods
    assert verified(read.note(), VerifierKey.parse(period.vkey))
    assert read.includes(leaf)
    assert leaf.hex() == submitted["receipt_hash"]
    assert json.loads(held["payload"])["answers_digest"] == submitted["answers_digest"]
    assert len(proof) < 2500


def test_it_stays_the_same_while_the_log_grows(
    api: Api,
    alice: Persona,
    path: str,
    proof: str,
    connection_settings: ConnectionSettings,
    files: Files,
) -> None:
    body(api.as_(alice).get("/api/auth/me"))
    run_denied = api.as_(alice).get("/api/users")
    assert run_denied.status_code == 403
    assert sign(connection_settings, files) is not None

    assert body(api.as_(alice).get(f"{path}/receipt"))["proof"] == proof


def test_we_check_it_too(api: Api, submitted: Json, proof: str) -> None:
    report = check(api, proof)

    assert report["is_valid"]
    results = {each["name"]: each["result"] for each in report["checks"]}
    # This server was given no policy.
    assert results.pop("witnesses") == "not_checked"
    assert set(results.values()) == {"passed"}
    assert report["audit_seq"] == submitted["audit_seq"]
    assert report["event_type"] == "attempt.submitted"
    assert report["payload"]["answers_digest"] == submitted["answers_digest"]


def test_a_server_that_knows_no_key_says_that_it_did_not_check(
    settings: Settings, proof: str
) -> None:
    other = create_app(settings)
    reply = other.test_client().post(VERIFY, data=proof, content_type=TEXT)
    other.extensions["database"].close()

    results = {each["name"]: each["result"] for each in body(reply)["checks"]}
    assert results["signature"] == "not_checked"
    assert results["inclusion"] == results["log"] == "passed"


@pytest.mark.tampers
def test_it_contradicts_a_log_that_was_rewritten(
    api: Api, sql: connection, proof: str, submitted: Json
) -> None:
    run(
        sql,
        "ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " UPDATE audit_log SET hash = sha256(hash) WHERE seq = %s;"
        " ALTER TABLE audit_log ENABLE TRIGGER ALL",
        submitted["audit_seq"],
    )

    report = check(api, proof)

    assert not report["is_valid"]
    assert failed(report) == {"log"}


def with_extra(proof: str, change: Callable[[Json], object]) -> str:
    read = TlogProof.parse(proof.encode())
    held = json.loads(read.extra or b"")
    change(held)
    return replace(read, extra=json.dumps(held).encode()).render()


@pytest.fixture
def forgeries(
    submitted: Json,
    connection_settings: ConnectionSettings,
    files: Files,
    database: Database,
    sql: connection,
) -> list[str]:
    """What the owner of the database can put in the place of a note."""
    assert submitted["audit_seq"]
    append(database)
    sign(connection_settings, files)
    (note,), (of_another_size,) = run(sql, "SELECT note FROM checkpoints ORDER BY size")
    text = Note.parse(note.encode()).text
    stranger = Signer.generate(text.partition("\n")[0], ED25519)
    own = Signer.parse(json.loads(files.keys.read_text())["current"])
    wrong = replace(stranger.sign(text), key_id=own.verifier.key_id)
    return [
        "x",
        of_another_size,
        Note(text, (stranger.sign(text),)).render(),
        Note(text, (wrong,)).render(),
    ]


def forge(sql: connection, note: str) -> None:
    with sql.cursor() as cursor:
        cursor.execute(
            "UPDATE checkpoints SET cosigned_note = %s, cosigned_at = clock_timestamp()"
            " WHERE size = (SELECT min(size) FROM checkpoints)",
            (note,),
        )


@pytest.mark.parametrize("number", range(4))
def test_a_cosigned_note_that_was_exchanged_is_not_given_out(
    api: Api,
    alice: Persona,
    path: str,
    sql: connection,
    forgeries: list[str],
    number: int,
) -> None:
    forge(sql, forgeries[number])

    receipt = body(api.as_(alice).get(f"{path}/receipt"))

    assert not receipt["is_cosigned"]
    assert check(api, receipt["proof"])["is_valid"]


@pytest.mark.tampers
@pytest.mark.parametrize("number", range(4))
def test_there_is_no_receipt_that_would_be_rejected(
    api: Api,
    alice: Persona,
    path: str,
    sql: connection,
    forgeries: list[str],
    number: int,
) -> None:
    forge(sql, forgeries[number])
    run(sql, "UPDATE checkpoints SET note = coalesce(cosigned_note, note)")

    problem = body(api.as_(alice).get(f"{path}/receipt"), 409)

    assert problem["type"] == "/problems/proof-does-not-hold"


@pytest.mark.usefixtures("submitted")
def test_a_false_cosignature_is_not_given_out(
    settings: Settings, alice: Persona, path: str, sql: connection, files: Files
) -> None:
    """The owner of the database can add one, and it would be rejected for that."""
    witness = Signer.generate("union", COSIGNATURE)
    (period,) = read_keys(files.keys).periods
    policy = WitnessPolicy.parse(
        f"log {period.vkey}\nwitness union {witness.verifier} https://union.example\n"
        "quorum union\n"
    )
    ((stored,),) = run(sql, "SELECT note FROM checkpoints")
    note = Note.parse(stored.encode())
    of_another = witness.cosign(note.text.replace("\n", "/x\n", 1), 1)
    forge(sql, Note(note.text, (*note.signatures, of_another)).render())
    told = replace(settings, audit_log_vkeys=(period.vkey,), witness_policy=policy)

    with playing(told) as application:
        receipt = body(Api(application).as_(alice).get(f"{path}/receipt"))

        assert check(Api(application), receipt["proof"])["is_valid"]


def test_what_was_changed_in_it_is_found(api: Api, proof: str) -> None:
    read = TlogProof.parse(proof.encode())
    entry = bytearray(base64.b64decode(json.loads(read.extra or b"")["entry"]))
    entry[72] ^= 1
    otherwise = base64.b64encode(bytes(entry)).decode()
    size = str(read.checkpoint().size)
    larger = read.checkpoint_note.replace(f"\n{size}\n", f"\n{size}0\n", 1)

    text = with_extra(proof, lambda held: held.update(payload='{"score":"100"}'))
    salt = with_extra(proof, lambda held: held.update(salt="AAAA"))
    moment = with_extra(proof, lambda held: held.update(entry=otherwise))
    index = replace(read, index=read.index - 1).render()
    path = replace(read, proof=(bytes(32), *read.proof[1:])).render()
    root = replace(read, checkpoint_note=larger).render()

    assert failed(check(api, text)) == {"payload"}
    assert failed(check(api, salt)) == {"payload"}
    assert failed(check(api, moment)) == {"inclusion", "log"}
    assert failed(check(api, index)) == {"inclusion", "log"}
    assert failed(check(api, path)) == {"inclusion"}
    assert "signature" in failed(check(api, root))


def test_an_entry_is_where_it_says_itself(api: Api, files: Files, proof: str) -> None:
    """Also in a tree that we have signed: its first entry is not number 0."""
    read = TlogProof.parse(proof.encode())
    leaf = leaf_hash(base64.b64decode(json.loads(read.extra or b"")["entry"]))
    own = Signer.parse(json.loads(files.keys.read_text())["current"])
    text = Checkpoint(read.checkpoint().origin, 1, leaf).render()
    note = Note(text, (own.sign(text),)).render()

    report = check(api, TlogProof(0, (), note, read.extra).render())

    assert failed(report) == {"inclusion", "log"}


@pytest.mark.parametrize(
    "text", ["", "nonsense", "c2sp.org/tlog-proof@v1\nindex 0\n\nx\n1\ny\n"]
)
def test_what_is_no_receipt_is_refused(api: Api, text: str) -> None:
    problem = body(api.as_(None).post(VERIFY, data=text, content_type=TEXT), 422)

    assert problem["type"] == "/problems/receipt-malformed"


def test_a_proof_without_an_entry_is_refused(api: Api, proof: str) -> None:
    read = TlogProof.parse(proof.encode())
    bad_entry = with_extra(proof, lambda held: held.update(entry="AAAA"))
    more = with_extra(proof, lambda held: held.update(more=1))
    for text in (replace(read, extra=None).render(), bad_entry, more):
        problem = body(api.as_(None).post(VERIFY, data=text, content_type=TEXT), 422)
        assert problem["type"] == "/problems/receipt-malformed"


@pytest.mark.parametrize("at", [-(2**63), 2**63 - 1])
def test_an_entry_of_a_time_that_no_calendar_has_is_refused(
    api: Api, proof: str, at: int
) -> None:
    read = TlogProof.parse(proof.encode())
    entry = parse_entry(base64.b64decode(json.loads(read.extra or b"")["entry"]))
    forged = to_base64(entry_bytes(replace(entry, recorded_at_us=at)))
    text = with_extra(proof, lambda held: held.update(entry=forged))

    problem = body(api.as_(None).post(VERIFY, data=text, content_type=TEXT), 422)

    assert problem["type"] == "/problems/receipt-malformed"


@pytest.mark.parametrize(
    "text", [r'"\ud800"', r'{"a":"\ud800"}', "NaN", "[" * 9000, "", "{"]
)
def test_a_payload_that_is_no_json_is_shown_as_it_is(
    api: Api, proof: str, text: str
) -> None:
    report = check(api, with_extra(proof, lambda held: held.update(payload=text)))

    assert (failed(report), report["payload"]) == ({"payload"}, text)


def test_before_its_checkpoint_it_is_pending(
    api: Api, alice: Persona, path: str
) -> None:
    body(api.as_(alice).post(f"{path}/submit"))

    reply = api.as_(alice).get(f"{path}/receipt")

    assert body(reply, 503)["type"] == "/problems/receipt-pending"
    assert reply.headers["Retry-After"] == "1"


def test_a_running_attempt_has_none(api: Api, alice: Persona, path: str) -> None:
    problem = body(api.as_(alice).get(f"{path}/receipt"), 409)

    assert problem["type"] == "/problems/no-receipt"
    assert problem["current_status"] == "in_progress"


def test_an_end_that_was_undone_has_none(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    path: str,
    sql: connection,
    connection_settings: ConnectionSettings,
    files: Files,
) -> None:
    admin, student = api.as_(ada), api.as_(alice)
    run(sql, AT_ITS_DEADLINE)
    first = body(student.post(f"{path}/submit", json={"ended_by": "deadline"}))
    more = {"reason": "outage", "extra_seconds": 600}
    body(admin.post(f"{path}/reopen", json=more))
    sign(connection_settings, files)

    running = body(student.get(f"{path}/receipt"), 409)
    second = body(student.post(f"{path}/submit"))
    sign(connection_settings, files)
    handed_in = body(student.get(f"{path}/receipt"))
    body(admin.post(f"{path}/void", json={"reason": "the wrong paper"}))

    assert running["type"] == "/problems/no-receipt"
    assert running["allowed_actions"] == ["submit"]
    assert handed_in["audit_seq"] == second["audit_seq"] > first["audit_seq"]
    # Voided as it is, that he handed it in he can show.
    assert body(student.get(f"{path}/receipt")) == handed_in


@pytest.mark.parametrize("step", ["terminate", "void"])
def test_what_staff_ended_has_none(
    api: Api,
    ada: Persona,
    alice: Persona,
    path: str,
    sql: connection,
    step: str,
) -> None:
    admin, student = api.as_(ada), api.as_(alice)
    run(sql, AT_ITS_DEADLINE)
    body(student.post(f"{path}/submit", json={"ended_by": "deadline"}))
    more = {"reason": "outage", "extra_seconds": 600}
    body(admin.post(f"{path}/reopen", json=more))
    body(admin.post(f"{path}/{step}", json={"reason": "somebody else sat there"}))

    problem = body(student.get(f"{path}/receipt"), 409)

    assert problem["type"] == "/problems/no-receipt"
    assert problem["current_status"] in {"terminated", "voided"}
    assert problem["allowed_actions"] == []


@pytest.mark.usefixtures("submitted")
def test_another_student_has_no_part_in_it(
    api: Api, mallory: Persona, path: str
) -> None:
    body(api.as_(mallory).get(f"{path}/receipt"), 404)


@pytest.mark.usefixtures("submitted")
def test_the_page_holds_the_whole_receipt_and_loads_nothing(
    api: Api, alice: Persona, path: str, proof: str
) -> None:
    reply = api.as_(alice).get(f"{path}/receipt", headers={"Accept": "text/html"})

    assert reply.status_code == 200
    assert proof.splitlines()[0] in reply.text
    assert "data:image/svg+xml" in reply.text
    assert "<script" not in reply.text
    assert not any(way in reply.text for way in ('src="http', "href=", "url("))
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


@pytest.mark.usefixtures("submitted")
def test_the_page_says_in_words_what_was_recorded_and_how_it_is_checked(
    api: Api, alice: Persona, path: str, proof: str
) -> None:
    sealed = check(api, proof)
    page = api.as_(alice).get(f"{path}/receipt", headers={"Accept": "text/html"}).text

    shown = unescape(re.sub("<[^>]*>", "", page.replace("</dt>", ": ")))
    moment = sealed["recorded_at"][:19].replace("T", " ")
    assert "What was recorded: A student submitted an attempt." in shown
    assert f"When: {moment} UTC" in shown
    assert f"Answers: {sealed['payload']['answered']}" in shown
    assert f"SHA-256 of the answers: {sealed['payload']['answers_digest']}" in shown
    assert "it does not prove that what the entry says is true" in shown
    assert "/api/blockchain/receipts/verify" in shown
    assert "key of the log" in shown
    assert "as it reads here" not in shown
    assert "of a submitted exam" not in shown


def test_a_receipt_outlives_the_erasure_of_what_it_says(
    api: Api, ada: Persona, alice: Persona, proof: str
) -> None:
    """The student took it home; the log has the hash, and forgot the rest."""
    before = check(api, proof)
    why = {
        "legal_basis": "GDPR Art. 17(1)(a)",
        "reason": "asked for in a letter",
        "erase_mentions": True,
    }
    body(api.as_(ada).post(f"/api/users/{alice.id}/erasure", json=why))

    assert check(api, proof) == before
    assert before["is_valid"]


def test_after_its_time_a_receipt_is_not_made_again(
    api: Api,
    alice: Persona,
    path: str,
    submitted: Json,
    proof: str,
    database: Database,
) -> None:
    attempt_id = UUID(path.rpartition("/")[2])
    target = Target(attempt_ids=[attempt_id], classes=[DataClass.ANSWERS])
    seq = submitted["audit_seq"]
    erase_entries(database, [seq, seq], target=target)

    refused = body(api.as_(alice).get(f"{path}/receipt"), 409)

    assert refused["type"] == "/problems/receipt-erased"
    assert check(api, proof)["is_valid"]
    again = body(api.as_(alice).post(f"{path}/submit"))
    assert again["answers_digest"] is None
    assert again["receipt_hash"] == submitted["receipt_hash"]
