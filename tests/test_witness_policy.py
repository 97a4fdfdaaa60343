"""What a program's own policy says of notes, whatever is stored as one."""

from datetime import UTC, datetime

import pytest

from utils.checkpoint import Checkpoint
from utils.signed_note import COSIGNATURE, ED25519, Note, Signer
from utils.witness_policy import NO_POLICY, WitnessPolicy, judge

LOG = Signer.generate("a.example/log", ED25519)
BOARD = Signer.generate("b.example/board", COSIGNATURE)
POLICY = WitnessPolicy.parse(
    f"log {LOG.verifier}\nwitness board {BOARD.verifier}\nquorum board\n"
)
TEXT = Checkpoint("a.example/log", 7, bytes(32)).render()


def note(at: int | None) -> str:
    signatures = [LOG.sign(TEXT)]
    if at is not None:
        signatures.append(BOARD.cosign(TEXT, at))
    return Note(TEXT, tuple(signatures)).render()


def test_it_says_who_has_signed_and_when() -> None:
    found = judge(POLICY, note(1_800_000_000))

    assert found.is_witnessed
    assert (found.missing, found.wrong) == (None, ())
    ((name, at),) = [(each.name, each.cosigned_at) for each in found.witnesses]
    assert (name, at) == ("board", datetime(2027, 1, 15, 8, tzinfo=UTC))


def test_a_time_that_no_calendar_has_is_shown_as_the_last_one() -> None:
    """A witness may state any number of seconds below 2**63."""
    found = judge(POLICY, note(2**63 - 1))

    assert found.is_witnessed
    assert found.witnesses[0].cosigned_at.year == 9999


def test_without_a_quorum_it_says_what_is_missing() -> None:
    found = judge(POLICY, note(None))

    assert not found.is_witnessed
    assert found.missing == "enough cosignatures for the quorum 'board'"


def test_without_a_policy_nothing_is_witnessed() -> None:
    found = judge(None, note(1))

    assert (found.is_witnessed, found.missing) == (False, NO_POLICY)


@pytest.mark.parametrize(
    "damaged",
    ["", "x", TEXT, f"no checkpoint\n\n{LOG.sign(TEXT).render()}", "\n\n"],
    ids=range(5),
)
def test_what_somebody_damaged_is_not_witnessed(damaged: str) -> None:
    found = judge(POLICY, damaged)

    assert not found.is_witnessed
    assert found.missing is not None
    assert "a note that can be read" in found.missing


def test_a_wrong_signature_is_named() -> None:
    other = Checkpoint("a.example/log", 8, bytes(32)).render()
    mixed = Note(TEXT, (LOG.sign(TEXT), BOARD.cosign(other, 1))).render()

    found = judge(POLICY, mixed)

    assert not found.is_witnessed
    assert found.wrong == ("b.example/board",)
