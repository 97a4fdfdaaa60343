"""Timestamps of checkpoints over HTTP and in bundles, verified again by OpenSSL."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificates
from psycopg2.extensions import connection

from checkpointer.__main__ import ROLE
from models.connection_settings import ConnectionSettings
from models.database import Database
from services import timestamp_client
from services.checkpoint_files import Files
from services.timestamping import Timestamping
from tests import authorities
from tests.audit_trail import append, append_together, run
from tests.authorities import Authority, openssl, serving
from tests.bundles import VERIFY_PY, unzipped
from tests.checkpoints import files_in, sign
from tests.exams import Json, active, body, start
from tests.personas import Api, Persona

PATH = "/api/blockchain/timestamps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """The signer, and an authority that is asked when the test wants it."""

    settings: ConnectionSettings
    files: Files
    authority: Authority
    timestamping: Timestamping

    def stamp(self) -> int:
        """Sign what the log is now, and have it stamped; return its size."""
        made = sign(self.settings, self.files)
        assert made is not None
        (stamped,) = self.timestamping.stamp()
        assert stamped.size == made.size
        return made.size


@pytest.fixture
def office(
    connection_settings: ConnectionSettings, sql: connection, tmp_path: Path
) -> Iterator[Office]:
    authority = authorities.settle(tmp_path / "authority")
    with (
        serving(authority),
        closing(Database(replace(connection_settings, role=ROLE))) as signing,
    ):
        roots = load_pem_x509_certificates(authority.roots.read_bytes())
        asked = timestamp_client.Authority(authority.url, roots)
        yield Office(
            settings=connection_settings,
            files=files_in(tmp_path, sql),
            authority=authority,
            timestamping=Timestamping(signing, [asked], interval_seconds=0),
        )


def verified(directory: Path, text: bytes, answer: bytes, roots: Path) -> bool:
    (directory / "it.txt").write_bytes(text)
    (directory / "it.tsr").write_bytes(answer)
    said = openssl(
        *("ts", "-verify", "-data", directory / "it.txt", "-in", directory / "it.tsr"),
        *("-CAfile", roots),
    )
    return "Verification: OK" in said


def test_anybody_gets_what_was_stamped_and_verifies_it(
    api: Api, database: Database, office: Office, tmp_path: Path
) -> None:
    sizes = []
    for _ in range(3):
        append(database)
        sizes.append(office.stamp())
    anybody = api.as_(None)

    page = body(anybody.get(PATH, query_string={"limit": 2}))
    rest = body(anybody.get(PATH, query_string={"cursor": page["next_cursor"]}))

    found: list[Json] = page["items"] + rest["items"]
    assert [each["size"] for each in found] == sizes[::-1]
    assert rest["next_cursor"] is None
    for each in found:
        answer = anybody.get(f"{PATH}/{each['id']}")
        text = anybody.get(f"{PATH}/{each['id']}", headers={"Accept": "text/plain"})
        assert answer.content_type == "application/timestamp-reply"
        assert text.content_type == "text/plain; charset=utf-8"
        for reply in (answer, text):
            assert "immutable" in reply.headers["Cache-Control"]
            assert reply.headers["Vary"] == "Accept"
        assert text.text == each["note"]
        assert each["note_sha256"] == sha256(text.data).hexdigest()
        assert each["tsa_url"] == office.authority.url
        assert each["is_chain_verified"]
        assert verified(tmp_path, text.data, answer.data, office.authority.roots)


@pytest.mark.parametrize(
    "path", [f"{PATH}/1", f"{PATH}/9007199254740991", f"{PATH}/x", f"{PATH}/-1"]
)
def test_what_is_not_there_is_not_found(api: Api, path: str) -> None:
    assert body(api.as_(None).get(path), 404)["status"] == 404
    assert body(api.as_(None).get(PATH)) == {"items": [], "next_cursor": None}


def test_a_bundle_has_the_first_that_covers_the_end(
    api: Api,
    ada: Persona,
    alice: Persona,
    database: Database,
    office: Office,
    tmp_path: Path,
) -> None:
    append_together(database, 300)
    office.stamp()
    student = api.as_(alice)
    paper = start(student, active(api.as_(ada), alice.id))
    begun = office.stamp()
    body(student.post(f"/api/exams/attempts/{paper['id']}/submit"))
    append(database, 3)
    ended = office.stamp()
    append(database)
    office.stamp()

    reply = api.as_(ada).get(f"/api/blockchain/attempt/{paper['id']}/bundle")

    files = unzipped(reply.data)
    assert "authorities of time" in files["report.html"].decode()
    sizes = [int(files[f"tsa/{n}.txt"].split(b"\n")[1]) for n in (1, 2)]
    assert sizes == [begun, ended]
    assert "tsa/3.txt" not in files
    for number in (1, 2):
        assert verified(
            tmp_path,
            *(files[f"tsa/{number}.txt"], files[f"tsa/{number}.tsr"]),
            office.authority.roots,
        )
    archive = tmp_path / "evidence.zip"
    archive.write_bytes(reply.data)
    said = subprocess.run(
        [sys.executable, "-I", "-S", VERIFY_PY, archive],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "WRONG" not in said
    assert "openssl ts -verify -data tsa/2.txt -in tsa/2.tsr -CAfile CA.pem" in said


def test_one_that_is_newer_than_the_bundle_s_state_is_left_out(
    api: Api, ada: Persona, alice: Persona, office: Office, sql: connection
) -> None:
    """Witnesses are away: the bundle is of the last state that they confirmed."""
    student = api.as_(alice)
    paper = start(student, active(api.as_(ada), alice.id))
    made = sign(office.settings, office.files)
    assert made is not None
    run(
        sql,
        "UPDATE checkpoints SET cosigned_note = note, cosigned_at = clock_timestamp()",
    )
    body(student.post(f"/api/exams/attempts/{paper['id']}/submit"))
    office.stamp()

    reply = api.as_(ada).get(f"/api/blockchain/attempt/{paper['id']}/bundle")

    files = unzipped(reply.data)
    assert int(files["checkpoint.txt"].split(b"\n")[1]) == made.size
    assert not any(name.startswith("tsa/") for name in files)
    assert "timestamps.jsonl" not in files
