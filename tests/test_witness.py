"""A witness to the letter of C2SP tlog-witness, over HTTP, on a real state file."""

import base64
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from services.witness_client import Behind, Cosigned, NeverSeen, Seen, latest
from tests.at_once import at_once
from tests.witnesses import NAME, ORIGIN, Log, Running, body, serving
from utils.merkle import EMPTY_ROOT
from utils.signed_note import COSIGNATURE, ED25519, Note, Signer, verified
from witness import store
from witness.refusals import BusyError

NOON = 1_800_000_000


@pytest.fixture
def log() -> Log:
    return Log.of_size(100)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def witness(state: Path, log: Log) -> Iterator[Running]:
    with serving(state, log) as running:
        yield running


def size_and_root(witness: Running) -> tuple[int, bytes]:
    ((found,), _) = witness.seen()
    return found.size, found.root


def test_the_first_checkpoint_is_cosigned(witness: Running, log: Log) -> None:
    answer = witness.post(log.body(0, 7))

    assert answer.status == 200
    line = answer.body.decode()
    assert re.fullmatch(f"\u2014 {NAME} [A-Za-z0-9+/]+=*\n", line)
    signed = Note.parse(log.note(7).encode() + answer.body)
    found = verified(signed, witness.key)
    assert found is not None
    assert found.timestamp_seconds == NOON
    assert size_and_root(witness) == (7, log.root(7))


@pytest.mark.parametrize(
    ("old_size", "size"), [(7, 8), (7, 64), (8, 64), (64, 100), (1, 100), (99, 100)]
)
def test_what_extends_it_is_cosigned(
    witness: Running, log: Log, old_size: int, size: int
) -> None:
    assert witness.push(log, 0, old_size) != Behind(0)

    answer = witness.push(log, old_size, size)

    assert witness.has_cosigned(log.note(size), answer)
    assert size_and_root(witness) == (size, log.root(size))


def test_the_same_checkpoint_is_cosigned_again(witness: Running, log: Log) -> None:
    witness.push(log, 0, 7)

    assert witness.has_cosigned(log.note(7), witness.push(log, 7, 7))


def test_an_empty_log_is_cosigned_and_then_grows(witness: Running, log: Log) -> None:
    assert witness.has_cosigned(log.note(0), witness.push(log, 0, 0))
    assert size_and_root(witness) == (0, EMPTY_ROOT)

    assert witness.has_cosigned(log.note(5), witness.push(log, 0, 5))


def test_an_empty_log_with_a_root_is_refused(witness: Running, log: Log) -> None:
    answer = witness.post(body(0, [], log.note(0, root=bytes(32))))

    assert answer.status == 422
    assert witness.seen()[0] == []


def test_an_unknown_log_is_refused(witness: Running) -> None:
    stranger = Log.of_size(3, origin="other.example.edu/log")

    assert witness.post(stranger.body(0, 3)).status == 404


def test_a_key_that_is_not_trusted_for_the_origin_is_refused(witness: Running) -> None:
    thief = Log.of_size(3)

    assert witness.post(thief.body(0, 3)).status == 403
    assert witness.seen()[0] == []


def test_a_key_of_another_log_is_refused(state: Path, log: Log) -> None:
    other = Log.of_size(3, origin="other.example.edu/log")
    crossed = Log(signer=other.signer, leaves=log.leaves, origin=log.origin)

    with serving(state, log, other) as witness:
        assert witness.post(crossed.body(0, 3)).status == 403


def test_a_false_signature_is_refused(witness: Running, log: Log) -> None:
    forged = Note(
        Note.parse(log.note(8).encode()).text,
        Note.parse(log.note(7).encode()).signatures,
    )

    assert witness.post(body(0, [], forged.render())).status == 403


def test_a_false_signature_beside_a_right_one_is_refused(
    witness: Running, log: Log
) -> None:
    """A note with a false signature of a known key is malformed as a whole."""
    false = Note.parse(log.note(8).encode()).signatures
    note = Note.parse(log.note(7).encode()).with_signatures(*false)

    assert witness.post(body(0, [], note.render())).status == 403


def test_signatures_of_unknown_keys_are_ignored(witness: Running, log: Log) -> None:
    stranger = Signer.generate(ORIGIN, ED25519)
    note = Note.parse(log.note(7).encode())
    many = note.with_signatures(
        *(replace(stranger.sign(note.text), value=bytes([i]) * 4900) for i in range(15))
    )

    answer = witness.post(body(0, [], many.render()))

    assert answer.status == 200
    # Only what was verified is kept and served.
    assert {each.name for each in served(witness).signatures} == {ORIGIN, NAME}
    assert len(served(witness).signatures) == 2


def test_either_key_will_do_while_one_replaces_the_other(state: Path, log: Log) -> None:
    successor = Log(signer=Signer.generate("new", ED25519), leaves=log.leaves)

    with serving(state, log, successor) as witness:
        assert isinstance(witness.push(log, 0, 7), Cosigned)
        assert isinstance(witness.push(successor, 7, 8), Cosigned)
    with serving(state, successor) as witness:
        assert witness.post(log.body(8, 9)).status == 403


def test_neither_key_makes_up_for_a_false_signature_of_the_other(
    state: Path, log: Log
) -> None:
    successor = Log(signer=Signer.generate("new", ED25519), leaves=log.leaves)
    false = Note.parse(successor.note(8).encode()).signatures
    note = Note.parse(log.note(7).encode()).with_signatures(*false)

    with serving(state, log, successor) as witness:
        assert witness.post(body(0, [], note.render())).status == 403


def test_the_wrong_old_size_is_told_the_right_one(witness: Running, log: Log) -> None:
    witness.push(log, 0, 7)

    for old_size in (0, 6, 8):
        answer = witness.post(log.body(old_size, 9))

        assert (answer.status, answer.body) == (409, b"7\n")
        assert answer.headers["Content-Type"] == "text/x.tlog.size"
    assert size_and_root(witness) == (7, log.root(7))


def test_a_log_that_was_never_seen_has_the_size_0(witness: Running, log: Log) -> None:
    assert witness.post(log.body(3, 9)).body == b"0\n"


def test_a_rollback_is_refused(witness: Running, log: Log) -> None:
    witness.push(log, 0, 50)

    assert witness.push(log, 30, 40) == Behind(50)
    assert witness.push(log, 0, 40) == Behind(50)
    # Claiming the right old size does not help: it is above the checkpoint's.
    backwards = body(50, log.proof(40, 50), log.note(40))
    assert witness.post(backwards).status == 400
    assert size_and_root(witness) == (50, log.root(50))


def test_another_root_at_the_same_size_is_refused_and_kept_as_evidence(
    witness: Running, log: Log
) -> None:
    witness.push(log, 0, 50)
    fork = log.fork(at=49, size=50)

    for _ in range(2):
        assert witness.post(fork.body(50, 50)).status == 422

    (seen,), (found,) = witness.seen()
    assert (seen.size, seen.root) == (50, log.root(50))
    for note, root in ((found.note, fork.root(50)), (found.seen_note, log.root(50))):
        assert base64.b64encode(root).decode() in note
        assert verified(Note.parse(note.encode()), log.key) is not None


def test_a_fork_that_comes_with_the_wrong_old_size_is_evidence_too(
    witness: Running, log: Log
) -> None:
    witness.push(log, 0, 50)
    fork = log.fork(at=49, size=50)

    assert witness.post(fork.body(30, 50)).body == b"50\n"
    assert [found.root for found in witness.seen()[1]] == [fork.root(50)]


def test_evidence_of_one_log_does_not_fill_the_disk(
    witness: Running, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_FORKS", 3)
    witness.push(log, 0, 50)

    for _ in range(5):
        assert witness.post(log.fork(at=49, size=50).body(50, 50)).status == 422

    assert len(witness.seen()[1]) == 3


def test_a_log_that_forks_often_hides_no_other_ones_fork(
    state: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_FORKS", 3)
    other = Log.of_size(50, "other.example.edu/log")
    with serving(state, log, other) as witness:
        for each, times in ((log, 5), (other, 1)):
            witness.push(each, 0, 50)
            for _ in range(times):
                witness.post(each.fork(at=49, size=50).body(50, 50))

        found = [fork.origin for fork in witness.seen()[1]]

    assert found == [*[log.origin] * 3, other.origin]


@pytest.mark.parametrize("at", [0, 1, 31, 49])
def test_a_fork_with_a_proof_of_its_own_is_refused(
    witness: Running, log: Log, at: int
) -> None:
    """The proof leads from the fork's past to its present, but not from ours."""
    witness.push(log, 0, 50)
    fork = log.fork(at=at, size=100)

    assert witness.post(fork.body(50, 100)).status == 422
    assert size_and_root(witness) == (50, log.root(50))


def test_a_proof_that_does_not_hold_is_refused(witness: Running, log: Log) -> None:
    witness.push(log, 0, 50)
    proof, note = list(log.proof(50, 100)), log.note(100)
    wrong = [
        [],
        proof[:-1],
        proof[1:],
        proof[::-1],
        [*proof, proof[-1]],
        [bytes(32), *proof[1:]],
        list(log.proof(49, 100)),
    ]

    for each in wrong:
        assert witness.post(body(50, each, note)).status == 422
    assert size_and_root(witness) == (50, log.root(50))


def test_a_proof_where_there_is_nothing_to_prove_is_refused(
    witness: Running, log: Log
) -> None:
    assert witness.post(body(0, [bytes(32)], log.note(9))).status == 422
    witness.push(log, 0, 9)
    assert witness.post(body(9, [log.root(9)], log.note(9))).status == 422


def test_racers_with_one_old_size_have_one_winner(state: Path, log: Log) -> None:
    """Two servers by mistake on one file, and eight checkpoints in each round."""
    key = Signer.generate(NAME, COSIGNATURE)
    size = 0
    with serving(state, log, signer=key) as one, serving(state, log, signer=key) as two:
        for _ in range(5):
            bodies = [
                (server, log.body(size, size + step))
                for step in range(1, 5)
                for server in (one, two)
            ]
            answers = at_once([partial(server.post, each) for server, each in bodies])

            statuses = sorted(answer.status for answer in answers)
            # One won; only its own checkpoint, asked for elsewhere, is behind as well.
            assert statuses == [200] + 7 * [409]
            size = size_and_root(one)[0]
            assert {a.body for a in answers if a.status == 409} == {b"%d\n" % size}


def test_racing_histories_have_one_winner(state: Path, log: Log) -> None:
    for attempt in range(5):
        fork = log.fork(at=9, size=20)
        with serving(state.with_name(f"state{attempt}"), log) as witness:
            bodies = [log.body(0, 20), fork.body(0, 20)] * 4
            answers = at_once([partial(witness.post, each) for each in bodies])
            assert sorted(a.status for a in answers) == [200] + 7 * [409]
            (seen,), (found,) = witness.seen()
            assert {seen.root, found.root} == {log.root(20), fork.root(20)}


def test_an_answer_that_was_lost_is_given_again(witness: Running, log: Log) -> None:
    witness.push(log, 0, 7)
    # The log did not hear of this one.
    witness.push(log, 7, 20)

    retry = witness.push(log, 7, 20)

    assert retry == Behind(20)
    assert witness.has_cosigned(log.note(20), witness.push(log, 20, 20))


def test_cosignatures_do_not_go_back_in_time(
    state: Path, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    times = iter([NOON, NOON - 3600, NOON - 3599, NOON + 1])
    with serving(state, log, clock=lambda: next(times)) as witness:
        found = []
        for old_size, size in ((0, 7), (7, 8), (8, 9), (9, 10)):
            answer = witness.push(log, old_size, size)
            assert isinstance(answer, Cosigned)
            note = Note.parse(log.note(size).encode())
            checked = verified(note.with_signatures(*answer.signatures), witness.key)
            assert checked is not None
            found.append(checked.timestamp_seconds)

    assert found == [NOON, NOON, NOON, NOON + 1]
    # An hour may have been the year 2090: who runs it has to hear of it, once.
    assert [each.levelname for each in caplog.records if "future" in each.message] == [
        "ERROR"
    ]


def test_the_state_refuses_to_go_back_by_itself(witness: Running, log: Log) -> None:
    """Whatever the code above it does, and whoever opens the file with a shell."""
    witness.push(log, 0, 7)

    with closing(sqlite3.connect(witness.state)) as shell:
        for statement in (
            "UPDATE latest SET size = 6",
            "UPDATE latest SET root = zeroblob(32)",
            "UPDATE latest SET origin = 'x'",
            "UPDATE latest SET cosigned_at = 1",
            "DELETE FROM latest",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="a witness does not"):
                shell.execute(statement)


def test_the_state_advances_only_from_where_it_was(state: Path, log: Log) -> None:
    store.create(state)
    seen = store.Seen("x", 7, log.root(7), 1, "note")
    with closing(store.Store(state)) as opened:
        with opened.transaction() as tx:
            tx.advance(0, seen)

        with pytest.raises(BusyError), opened.transaction() as tx:
            tx.advance(6, replace(seen, size=9))

        assert opened.list_all() == ([seen], [])


def test_a_commit_is_on_disk_when_it_returns(state: Path) -> None:
    """FULL alone does not flush the removal of the journal, which is the commit."""
    store.create(state)

    with closing(store.connect(state)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_nothing_is_cosigned_that_cannot_be_remembered(
    state: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOCK_TIMEOUT_SECONDS", 0.1)
    with serving(state, log) as witness:
        witness.push(log, 0, 7)
        with closing(sqlite3.connect(state, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")

            answer = witness.post(log.body(7, 8))

            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert NAME.encode() not in answer.body
            assert witness.send("GET", "/health").status == 503
        assert witness.send("GET", "/health").status == 200
        assert size_and_root(witness) == (7, log.root(7))


def served(witness: Running) -> Note:
    answer = witness.send("GET", f"/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint")
    assert answer.status == 200
    return Note.parse(answer.body)


def test_the_latest_checkpoint_is_served_with_both_signatures(
    witness: Running, log: Log
) -> None:
    assert latest(witness.url, ORIGIN) == NeverSeen()
    for old_size, size in ((0, 7), (7, 20)):
        answer = witness.push(log, old_size, size)

    assert isinstance(answer, Cosigned)
    note = served(witness)

    assert note == Note.parse(log.note(20).encode()).with_signatures(*answer.signatures)
    assert verified(note, log.key) is not None
    assert verified(note, witness.key) is not None
    assert latest(witness.url, ORIGIN) == Seen(note)


@pytest.mark.parametrize("path", ["/", "/x/checkpoint", f"/{'A' * 64}/checkpoint"])
def test_other_addresses_have_nothing(witness: Running, path: str) -> None:
    answer = witness.send("GET", path)

    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_only_a_post_asks_for_a_cosignature(witness: Running) -> None:
    answer = witness.send("GET", "/add-checkpoint")

    assert answer.status == 405
    assert "POST" in answer.headers["Allow"]


def test_health_names_the_key(witness: Running) -> None:
    answer = witness.send("GET", "/health")

    assert (answer.status, answer.body.decode()) == (200, f"{witness.key}\n")
