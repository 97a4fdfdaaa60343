"""verifier/verify.py: what it says of timestamps, and what it leaves to OpenSSL."""

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import authorities
from tests.authorities import Authority, openssl
from tests.bundles import (
    POLICY,
    VERIFY_PY,
    Files,
    Log,
    bundle,
    listed,
    stamped,
    written_log,
    zipped,
)
from tests.forgeries import SIZE, Forgery, examined, line, put, set_to, without
from verifier import verify as verifier

# Of the log that tests.bundles writes: the state that was stamped.
STAMPED_SIZE = 9
LIST, TEXT, ANSWER = "timestamps.jsonl", "tsa/1.txt", "tsa/1.tsr"


@pytest.fixture(scope="module")
def log() -> Log:
    return written_log()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authorities.settle(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(log: Log, authority: Authority) -> Files:
    return stamped(bundle(log, SIZE), log, STAMPED_SIZE, authority.stamp)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy"
    path.write_text(POLICY)
    return str(path)


def details(report: verifier.Report) -> dict[str, tuple[str, str]]:
    return {check.name: (check.result, check.detail) for check in report.checks}


def test_it_says_what_is_stamped_and_believes_no_time(
    files: Files, policy: str
) -> None:
    report = examined(files, policy)

    assert report.problems == []
    assert report.verdict == "consistent_with_anchor"
    result, detail = details(report)["timestamps"]
    assert result == "passed"
    assert f"{ANSWER}, with 5 entries, claims to be of 20" in detail
    result, detail = details(report)["signatures of timestamps"]
    assert result == "not_checked"
    assert "believes none of these times" in detail
    (fact,) = report.facts["timestamps"]
    claimed = datetime.fromisoformat(fact["claimed_at"].replace(" UTC", "Z"))
    assert 0 <= (datetime.now(UTC) - claimed).total_seconds() < 600


def test_the_command_that_it_prints_does_the_rest(
    files: Files, authority: Authority, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    said = subprocess.run(
        [sys.executable, "-I", "-S", VERIFY_PY, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (command,) = [each for each in said.splitlines() if "openssl ts" in each]
    (tmp_path / "CA.pem").write_bytes(authority.roots.read_bytes())

    done = subprocess.run(
        shlex.split(command), cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "Verification: OK" in done.stdout
    (tmp_path / TEXT).write_bytes(b"another\n")
    again = subprocess.run(
        shlex.split(command), cwd=tmp_path, capture_output=True, check=False
    )
    assert again.returncode != 0


def test_without_any_it_says_so(log: Log) -> None:
    result, detail = details(examined(bundle(log, SIZE)))["timestamps"]

    assert (result, "none" in detail) == ("not_checked", True)


def test_without_a_checkpoint_nothing_binds_them(log: Log, files: Files) -> None:
    alone = bundle(log, None)
    names = (LIST, TEXT, ANSWER)
    report = examined(listed(alone | {name: files[name] for name in names}))

    assert report.problems == []
    assert details(report)["timestamps"][0] == "not_checked"


def test_several_are_all_told_of(log: Log, authority: Authority, files: Files) -> None:
    report = examined(stamped(files, log, SIZE, authority.stamp))

    assert report.problems == []
    assert [each["size"] for each in report.facts["timestamps"]] == [9, SIZE]
    assert [command.split()[-3] for command in report.commands] == [
        "tsa/1.tsr",
        "tsa/2.tsr",
    ]


def of_another_log(files: Files) -> Files:
    other = written_log("attempt.reopened")
    text = other.checkpoint(STAMPED_SIZE)
    return listed(files | {TEXT: f"{text}\n{NOBODY}".encode()})


NOBODY = "\u2014 nobody AAAAAAA=\n"


def resigned(files: Files) -> Files:
    """Change a letter of the log's own signature."""
    changed = bytearray(files[TEXT])
    place = changed.index("\u2014 proctoring".encode()) + 40
    changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
    return listed(files | {TEXT: bytes(changed)})


def answering(change: Callable[[bytes], bytes]) -> Forgery:
    return lambda files: listed(files | {ANSWER: change(files[ANSWER])})


FORGERIES: dict[str, tuple[Forgery, str, str]] = {
    "another log's state": (of_another_log, "tampered", TEXT),
    "a signature under it": (resigned, "tampered", TEXT),
    "one more signature": (
        lambda files: listed(files | {TEXT: files[TEXT] + NOBODY.encode()}),
        *("tampered", ANSWER),
    ),
    "no note": (put(TEXT, b"x"), "tampered", TEXT),
    "garbage": (put(ANSWER, b"garbage"), "tampered", ANSWER),
    "nothing": (put(ANSWER, b""), "tampered", ANSWER),
    "half an answer": (answering(lambda it: it[: len(it) // 2]), "tampered", ANSWER),
    "something behind": (answering(lambda it: it + b"\0"), "tampered", ANSWER),
    "a refusal": (put(ANSWER, bytes.fromhex("30053003020102")), "tampered", ANSWER),
    "an endless length": (
        answering(lambda it: b"\x30\x80" + it[4:] + b"\0\0"),
        *("tampered", ANSWER),
    ),
    "no answer": (
        lambda files: listed({n: c for n, c in files.items() if n != ANSWER}),
        *("incomplete", ANSWER),
    ),
    "no text": (
        lambda files: listed({n: c for n, c in files.items() if n != TEXT}),
        *("incomplete", TEXT),
    ),
    "no list": (
        lambda files: listed({n: c for n, c in files.items() if n != LIST}),
        *("tampered", TEXT),
    ),
    "an empty list": (without(LIST, 0), "tampered", TEXT),
    "the history": (line(LIST, 0, set_to("proof", [])), "tampered", TEXT),
    "a name": (line(LIST, 0, set_to("name", "tsa/../1")), "tampered", LIST),
    "a name of none": (
        line(LIST, 0, set_to("name", "tsa/2")),
        "incomplete",
        "tsa/2.txt",
    ),
    "a name that is none": (line(LIST, 0, set_to("name", ["tsa/1"])), "tampered", LIST),
    "no address": (line(LIST, 0, set_to("tsa", None)), "tampered", LIST),
    "a field too many": (line(LIST, 0, set_to("x", 1)), "tampered", LIST),
    "the same twice": (
        lambda files: listed(files | {LIST: files[LIST] * 2}),
        *("tampered", LIST),
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_not_over_this_log_is_found_and_named(
    files: Files, policy: str, name: str
) -> None:
    forge, kind, file = FORGERIES[name]

    report = examined(forge(files), policy)

    assert report.verdict in {"tampered", "incomplete"}
    assert (kind, file) in {(each.kind, each.file) for each in report.problems}
    assert details(report)["timestamps"][0] == "failed"


@given(st.data())
def test_no_answer_makes_it_stumble(files: Files, data: st.DataObject) -> None:
    """Whatever becomes of the bytes, it is read or refused."""
    answer = bytearray(files[ANSWER])
    place = data.draw(st.integers(0, len(answer) - 1))
    length = data.draw(st.integers(0, 8))
    answer[place : place + length] = data.draw(st.binary(max_size=8))
    try:
        found = verifier.read_stamp(bytes(answer))
    except verifier.MalformedError:
        return
    assert len(found.digest) == 32


@given(st.binary(max_size=200))
def test_no_bytes_make_it_stumble(raw: bytes) -> None:
    with pytest.raises(verifier.MalformedError):
        verifier.read_stamp(raw)


def test_it_reads_what_openssl_reads(authority: Authority, tmp_path: Path) -> None:
    for content in (b"x", b"a longer text\n" * 1000):
        raw = authority.stamp(content)
        (tmp_path / "reply").write_bytes(raw)

        found = verifier.read_stamp(raw)

        assert found.digest == hashlib.sha256(content).digest()
        shown = openssl("ts", "-reply", "-in", tmp_path / "reply", "-text")
        written = found.claimed_at.strftime("%b %e %H:%M:%S %Y GMT")
        assert f"Time stamp: {written}" in shown


def test_the_report_for_machines_has_the_command(files: Files, tmp_path: Path) -> None:
    archive = tmp_path / "evidence.zip"
    archive.write_bytes(zipped(files))

    said = subprocess.run(
        [sys.executable, "-I", "-S", VERIFY_PY, archive, "--json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert json.loads(said)["commands"] == [
        f"openssl ts -verify -data {TEXT} -in {ANSWER} -CAfile CA.pem"
    ]
