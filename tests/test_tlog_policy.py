"""Policies: whose signatures are believed, and how many are enough."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.checkpoint import Checkpoint
from utils.signed_note import COSIGNATURE, ED25519, Note, NoteError, Signer
from utils.tlog_policy import Policy

LOG = Signer("example.com/log", ED25519, bytes(range(32)))
OTHER_LOG = Signer("example.com/other", ED25519, bytes(range(2, 34)))
A, B, C = (
    Signer(f"{letter}.example", COSIGNATURE, bytes([number]) * 32)
    for number, letter in enumerate("abc", start=1)
)
WITNESSES = f"""
log {LOG.verifier} https://log.example/
witness A {A.verifier}
  witness\tB {B.verifier} https://b.example/
# One more, of another house.
witness C {C.verifier}
"""
TEXT = Checkpoint(LOG.verifier.name, 3, bytes(32)).render()


def note(*witnesses: Signer, log: Signer = LOG) -> Note:
    return Note(TEXT, (log.sign(TEXT), *(each.cosign(TEXT, 5) for each in witnesses)))


@pytest.mark.parametrize(
    ("quorum", "witnesses", "is_enough"),
    [
        ("quorum none", [], True),
        ("quorum A", [A], True),
        ("quorum A", [B, C], False),
        ("group G any A B C\nquorum G", [C], True),
        ("group G all A B C\nquorum G", [A, B], False),
        ("group G all A B C\nquorum G", [A, B, C], True),
        ("group G 2 A B C\nquorum G", [A, C], True),
        ("group G 2 A B C\nquorum G", [A], False),
        # The same witness twice is one witness.
        ("group G 2 A B C\nquorum G", [A, A], False),
        ("group G any A B\ngroup H all G C\nquorum H", [B, C], True),
        ("group G any A B\ngroup H all G C\nquorum H", [A, B], False),
    ],
)
def test_a_quorum_is_met_or_not(
    *, quorum: str, witnesses: list[Signer], is_enough: bool
) -> None:
    policy = Policy.parse(WITNESSES + quorum + "\n")

    result = policy.check(note(*witnesses))

    assert result.is_satisfied is is_enough
    assert bool(result.missing) is not is_enough
    assert result.log == LOG.verifier
    assert {name for name, _ in result.witnesses} == {
        each.verifier.name[0].upper() for each in witnesses
    }
    assert all(seconds == 5 for _, seconds in result.witnesses)


def test_only_the_log_itself_is_believed_about_the_log() -> None:
    believed = f"log {LOG.verifier}\nlog {OTHER_LOG.verifier}\nquorum none\n"
    policy = Policy.parse(believed)

    assert policy.check(note()).is_satisfied
    other = policy.check(note(log=OTHER_LOG))
    assert not other.is_satisfied
    assert other.log is None
    assert "example.com/log" in other.missing


def test_what_is_no_checkpoint_is_not_judged() -> None:
    with pytest.raises(NoteError):
        Policy.parse("quorum none\n").check(Note("hello\n", (LOG.sign("hello\n"),)))


def test_a_policy_can_be_written_and_read() -> None:
    policy = Policy.parse(WITNESSES + "group G any A B\ngroup H all G C\nquorum H\n")

    assert Policy.parse(policy.render()) == policy
    assert policy.witnesses["B"].url == "https://b.example/"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quorum",
        "quorum A",
        "quorum none\nquorum none",
        "group G any\nquorum none",
        f"{WITNESSES}group G any D\nquorum G",
        f"{WITNESSES}group G 4 A B C\nquorum G",
        f"{WITNESSES}group G 0 A\nquorum G",
        f"{WITNESSES}group G some A\nquorum G",
        f"{WITNESSES}group G any none\nquorum G",
        f"{WITNESSES}group G any A\ngroup H any A\nquorum G",
        f"{WITNESSES}group G any A A\nquorum G",
        f"{WITNESSES}group A any B\nquorum A",
        f"{WITNESSES}group none any B\nquorum none",
        f"{WITNESSES}witness D {A.verifier}\nquorum A",
        f"{WITNESSES}log {LOG.verifier}\nquorum A",
        f"{WITNESSES}quorum A\x07",
        f"witness A {LOG.verifier}\nquorum A",
        f"log {A.verifier}\nquorum none",
        f"log {LOG.verifier} a b\nquorum none",
        "believe everybody\nquorum none",
        "quorum none\n" + "#" * 70_000,
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Policy.parse(text)


@given(st.text(max_size=100), st.integers(0, 400), st.integers(0, 400))
def test_damage_is_refused_or_read_and_never_a_crash(
    noise: str, begin: int, end: int
) -> None:
    whole = WITNESSES + "group G any A B\nquorum G\n"
    with suppress(NoteError):
        Policy.parse(whole[:begin] + noise + whole[end:]).check(note(A))
