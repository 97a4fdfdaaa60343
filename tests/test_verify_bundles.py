"""verifier/verify.py: what it says of bundles that were forged, by whom ever."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles import (
    BATCH_ID,
    BEGAN_US,
    BOARD,
    EVENTS,
    LOG_KEY,
    ORIGIN,
    OTHER_ID,
    POLICY,
    UNION,
    Files,
    Key,
    Log,
    as_json,
    bundle,
    listed,
    written_log,
)
from tests.exams import Json
from tests.forgeries import (
    ENTRIES,
    PROOFS,
    SIZE,
    Forgery,
    examined,
    line,
    put,
    set_to,
    swapped,
    without,
)
from verifier import verify as verifier


@pytest.fixture(scope="module")
def log() -> Log:
    return written_log()


@pytest.fixture(scope="module")
def files(log: Log) -> Files:
    return bundle(log, SIZE)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy"
    path.write_text(POLICY)
    return str(path)


def results(report: verifier.Report) -> dict[str, str]:
    return {check.name: check.result for check in report.checks}


def test_an_intact_bundle_is_consistent_with_its_anchor(
    files: Files, policy: str
) -> None:
    report = examined(files, policy)

    assert report.problems == []
    assert report.verdict == "consistent_with_anchor"
    assert {name for name, result in results(report).items() if result == "passed"} == {
        *("files", "entries", "order", "identity", "checkpoint", "signatures"),
        *("inclusion", "history", "completeness", "client's counter", "rows"),
    }
    assert "newer entries" in results(report)


def test_keys_that_come_with_it_prove_nothing(files: Files) -> None:
    report = examined(files)

    assert report.problems == []
    assert report.verdict == "internally_consistent"
    assert results(report)["signatures"] == "not_checked"


def test_a_policy_can_be_confirmed_by_its_fingerprint(files: Files) -> None:
    fingerprint = hashlib.sha256(POLICY.encode()).hexdigest()

    assert examined(files, None, fingerprint).verdict == "consistent_with_anchor"
    assert examined(files, None, fingerprint[::-1]).verdict == "tampered"
    without = {name: files[name] for name in files if name != "policy.txt"}
    assert examined(listed(without), None, fingerprint).verdict == "incomplete"


def test_without_a_checkpoint_it_says_what_is_missing(log: Log, policy: str) -> None:
    files = bundle(log, None)

    alone, wanted = examined(files), examined(files, policy)

    assert alone.verdict == "internally_consistent"
    assert wanted.verdict == "incomplete"
    for name in ("checkpoint", "inclusion", "signatures"):
        assert results(alone)[name] == "not_checked"


def test_what_is_newer_than_the_checkpoint_is_not_anchored(
    log: Log, policy: str
) -> None:
    report = examined(bundle(log, SIZE - 3), policy)

    assert report.problems == []
    assert report.verdict == "internally_consistent"
    assert results(report)["anchor"] == "not_checked"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda text: text.replace("two 2", "two 3"), "incomplete"),
        (lambda text: text.replace("two 2", "two 1"), "consistent_with_anchor"),
        (
            lambda text: text.replace(LOG_KEY.text, Key("another", 0x01).text),
            "incomplete",
        ),
        (
            lambda text: text.replace(LOG_KEY.text, Key(ORIGIN, 0xFF).text),
            "incomplete",
        ),
        (lambda text: text.replace(BOARD.text, Key("x", 0x06).text), "incomplete"),
        (
            lambda text: text.replace("quorum two", "quorum none"),
            "internally_consistent",
        ),
        (lambda _: "quorum", "incomplete"),
        (lambda _: "", "incomplete"),
    ],
)
def test_the_policy_of_the_panel_decides(
    files: Files, tmp_path: Path, change: Callable[[str], str], verdict: str
) -> None:
    path = tmp_path / "policy"
    path.write_text(change(POLICY))

    assert examined(files, str(path)).verdict == verdict


def test_a_policy_that_is_not_there_is_no_policy(files: Files, tmp_path: Path) -> None:
    assert examined(files, str(tmp_path / "nothing")).verdict == "incomplete"
    assert examined(files, str(tmp_path)).verdict == "incomplete"


def rehashed(files: Files) -> Files:
    """Change an entry and give it the hash that fits, as who has the code can."""

    def change(record: Json) -> None:
        record["actor_id"] = "somebody else"
        ((_, read),) = verifier.read_lines(as_json(record))
        log_id = bytes.fromhex(json.loads(files["manifest.json"])["log_id"])
        record["hash"] = verifier.entry_hash(verifier.read_entry(read), log_id).hex()

    return line("entries.jsonl", 3, change)(files)


def resigned(files: Files) -> Files:
    """Let a stranger sign another state under the log's name."""
    stranger = Key(ORIGIN, 0x01)
    text = f"{ORIGIN}\n11\n{'A' * 43}=\n"
    note = f"{text}\n{stranger.sign(text)}"
    return listed(
        files | {"checkpoint.txt": note.encode()},
        checkpoint={"size": 11, "root": bytes(32).hex()},
    )


def of_checkpoint(change: Callable[[str], str]) -> Forgery:
    return lambda files: listed(
        files | {"checkpoint.txt": change(files["checkpoint.txt"].decode()).encode()}
    )


FORGERIES: dict[str, tuple[Forgery, str, str, int | None]] = {
    "an actor": (line(ENTRIES, 3, set_to("actor_id", "x")), "tampered", ENTRIES, 5),
    "an actor, erased": (
        line(ENTRIES, 3, set_to("actor_id", None)),
        *("tampered", ENTRIES, 5),
    ),
    "a time": (line(ENTRIES, 3, set_to("recorded_at_us", 1)), "tampered", ENTRIES, 5),
    "an attempt": (
        line(ENTRIES, 3, set_to("attempt_id", OTHER_ID)),
        *("tampered", ENTRIES, 5),
    ),
    "a payload": (line(ENTRIES, 3, set_to("payload", "{}")), "tampered", ENTRIES, 5),
    "a salt": (
        line(ENTRIES, 3, set_to("payload_salt", "00" * 32)),
        *("tampered", ENTRIES, 5),
    ),
    "no payload": (
        line(ENTRIES, 3, lambda it: it.update(payload=None, payload_salt=None)),
        *("incomplete", ENTRIES, 5),
    ),
    "a hash": (line(ENTRIES, 3, set_to("hash", "00" * 32)), "tampered", ENTRIES, 5),
    "an entry and its hash": (rehashed, "tampered", PROOFS, 5),
    "a field too many": (line(ENTRIES, 3, set_to("x", 1)), "tampered", ENTRIES, None),
    "a field too few": (
        line(ENTRIES, 3, lambda it: it.pop("xid")),
        *("tampered", ENTRIES, None),
    ),
    "true as a number": (
        line(ENTRIES, 3, set_to("flags", value=False)),
        *("tampered", ENTRIES, None),
    ),
    "two entries": (swapped(ENTRIES), "tampered", ENTRIES, 0),
    "no genesis": (without(ENTRIES, 0), "tampered", PROOFS, 0),
    "no start": (without(ENTRIES, 1), "tampered", PROOFS, 2),
    "no events": (without(ENTRIES, 2), "tampered", ENTRIES, 12),
    "no export": (without(ENTRIES, -1), "incomplete", ENTRIES, None),
    "no entries": (put(ENTRIES, b""), "tampered", ENTRIES, None),
    "an entry twice": (
        lambda files: listed(
            files
            | {ENTRIES: files[ENTRIES] + files[ENTRIES].splitlines(keepends=True)[-1]}
        ),
        *("tampered", ENTRIES, 12),
    ),
    "half an entry": (
        lambda files: listed(files | {ENTRIES: files[ENTRIES][:-9]}),
        *("tampered", ENTRIES, None),
    ),
    "a space": (
        lambda files: listed(
            files | {ENTRIES: files[ENTRIES].replace(b'"flags":0', b'"flags": 0', 1)}
        ),
        *("tampered", ENTRIES, None),
    ),
    "a path": (
        line(PROOFS, 2, lambda it: it["path"].reverse()),
        *("tampered", PROOFS, 3),
    ),
    "a proof's place": (line(PROOFS, 2, set_to("seq", 4)), "tampered", PROOFS, 4),
    "no proof": (without(PROOFS, 2), "incomplete", PROOFS, 3),
    "no proofs": (
        lambda files: listed({n: c for n, c in files.items() if n != PROOFS}),
        *("incomplete", PROOFS, None),
    ),
    "another state": (resigned, "tampered", PROOFS, 0),
    "another log's state": (
        of_checkpoint(lambda text: text.replace(ORIGIN, "proctoring/other")),
        *("tampered", "checkpoint.txt", None),
    ),
    "no state": (put("checkpoint.txt", b"x"), "tampered", "checkpoint.txt", None),
    "a state that is spoken of": (
        lambda files: listed({n: c for n, c in files.items() if n != "checkpoint.txt"}),
        *("incomplete", "checkpoint.txt", None),
    ),
    "history": (
        line("earlier.jsonl", 0, lambda it: it["proof"].reverse()),
        *("tampered", "earlier.jsonl", None),
    ),
    "an answer": (
        line("rows/answers.jsonl", 0, set_to("response", "x")),
        *("tampered", "rows/answers.jsonl", None),
    ),
    "an older answer": (
        line("rows/answers.jsonl", 0, set_to("client_version", 1)),
        *("tampered", "rows/answers.jsonl", None),
    ),
    "no answer": (
        put("rows/answers.jsonl", b""),
        *("tampered", "rows/answers.jsonl", None),
    ),
    "an event": (
        line("rows/events.jsonl", 1, set_to("severity", "critical")),
        *("tampered", "rows/events.jsonl", None),
    ),
    "an invented event": (
        line("rows/events.jsonl", 1, set_to("id", OTHER_ID)),
        *("tampered", "rows/events.jsonl", None),
    ),
    "no events in the rows": (
        put("rows/events.jsonl", b""),
        *("tampered", "rows/events.jsonl", None),
    ),
    "a score": (
        line("rows/analyses.jsonl", 0, set_to("risk_score", "99")),
        *("tampered", "rows/analyses.jsonl", None),
    ),
    "a score that is none": (
        line("rows/analyses.jsonl", 0, set_to("risk_score", "high")),
        *("tampered", "rows/analyses.jsonl", None),
    ),
    "an end": (
        line("rows/attempt.json", 0, set_to("ended_by", "proctor")),
        *("tampered", "rows/attempt.json", None),
    ),
    "a list for a row": (
        put("rows/attempt.json", b"[]"),
        *("tampered", "rows/attempt.json", None),
    ),
    "the attempt's id": (
        lambda files: listed(files, attempt_id=OTHER_ID),
        *("tampered", ENTRIES, 2),
    ),
    "the log's id": (
        lambda files: listed(files, log_id="00" * 16),
        *("tampered", ENTRIES, 0),
    ),
    "the origin": (
        lambda files: listed(files, origin="x"),
        *("tampered", "manifest.json", None),
    ),
    "the count": (lambda files: listed(files, entries=6), "tampered", ENTRIES, None),
    "who exported": (
        lambda files: listed(files, exported_by=9),
        *("incomplete", ENTRIES, None),
    ),
    "the size": (
        lambda files: listed(files, checkpoint={"size": 10, "root": "00" * 32}),
        *("tampered", "checkpoint.txt", None),
    ),
    "the format": (
        lambda files: listed(files, format="proctoring-evidence/2"),
        *("incomplete", "manifest.json", None),
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_and_named(files: Files, name: str) -> None:
    """Each with a manifest that fits it again."""
    forge, verdict, file, entry = FORGERIES[name]

    report = examined(forge(files))

    assert report.verdict == verdict
    assert (file, entry) in {(each.file, each.entry) for each in report.problems}


@pytest.mark.parametrize(
    ("recorded_at_us", "entry"),
    [
        # Dated behind the next one, and before the first.
        (BEGAN_US + 3_600_000_000, 3),
        (BEGAN_US - 1, 2),
    ],
)
def test_a_time_that_goes_back_is_found(recorded_at_us: int, entry: int) -> None:
    """The hashes are right: whoever wrote this log made it so."""
    report = examined(bundle(written_log(recorded_at_us=recorded_at_us), SIZE))

    assert [(each.file, each.entry) for each in report.problems] == [(ENTRIES, entry)]
    assert report.verdict == "tampered"


def test_an_attempt_that_never_began_is_incomplete() -> None:
    report = examined(bundle(written_log("attempt.resumed"), SIZE))

    assert [each.detail for each in report.problems] == [
        "no entry says that the attempt was started"
    ]
    assert report.verdict == "incomplete"


def test_an_entry_that_continues_another_one_is_found() -> None:
    forged = written_log()
    forged.lines[3:] = []
    forged.append(
        "proctoring.events_recorded",
        {"events": EVENTS},
        entity_type="event_batch",
        entity_id=BATCH_ID,
        previous_hash=bytes(32),
    )

    found = {
        (each.file, each.entry, each.detail)
        for each in examined(bundle(forged, None)).problems
    }

    assert (ENTRIES, 3, "it does not continue the entry before it") in found


def test_entries_of_a_log_that_is_called_otherwise_are_found(log: Log) -> None:
    """Written under an id that is not the first entry's."""
    other, its_id = Log(), bytes(16)
    names = ("event_type", "entity_type", "entity_id", "attempt_id", "actor_id")
    for entry in log.lines:
        kept = {name: entry[name] for name in names}
        other.append(payload=json.loads(entry["payload"]), log_id=its_id, **kept)
    other.log_id = its_id

    report = examined(bundle(other, SIZE))

    assert [each.file for each in report.problems] == ["manifest.json"]


def test_a_state_of_another_log_is_none(files: Files, log: Log, tmp_path: Path) -> None:
    """The other log may have the same entries, and sign with a key that counts."""
    other = Key("proctoring/other", 0x01)
    text = log.checkpoint(SIZE, other.name)
    note = f"{text}\n{other.sign(text)}{BOARD.cosign(text)}{UNION.cosign(text)}"
    path = tmp_path / "policy"
    path.write_text(POLICY.replace("witness board", f"log {other.text}\nwitness board"))

    report = examined(of_checkpoint(lambda _: note)(files), str(path))

    assert "checkpoint.txt" in {each.file for each in report.problems}
    assert report.verdict == "tampered"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(BOARD.name, "witness.example/other"),
        lambda text: "".join(
            line
            for line in text.splitlines(keepends=True)
            if LOG_KEY.name + " " not in line
        ),
        lambda text: "".join(
            line for line in text.splitlines(keepends=True) if UNION.name not in line
        ),
    ],
)
def test_a_signature_that_is_taken_away_is_missed(
    files: Files, policy: str, change: Callable[[str], str]
) -> None:
    report = examined(of_checkpoint(change)(files), policy)

    assert report.verdict == "incomplete"
    assert [each.file for each in report.problems] == ["checkpoint.txt"]


@pytest.mark.parametrize("name", bundle(written_log(), SIZE))
def test_a_file_that_is_not_the_listed_one_is_named(files: Files, name: str) -> None:
    if name == "manifest.json":
        assert examined(files | {name: b"{}"}).verdict == "incomplete"
        return
    changed = examined(files | {name: files[name] + b" "})
    missing = examined({each: files[each] for each in files if each != name})

    assert changed.verdict == "tampered"
    assert (name, None) in {(each.file, each.entry) for each in changed.problems}
    assert missing.verdict in {"incomplete", "tampered"}
    assert name in {each.file for each in missing.problems}


@pytest.mark.parametrize("name", ["entries.jsonl", "proofs.jsonl"])
def test_not_one_byte_can_be_another(files: Files, name: str) -> None:
    """Whoever edits these can write the manifest too; that does not help him."""
    manifest = verifier.read_manifest(files["manifest.json"])
    note = verifier.parse_note(files["checkpoint.txt"])
    checkpoint = verifier.parse_checkpoint(note.text)
    content = files[name]
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        forged = files | {name: bytes(flipped)}
        report = verifier.Report("")

        entries = verifier.check_entries(manifest, forged["entries.jsonl"], report)
        if not report.problems:
            verifier.check_inclusion(forged, entries, checkpoint, report)

        assert report.problems, place


def test_not_one_byte_of_a_checkpoint_can_be_another(files: Files, policy: str) -> None:
    content = files["checkpoint.txt"]
    trust = verifier.read_trust(files, policy, None, verifier.Report(""))
    manifest = verifier.read_manifest(files["manifest.json"])
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        report = verifier.Report("")

        verifier.check_checkpoint(
            manifest,
            (manifest.origin,),
            {"checkpoint.txt": bytes(flipped)},
            trust,
            report,
        )

        assert report.problems, place
        assert not report.is_anchored


def test_numbers_that_never_came_are_told_and_are_no_crime() -> None:
    hole = [{**EVENTS[0], "sequence": 3}, EVENTS[1], EVENTS[2]]
    recorded = verifier.Recorded()
    recorded.add_events("batch", hole)

    assert verifier._holes(sorted(recorded.sequences)) == "1"  # noqa: SLF001
    assert verifier._holes([1, 2, 5, 9]) == "3 to 4, 6 to 8"  # noqa: SLF001
    assert verifier._holes([1, 2, 3]) == ""  # noqa: SLF001
