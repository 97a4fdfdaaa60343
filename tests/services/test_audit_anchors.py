"""Only what was kept outside the database tells a rewritten log from the true one.

And what could not be asked, or is not believed, never makes a verdict better.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg2.extensions import connection

from models.checkpoint import StoredCheckpoint
from models.connection_settings import ConnectionSettings
from models.database import Database
from services.audit_anchors import NO_ANCHORS, Anchors, Trust
from services.audit_findings import CheckResult, Verdict, Verification
from services.audit_verification import Outside, verify
from services.checkpoint_files import Files, read_keys
from services.witnessing import ConfiguredWitness
from tests.audit_trail import append
from tests.checkpoints import sign
from tests.tampering import allow_everything, cut, forget_signatures, rewrite
from tests.witnesses import Log, Running, serving
from utils.checkpoint import Checkpoint
from utils.signed_note import COSIGNATURE, ED25519, Note, Signer
from utils.tlog_policy import Policy

pytestmark = pytest.mark.tampers

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def signer(files: Files) -> Signer:
    return read_keys(files.keys).signers[-1]


@pytest.fixture
def signed(
    database: Database, connection_settings: ConnectionSettings, files: Files
) -> StoredCheckpoint:
    """A checkpoint of nine entries, behind which there are two more."""
    append(database, 8)
    made = sign(connection_settings, files)
    assert made is not None
    append(database, 2)
    return made


@pytest.fixture
def witness(
    tmp_path: Path, signer: Signer, signed: StoredCheckpoint
) -> Iterator[Running]:
    """One that trusts this log's key and has cosigned the checkpoint."""
    log = Log(signer=signer, origin=signer.name)
    with serving(tmp_path / "witness", log) as running:
        running.post(b"old 0\n\n" + signed.note.encode())
        yield running


def trusting(signer: Signer, *witnesses: Running | ConfiguredWitness) -> Trust:
    return Trust(
        log_keys=(signer.verifier,),
        witnesses=tuple(ConfiguredWitness(each.key, each.url) for each in witnesses),
    )


def verified_with(settings: ConnectionSettings, anchors: Anchors) -> Verification:
    return verify(settings, outside=Outside(anchors=anchors))


def anchor(found: Verification) -> CheckResult:
    return next(check.result for check in found.checks if check.name == "anchor")


def test_a_file_that_was_kept_makes_an_anchor(
    connection_settings: ConnectionSettings, signer: Signer, signed: StoredCheckpoint
) -> None:
    kept = {"board.txt": signed.note.encode()}

    found = verified_with(connection_settings, trusting(signer).read(kept))

    assert found.valid
    assert found.verdict is Verdict.CONSISTENT_WITH_ANCHOR
    assert found.unanchored_entries == 2
    (told,) = found.anchors
    assert (told.source, told.size, told.result) == (
        "the file board.txt",
        9,
        CheckResult.PASSED,
    )
    assert told.detail == f"signed by {signer.verifier.name}"


def test_a_file_is_the_verifiers_word_even_if_he_names_no_key(
    connection_settings: ConnectionSettings, signed: StoredCheckpoint
) -> None:
    kept = {"board.txt": signed.note.encode()}

    found = verified_with(connection_settings, Trust().read(kept))

    assert found.verdict is Verdict.CONSISTENT_WITH_ANCHOR
    assert "its signature was not checked" in found.anchors[0].detail


def test_a_witness_makes_an_anchor_and_says_when(
    connection_settings: ConnectionSettings, signer: Signer, witness: Running
) -> None:
    found = verified_with(connection_settings, trusting(signer, witness).ask())

    assert found.verdict is Verdict.CONSISTENT_WITH_ANCHOR
    assert found.unanchored_entries == 2
    (told,) = found.anchors
    assert told.source == f"the witness {witness.key.name}"
    # The clock of the witness that the tests run.
    assert told.witnessed_at is not None
    assert told.witnessed_at.timestamp() == 1_800_000_000
    assert f"cosigned by {witness.key.name} at 2027-01-15" in told.detail


@pytest.mark.parametrize("seq", [1, 8])
def test_a_new_history_is_contradicted_though_nothing_inside_does(
    connection_settings: ConnectionSettings,
    sql: connection,
    signer: Signer,
    witness: Running,
    signed: StoredCheckpoint,
    seq: int,
) -> None:
    allow_everything(sql)
    rewrite(sql, seq)
    forget_signatures(sql)
    trust = trusting(signer, witness)
    anchors = trust.ask() + trust.read({"kept": signed.note.encode()})

    alone = verify(connection_settings)
    found = verified_with(connection_settings, anchors)

    assert alone.verdict is Verdict.INTERNALLY_CONSISTENT
    assert found.verdict is Verdict.TAMPERED
    assert found.errors_by_class == {"checkpoint": 2}
    assert anchor(found) is CheckResult.FAILED
    assert found.unanchored_entries is None
    assert all(each.expected == signed.root.hex() for each in found.errors)


def test_what_is_behind_the_anchor_is_counted_and_not_vouched_for(
    connection_settings: ConnectionSettings,
    sql: connection,
    signer: Signer,
    witness: Running,
) -> None:
    allow_everything(sql)
    rewrite(sql, 9)

    found = verified_with(connection_settings, trusting(signer, witness).ask())

    # Nobody outside has seen the two, and the report does not say so.
    assert found.verdict is Verdict.CONSISTENT_WITH_ANCHOR
    assert found.unanchored_entries == 2


def test_an_old_copy_is_contradicted(
    connection_settings: ConnectionSettings,
    sql: connection,
    signer: Signer,
    witness: Running,
) -> None:
    allow_everything(sql)
    cut(sql, 6)
    forget_signatures(sql)

    found = verified_with(connection_settings, trusting(signer, witness).ask())

    assert verify(connection_settings).valid
    assert [(each.seq, str(each.reason)) for each in found.errors] == [
        (6, "checkpoint")
    ]
    assert "the end of the log is missing" in found.errors[0].detail


def not_believed(
    signer: Signer, witness: Running, signed: StoredCheckpoint
) -> Mapping[str, tuple[Anchors, str]]:
    """What is to be held for nothing, and why."""
    stranger = Signer.generate("somebody.example/witness", COSIGNATURE).verifier
    forger = Signer.generate(signer.verifier.name, ED25519)
    other = Signer.generate("other.example/log", ED25519)
    note = signed.note.encode()
    forged = note_by(forger, signed)
    # A right signature, and a wrong one of the same key.
    line = signed.note.splitlines()[-1]
    spoiled = signed.note + line[:-4] + ("AAA=" if line[-4:] != "AAA=" else "BBB=")
    trust = trusting(signer)
    return {
        "a witness that is away": (
            trusting(signer, ConfiguredWitness(stranger, NOWHERE)).ask(),
            "did not answer",
        ),
        "a witness without an address": (
            trusting(signer, ConfiguredWitness(stranger, "http://")).ask(),
            "its address is none",
        ),
        "a witness of other logs": (
            trusting(other, witness).ask(),
            "has never seen a checkpoint of other.example/log",
        ),
        "a witness with another key": (
            trusting(signer, ConfiguredWitness(stranger, witness.url)).ask(),
            "has not cosigned",
        ),
        "a witness, and no key of the log": (
            replace(trusting(signer, witness), log_keys=()).ask(),
            "no key of the log was given",
        ),
        "a witness of a log with another key": (
            trusting(forger, witness).ask(),
            "no key that was given",
        ),
        "a file by a forger": (
            trust.read({"f": forged.encode()}),
            "no key that was given",
        ),
        "a file with a wrong signature": (
            trust.read({"f": spoiled.encode() + b"\n"}),
            "",
        ),
        "a file of another log": (
            replace(trust, log_keys=(other.verifier,)).read(
                {"f": note_by(other, signed).encode()}
            ),
            "of the log other.example/log, which is another",
        ),
        "a file of no entries": (
            trust.read({"f": note_by(signer, signed, size=0).encode()}),
            "without entries",
        ),
        "an empty file": (trust.read({"f": b""}), "it is no checkpoint"),
        "a file that is none": (trust.read({"f": b"\xff\x00"}), "it is no checkpoint"),
        "a file without signatures": (
            trust.read({"f": note.partition(b"\n\n")[0] + b"\n"}),
            "it is no checkpoint",
        ),
        "a note that is no checkpoint": (
            Trust().read({"f": note_of(signer, "hello\n").encode()}),
            "it is no checkpoint",
        ),
    }


def note_by(signer: Signer, signed: StoredCheckpoint, size: int | None = None) -> str:
    size = signed.size if size is None else size
    return note_of(signer, Checkpoint(signer.verifier.name, size, signed.root).render())


def note_of(signer: Signer, text: str) -> str:
    return Note(text, (signer.sign(text),)).render()


def test_what_is_not_believed_makes_no_verdict_better(
    connection_settings: ConnectionSettings,
    signer: Signer,
    witness: Running,
    signed: StoredCheckpoint,
) -> None:
    for what, (anchors, why) in not_believed(signer, witness, signed).items():
        found = verified_with(connection_settings, anchors)

        assert found.verdict is Verdict.INTERNALLY_CONSISTENT, what
        assert anchor(found) is CheckResult.NOT_CHECKED, what
        (told,) = found.anchors
        assert why in told.detail, (what, told.detail)
        assert found.unanchored_entries is None


def test_an_anchor_that_could_not_be_had_does_not_hide_one_that_could(
    connection_settings: ConnectionSettings, signer: Signer, witness: Running
) -> None:
    away = ConfiguredWitness(
        Signer.generate("away.example", COSIGNATURE).verifier, NOWHERE
    )

    found = verified_with(connection_settings, trusting(signer, away, witness).ask())

    assert found.verdict is Verdict.CONSISTENT_WITH_ANCHOR
    assert {each.source: each.result for each in found.anchors} == {
        "the witness away.example": CheckResult.NOT_CHECKED,
        f"the witness {witness.key.name}": CheckResult.PASSED,
    }


def test_an_anchor_is_only_compared_with_what_was_read(
    connection_settings: ConnectionSettings,
    signer: Signer,
    signed: StoredCheckpoint,
) -> None:
    outside = Outside(anchors=trusting(signer).read({"kept": signed.note.encode()}))

    behind = verify(connection_settings, from_seq=1, outside=outside)
    before = verify(connection_settings, to_seq=5, outside=outside)
    enough = verify(connection_settings, to_seq=8, outside=outside)

    assert [each.verdict for each in (behind, before, enough)] == [
        Verdict.INTERNALLY_CONSISTENT,
        Verdict.INTERNALLY_CONSISTENT,
        Verdict.CONSISTENT_WITH_ANCHOR,
    ]
    assert enough.unanchored_entries == 0


def test_a_policy_asks_for_its_quorum_of_one_text(
    connection_settings: ConnectionSettings,
    tmp_path: Path,
    signer: Signer,
    signed: StoredCheckpoint,
) -> None:
    log = Log(signer=signer, origin=signer.name)
    with ExitStack() as stack:
        board, union = (
            stack.enter_context(
                serving(
                    tmp_path / name,
                    log,
                    signer=Signer.generate(f"{name}.example", COSIGNATURE),
                )
            )
            for name in ("board", "union")
        )
        trust = Trust(
            policy=Policy.parse(
                f"log {signer.verifier}\n"
                f"witness board {board.key} {board.url}\n"
                f"witness union {union.key} {union.url}\n"
                "group both all board union\nquorum both\n"
            )
        )
        nobody = verified_with(connection_settings, trust.ask())
        board.post(b"old 0\n\n" + signed.note.encode())
        one = verified_with(connection_settings, trust.ask())
        union.post(b"old 0\n\n" + signed.note.encode())
        both = verified_with(connection_settings, trust.ask())
        kept = verified_with(
            connection_settings, trust.read({"kept": signed.note.encode()})
        )

    assert nobody.verdict is Verdict.INTERNALLY_CONSISTENT
    assert one.verdict is Verdict.INTERNALLY_CONSISTENT
    assert "enough cosignatures for the quorum 'both'" in one.anchors[-1].detail
    assert both.verdict is Verdict.CONSISTENT_WITH_ANCHOR
    assert "board.example and the witness union.example" in both.anchors[0].source
    assert kept.verdict is Verdict.INTERNALLY_CONSISTENT


def test_without_anchors_there_is_none(
    connection_settings: ConnectionSettings, signed: StoredCheckpoint
) -> None:
    assert signed.size == 9
    assert Trust().ask() == Trust().read({}) == NO_ANCHORS

    found = verified_with(connection_settings, NO_ANCHORS)

    assert found.anchors == ()
    assert anchor(found) is CheckResult.NOT_CHECKED
