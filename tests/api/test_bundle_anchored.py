"""Bundles whose entries a signed and witnessed checkpoint covers."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from psycopg2.extensions import connection

from checkpointer.__main__ import ROLE
from config import Settings
from models.audit_event import AuditEvent
from models.connection_settings import ConnectionSettings
from models.database import Database
from services import audit
from services.checkpoint_epoch import begin_epoch
from services.checkpoint_files import Files, read_keys
from services.epoch_service import EpochService
from services.evidence_proofs import MAX_EARLIER
from services.evidence_service import COVER_SECONDS
from services.log_watch import LogWatch
from tests.audit_trail import append, append_together, run, scalar
from tests.bundles import VERIFY_PY, unzipped, zipped
from tests.checkpoints import files_in, sign
from tests.exams import Json, active, body, start
from tests.old_copies import suspend
from tests.personas import Api, Persona
from tests.reports import observed, record
from tests.scene import playing
from tests.waiting import until
from utils.signed_note import COSIGNATURE, Note, Signer

WITNESSES = tuple(
    Signer.generate(f"witness.example/{name}", COSIGNATURE) for name in ("a", "b", "c")
)
AT = 1_800_000_000
APPEND_EPOCH = """
    SELECT audit_append(ARRAY['log.epoch_opened'], ARRAY['log'], ARRAY['all'],
                        ARRAY['system'], ARRAY[NULL::uuid], ARRAY[%s])
"""

EXPORTS = "SELECT count(*) FROM audit_log WHERE event_type = 'evidence.exported'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The signer, its witnesses, and the policy of whoever trusts two of them."""

    sql: connection
    settings: ConnectionSettings
    files: Files
    policy: Path

    def anchor(self, at: int = AT, witnesses: int = 2) -> None:
        """Sign what the log is now, and let so many witnesses confirm it."""
        stored = sign(self.settings, self.files)
        assert stored is not None
        note = Note.parse(stored.note.encode())
        cosigned = note.with_signatures(
            *(each.cosign(note.text, at) for each in WITNESSES[:witnesses])
        )
        run(
            self.sql,
            "UPDATE checkpoints SET cosigned_note = %s,"
            " cosigned_at = clock_timestamp() WHERE size = %s",
            cosigned.render(),
            stored.size,
        )


@pytest.fixture
def outside(
    sql: connection, connection_settings: ConnectionSettings, tmp_path: Path
) -> Outside:
    files = files_in(tmp_path, sql)
    (period,) = read_keys(files.keys).periods
    lines = [f"log {period.vkey}"]
    for name, witness in zip("abc", WITNESSES, strict=True):
        lines.append(f"witness {name} {witness.verifier}")
    policy = tmp_path / "policy.txt"
    policy.write_text("\n".join([*lines, "group two 2 a b c", "quorum two", ""]))
    return Outside(sql=sql, settings=connection_settings, files=files, policy=policy)


@pytest.fixture
def attempt(
    api: Api, ada: Persona, alice: Persona, database: Database, outside: Outside
) -> Json:
    """An attempt in a log of some hundred entries, which was witnessed in between."""
    append_together(database, 300)
    student = api.as_(alice)
    exam = active(api.as_(ada), alice.id)
    paper = start(student, exam)
    append(database, 3)
    outside.anchor(at=AT - 100)
    record(student, paper, observed(1), observed(2, "clipboard.paste"))
    append_together(database, 5)
    body(student.post(f"/api/exams/attempts/{paper['id']}/submit"))
    return paper


def bundle_of(api: Api, ada: Persona, attempt: Json) -> bytes:
    response = api.as_(ada).get(f"/api/blockchain/attempt/{attempt['id']}/bundle")
    assert response.status_code == 200, response.text
    return bytes(response.data)


def covered_bundle_of(
    api: Api, ada: Persona, attempt: Json, outside: Outside, witnesses: int = 2
) -> bytes:
    """Have a bundle made while the signer and its witnesses are at work."""
    with waiting_bundle_of(api, ada, attempt, outside.sql) as bundle:
        outside.anchor(witnesses=witnesses)
    return bundle.result()


@contextmanager
def waiting_bundle_of(
    api: Api, ada: Persona, attempt: Json, sql: connection
) -> Iterator[Future[bytes]]:
    """Begin a bundle, whose making is recorded and not covered yet."""
    before = scalar(sql, EXPORTS)
    with ThreadPoolExecutor(1) as pool:
        bundle = pool.submit(bundle_of, api, ada, attempt)
        until(lambda: bool(scalar(sql, EXPORTS) > before))
        yield bundle


def verified(content: bytes, outside: Outside) -> tuple[int, Json]:
    archive = outside.policy.parent / "evidence.zip"
    archive.write_bytes(content)
    found = subprocess.run(
        [
            *(sys.executable, "-I", "-S", VERIFY_PY, archive),
            *("--policy", outside.policy, "--json"),
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert found.stderr == ""
    return found.returncode, json.loads(found.stdout)


def details(report: Json) -> dict[str, str]:
    return {check["name"]: check["detail"] for check in report["checks"]}


def test_what_witnesses_have_seen_is_consistent_with_the_anchor(
    api: Api, ada: Persona, attempt: Json, outside: Outside
) -> None:
    outside.anchor()

    bundle = covered_bundle_of(api, ada, attempt, outside)

    code, found = verified(bundle, outside)
    assert found["problems"] == []
    assert (code, found["verdict"]) == (0, "consistent_with_anchor")
    assert found["witnesses"] == {each.verifier.name: AT for each in WITNESSES[:2]}
    assert "newer entries" not in details(found)
    # What was there at the start, and by when.
    assert "2027-01-15 07:58:20 UTC" in details(found)["history"]


def test_the_log_goes_on_in_a_new_epoch_and_the_bundle_says_so(
    api: Api, ada: Persona, attempt: Json, outside: Outside, database: Database
) -> None:
    outside.anchor()
    assert suspend(outside.sql)
    epochs = EpochService(database, LogWatch(database, [], []))
    opened = epochs.open_epoch(admin_email=ada.email, reason="The disk burnt.")
    # Until the signer has followed, the old checkpoint stands for what it covers.
    newer, early = verified(bundle_of(api, ada, attempt), outside)
    with closing(Database(replace(outside.settings, role=ROLE))) as signing:
        key = begin_epoch(signing, outside.files).key
    outside.policy.write_text(f"log {key}\n{outside.policy.read_text()}")
    outside.anchor()

    code, found = verified(covered_bundle_of(api, ada, attempt, outside), outside)

    assert (newer, early["verdict"]) == (0, "internally_consistent")
    assert "log.epoch_opened" in details(early)["newer entries"]
    assert (code, found["verdict"]) == (0, "consistent_with_anchor")
    assert found["origin"] == opened.origin
    for each in (early, found):
        assert each["problems"] == []
        said = details(each)
        assert "2 epochs" in said["epochs"]
        lost = said[f"what was lost before entry {opened.seq}"]
        assert opened.origin in lost
        assert "The disk burnt." in lost


@pytest.mark.tampers
@pytest.mark.parametrize(
    "change",
    [
        {"previous_origin": "proctoring/elsewhere"},
        {"origin": "proctoring/elsewhere"},
        {"origin": None},
        {"reason": None},
    ],
    ids=range(4),
)
def test_an_epoch_that_does_not_follow_is_found(
    api: Api,
    ada: Persona,
    attempt: Json,
    outside: Outside,
    sql: connection,
    change: Json,
) -> None:
    """An entry that nobody needed: the log was never suspended."""
    origin = str(scalar(sql, "SELECT origin FROM audit_head"))
    payload = {"origin": f"{origin}/epoch-2", "previous_origin": origin, "reason": "x"}
    run(sql, APPEND_EPOCH, json.dumps(payload | change))
    outside.anchor()

    code, found = verified(covered_bundle_of(api, ada, attempt, outside), outside)

    assert (code, found["verdict"]) == (1, "tampered")


def test_a_bundle_of_later_has_the_making_of_the_first(
    api: Api, ada: Persona, attempt: Json, outside: Outside
) -> None:
    outside.anchor()
    first = unzipped(covered_bundle_of(api, ada, attempt, outside))

    second = covered_bundle_of(api, ada, attempt, outside)

    code, found = verified(second, outside)
    assert (code, found["verdict"]) == (0, "consistent_with_anchor")
    assert "(2 times)" in details(found)["completeness"]
    count = len(first["proofs.jsonl"].splitlines())
    assert len(unzipped(second)["proofs.jsonl"].splitlines()) == count + 1


def test_who_waits_for_the_signer_keeps_nobody_from_the_database(
    settings: Settings, ada: Persona, attempt: Json, outside: Outside
) -> None:
    """The server has one connection, and another bundle is refused meanwhile."""
    outside.anchor()
    path = f"/api/blockchain/attempt/{attempt['id']}"
    alone = replace(settings, database=replace(settings.database, pool_size=1))
    with playing(alone) as application:
        api = Api(application)

        with waiting_bundle_of(api, ada, attempt, outside.sql) as bundle:
            other = api.as_(ada).get(f"{path}/bundle")
            shown = api.as_(ada).get(path)
            is_made = bundle.done()
            outside.anchor()

    assert body(other, 503)["type"] == "/problems/bundle-busy"
    assert shown.status_code == 200
    assert not is_made


def test_of_many_ends_the_first_and_the_last_states_are_shown(
    api: Api, ada: Persona, attempt: Json, outside: Outside, database: Database
) -> None:
    """As if it had been reopened again and again."""
    for _ in range(MAX_EARLIER):
        with database.transaction() as tx:
            audit.append(
                tx,
                AuditEvent.ATTEMPT_SUBMITTED,
                "attempt",
                attempt["id"],
                actor=audit.SYSTEM,
                attempt_id=UUID(attempt["id"]),
                payload={},
            )
        outside.anchor()

    files = unzipped(covered_bundle_of(api, ada, attempt, outside))

    earlier = [json.loads(line) for line in files["earlier.jsonl"].splitlines()]
    sizes = [int(each["checkpoint"].split("\n")[1]) for each in earlier]
    signed = run(outside.sql, "SELECT size FROM checkpoints ORDER BY size")
    first, *others, _ = [size for (size,) in signed]
    assert len(others) == MAX_EARLIER
    assert sizes == [first, *others[1:]]
    _, found = verified(zipped(files), outside)
    assert "earlier.jsonl" not in {each["file"] for each in found["problems"]}


@pytest.mark.tampers
def test_a_signer_that_is_away_is_not_waited_for(
    api: Api, ada: Persona, attempt: Json, sql: connection
) -> None:
    """Its oldest unsigned entry is older than a signer at work would leave it."""
    run(
        sql,
        "ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " UPDATE audit_log SET recorded_at = recorded_at - interval '1 minute'"
        " WHERE seq >= (SELECT max(size) FROM checkpoints)",
    )
    began = time.monotonic()

    files = unzipped(bundle_of(api, ada, attempt))

    assert time.monotonic() - began < COVER_SECONDS
    manifest = json.loads(files["manifest.json"])
    assert manifest["checkpoint"]["size"] <= manifest["exported_by"]


def test_what_came_after_the_checkpoint_is_said_to_be_newer(
    api: Api, ada: Persona, attempt: Json, outside: Outside
) -> None:
    code, found = verified(bundle_of(api, ada, attempt), outside)

    assert found["problems"] == []
    assert (code, found["verdict"]) == (0, "internally_consistent")
    assert "attempt.submitted" in details(found)["newer entries"]


def test_too_few_witnesses_are_no_anchor(
    api: Api, ada: Persona, attempt: Json, outside: Outside
) -> None:
    outside.anchor()

    bundle = covered_bundle_of(api, ada, attempt, outside, witnesses=1)

    code, found = verified(bundle, outside)

    assert (code, found["verdict"]) == (2, "incomplete")
    assert WITNESSES[1].verifier.name in found["problems"][0]["detail"]


def test_the_log_alone_is_no_anchor(
    api: Api, ada: Persona, attempt: Json, outside: Outside, sql: connection
) -> None:
    run(sql, "UPDATE checkpoints SET cosigned_note = NULL, cosigned_at = NULL")
    sign(outside.settings, outside.files)

    code, found = verified(bundle_of(api, ada, attempt), outside)

    assert (code, found["verdict"]) == (2, "incomplete")


@pytest.mark.tampers
def test_an_entry_that_was_written_anew_with_its_hash_is_found(
    api: Api, ada: Persona, attempt: Json, outside: Outside, sql: connection
) -> None:
    """What a chain alone can't find: the last entry of an attempt, hashed again."""
    outside.anchor()
    bundle = unzipped(covered_bundle_of(api, ada, attempt, outside))
    seq = scalar(sql, "SELECT seq FROM audit_log WHERE event_type='attempt.submitted'")
    run(
        sql,
        "ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " UPDATE audit_log SET actor_id = 'system' WHERE seq = %s;"
        " UPDATE audit_log SET hash = audit_hash("
        "   (SELECT log_id FROM audit_head), seq, previous_hash, recorded_at, xid,"
        "   flags, schema_version, payload_hash, state_hash, audit_subject("
        "   attempt_id::text, actor_id, event_type, entity_type, entity_id))"
        " WHERE seq = %s",
        seq,
        seq,
    )

    code, found = verified(bundle_of(api, ada, attempt), outside)

    assert (code, found["verdict"]) == (1, "tampered")
    assert ("proofs.jsonl", seq) in {
        (each["file"], each["entry"]) for each in found["problems"]
    }
    assert len(bundle["proofs.jsonl"].splitlines()) > 3


@pytest.mark.tampers
def test_an_older_checkpoint_that_the_log_does_not_continue_is_found(
    api: Api, ada: Persona, attempt: Json, outside: Outside, sql: connection
) -> None:
    """Another history was signed once: the note of it is what gives it away."""
    outside.anchor()
    (first,) = run(
        sql, "SELECT size, cosigned_note FROM checkpoints ORDER BY 1 LIMIT 1"
    )
    lines = str(first[1]).splitlines(keepends=True)
    lines[2] = "A" * 43 + "=\n"
    text = "".join(lines[:3])
    signer = read_keys(outside.files.keys).signers[0]
    note = Note(
        text, (signer.sign(text), *(each.cosign(text, AT) for each in WITNESSES))
    )
    run(
        sql,
        "UPDATE checkpoints SET cosigned_note = %s WHERE size = %s",
        note.render(),
        first[0],
    )

    code, found = verified(bundle_of(api, ada, attempt), outside)

    assert (code, found["verdict"]) == (1, "tampered")
    assert {each["file"] for each in found["problems"]} == {"earlier.jsonl"}


@pytest.mark.tampers
def test_damaged_tiles_are_said_to_be_damaged(
    api: Api, ada: Persona, attempt: Json, outside: Outside, sql: connection
) -> None:
    outside.anchor()
    run(sql, "UPDATE merkle_tiles SET hashes = overlay(hashes placing 'x' from 9)")
    before = scalar(sql, "SELECT count(*) FROM audit_log")

    response = api.as_(ada).get(f"/api/blockchain/attempt/{attempt['id']}/bundle")

    assert body(response, 409)["type"] == "/problems/proof-does-not-hold"
    # Nothing has left, and nothing says that it has.
    assert scalar(sql, "SELECT count(*) FROM audit_log") == before


@pytest.fixture
def naming_app(settings: Settings, outside: Outside) -> Iterator[Flask]:
    """An application that tells which keys the log has."""
    (period,) = read_keys(outside.files.keys).periods
    with playing(replace(settings, audit_log_vkeys=(period.vkey,))) as application:
        yield application


def test_the_keys_of_the_log_are_named_for_information(
    naming_app: Flask, ada: Persona, attempt: Json, outside: Outside
) -> None:
    outside.anchor()
    content = covered_bundle_of(Api(naming_app), ada, attempt, outside)

    code, found = verified(content, outside)

    assert "quorum none" in unzipped(content)["policy.txt"].decode()
    assert (code, found["verdict"]) == (0, "consistent_with_anchor")
