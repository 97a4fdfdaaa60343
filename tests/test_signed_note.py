"""Notes, keys, checkpoints and proofs: what is read, signed, and refused."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.checkpoint import Checkpoint
from utils.signed_note import (
    COSIGNATURE,
    ED25519,
    Note,
    NoteError,
    Signature,
    Signer,
    VerifierKey,
    verified,
)
from utils.tlog_proof import TlogProof

# The example of the specification.
KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1E"
    "RYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
LOG = Signer("example.com/log", ED25519, bytes(range(32)))
WITNESS = Signer("witness.example", COSIGNATURE, bytes(range(1, 33)))
CHECKPOINT = Checkpoint("example.com/log", 7, bytes(32))
# A time, and a text of one line.
AT = 1_700_000_000
TEXT = "one line\n"

names = st.text("abcdefgh/.\u00e9\u4e16", min_size=1, max_size=20)
lines = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\n", min_codepoint=32),
    min_size=1,
    max_size=30,
)
texts = st.lists(lines, min_size=1, max_size=5).map("\n".join)
signatures = st.builds(
    Signature,
    names,
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=1, max_size=80),
)
notes = st.builds(
    Note,
    texts.map(lambda text: text + "\n"),
    st.lists(signatures, min_size=1, max_size=16).map(tuple),
)


def signed(*made: Signature) -> Note:
    return Note(TEXT, made)


def test_the_example_of_the_specification() -> None:
    key, note = VerifierKey.parse(KEY), Note.parse(NOTE.encode())

    assert str(key) == KEY
    assert key.key_id.hex() == "530d903a"
    assert note.render() == NOTE
    found = verified(note, key)
    assert found is not None
    assert found.timestamp_seconds is None
    assert verified(Note("This is another.\n", note.signatures), key) is None


def test_a_cosignature_covers_its_time() -> None:
    signature = WITNESS.cosign(TEXT, AT)

    found = verified(signed(signature), WITNESS.verifier)

    assert found is not None
    assert found.timestamp_seconds == AT
    later = (AT + 1).to_bytes(8) + signature.value[8:]
    moved = Signature(signature.name, signature.key_id, later)
    assert verified(signed(moved), WITNESS.verifier) is None


def test_the_newest_of_several_cosignatures_counts() -> None:
    note = signed(WITNESS.cosign(TEXT, AT), WITNESS.cosign(TEXT, AT + 5))

    found = verified(note, WITNESS.verifier)

    assert found is not None
    assert found.timestamp_seconds == AT + 5


def test_one_bad_signature_under_a_known_key_spoils_the_note() -> None:
    good = LOG.sign(TEXT)
    bad = Signature(good.name, good.key_id, bytes(64))

    assert verified(signed(good), LOG.verifier)
    assert verified(signed(good, bad), LOG.verifier) is None


def test_signatures_of_strangers_are_kept_and_not_believed() -> None:
    stranger = Signer("example.com/log", ED25519, bytes(32))
    note = signed(stranger.sign(TEXT), LOG.sign(TEXT))

    assert Note.parse(note.render().encode()) == note
    assert verified(note, LOG.verifier)
    assert verified(signed(stranger.sign(TEXT)), LOG.verifier) is None
    # The same key as witness and as log has two ids, and signs different things.
    twin = Signer(LOG.verifier.name, COSIGNATURE, bytes(range(32)))
    assert verified(signed(twin.cosign(TEXT, AT)), LOG.verifier) is None


@pytest.mark.parametrize("length", [0, 1, 63, 65, 72, 1000])
def test_a_signature_of_another_length_does_not_hold(length: int) -> None:
    for signer in (LOG, WITNESS):
        key = signer.verifier
        odd = Signature(key.name, key.key_id, bytes(length) or b"\x00")

        assert verified(signed(odd), key) is None


def test_a_key_signs_what_it_is_for() -> None:
    with pytest.raises(ValueError, match="another type"):
        LOG.cosign(TEXT, AT)
    with pytest.raises(ValueError, match="another type"):
        WITNESS.sign(TEXT)
    with pytest.raises(ValueError, match="1970"):
        WITNESS.cosign(TEXT, -1)


@given(names, st.sampled_from([ED25519, COSIGNATURE]))
def test_keys_can_be_written_and_read(name: str, algorithm: int) -> None:
    signer = Signer.generate(name, algorithm)

    again = Signer.parse(str(signer))

    assert str(again) == str(signer)
    assert VerifierKey.parse(str(signer.verifier)) == signer.verifier
    assert str(signer).split("+", 4)[4] not in repr(signer)


def test_a_note_gets_no_signature_twice() -> None:
    note = signed(LOG.sign(TEXT))

    assert note.with_signatures(LOG.sign(TEXT)) == note
    assert len(note.with_signatures(WITNESS.cosign(TEXT, AT)).signatures) == 2


@given(notes)
def test_notes_can_be_written_and_read(note: Note) -> None:
    assert Note.parse(note.render().encode()) == note


MARK = "\u2014 a AAAAAAA="
BAD_NOTES = (
    b"",
    b"\n",
    b"text\n",
    b"text\n\n",
    b"text\n\nno signature\n",
    "text\n\n\u2014 a AAAAAAA=".encode(),
    f"text\n\n{MARK}\n\u2014\n".encode(),
    f"text\n\n- a {MARK[4:]}\n".encode(),
    "text\n\n\u2014 a b AAAAAAA=\n".encode(),
    "text\n\n\u2014  AAAAAAA=\n".encode(),
    "text\n\n\u2014 a+b AAAAAAA=\n".encode(),
    "text\n\n\u2014 a AAAAAA==\n".encode(),
    "text\n\n\u2014 a AAAAAAB=\n".encode(),
    "text\n\n\u2014 a AAAA*AA=\n".encode(),
    "text\n\n\u2014 a AAAAAAA\n".encode(),
    "text\n\n\u2014 a\u2003b AAAAAAA=\n".encode(),
    f"te\txt\n\n{MARK}\n".encode(),
    f"te\x00xt\n\n{MARK}\n".encode(),
    f"text\r\n\n{MARK}\r\n".encode(),
    b"\xff\n\n" + f"{MARK}\n".encode(),
    f"text\n\n{MARK}\n".encode() + b"\xe2\x80",
    ("text\n\n" + f"{MARK}\n" * 65).encode(),
    ("x" * 300_000 + f"\n\n{MARK}\n").encode(),
)


@pytest.mark.parametrize("raw", BAD_NOTES, ids=range(len(BAD_NOTES)))
def test_what_is_no_note_is_refused(raw: bytes) -> None:
    with pytest.raises(NoteError):
        Note.parse(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b",
        "a+530d903a+",
        "a+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        KEY.replace("530d903a", "530D903A"),
        KEY.replace("+Aek", "+Bek"),
        KEY.replace("+Aek", "+Aekk"),
        KEY + " ",
        KEY.replace("foo", "f o"),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(text)
    with pytest.raises(NoteError):
        Signer.parse("PRIVATE+KEY+" + text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n",
        "a\n1\n",
        "a\n1\nAA==\n",
        "\n1\n" + "A" * 43 + "=\n",
        "a\n01\n" + "A" * 43 + "=\n",
        "a\n-1\n" + "A" * 43 + "=\n",
        "a\n+1\n" + "A" * 43 + "=\n",
        "a\n1.0\n" + "A" * 43 + "=\n",
        "a\n\u0661\n" + "A" * 43 + "=\n",
        "a\n9223372036854775808\n" + "A" * 43 + "=\n",
        "a\n1\n" + "A" * 43 + "=",
        "a\n1\n" + "A" * 42 + "B=\n",
        "a\n1\n" + "A" * 43 + "=\n\nx\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


checkpoints = st.builds(
    Checkpoint,
    lines,
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(lines, max_size=3).map(tuple),
)
proofs = st.builds(
    TlogProof,
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=64).map(tuple),
    notes,
    st.none() | st.binary(max_size=200),
)


@given(checkpoints)
def test_checkpoints_can_be_written_and_read(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(checkpoint.render()) == checkpoint


@given(proofs)
def test_proofs_can_be_written_and_read(proof: TlogProof) -> None:
    assert TlogProof.parse(proof.render().encode()) == proof


def proof_text(*above: str) -> bytes:
    return ("\n".join(above) + "\n\n" + NOTE).encode()


HASH = "A" * 43 + "="
TAG = "c2sp.org/tlog-proof@v1"


def test_a_proof_as_the_specification_shows_it() -> None:
    proof = TlogProof.parse(proof_text(TAG, "extra AAEC", "index 3", HASH, HASH))

    assert proof.extra == b"\x00\x01\x02"
    assert proof.index == 3
    assert proof.proof == (bytes(32), bytes(32))
    assert proof.note.render() == NOTE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        proof_text(TAG),
        proof_text("c2sp.org/tlog-proof@v2", "index 1"),
        proof_text(TAG, "index 01"),
        proof_text(TAG, "index -1"),
        proof_text(TAG, "index 1", "extra AAEC"),
        proof_text(TAG, "extra AAEC", "extra AAEC", "index 1"),
        proof_text(TAG, "extra AA EC", "index 1"),
        proof_text(TAG, "extra " + "AAAA" * 30_000, "index 1"),
        proof_text(TAG, "index 1", "AAAA"),
        proof_text(TAG, "index 1", *[HASH] * 65),
        proof_text(TAG, "index 1", "\u00e9"),
        f"{TAG}\nindex 1\n".encode(),
        f"{TAG}\nindex 1\n\nno note\n".encode(),
        proof_text(TAG, "index 1") + b"x" * 500_000,
    ],
)
def test_what_is_no_proof_is_refused(raw: bytes) -> None:
    with pytest.raises(NoteError):
        TlogProof.parse(raw)


READERS: tuple[Callable[[bytes], object], ...] = (
    Note.parse,
    TlogProof.parse,
    lambda raw: Checkpoint.parse(raw.decode(errors="replace")),
    lambda raw: VerifierKey.parse(raw.decode(errors="replace")),
    lambda raw: Signer.parse(raw.decode(errors="replace")),
)


@given(st.data())
def test_damage_is_refused_or_read_and_never_a_crash(data: st.DataObject) -> None:
    whole = data.draw(
        st.sampled_from(
            [
                NOTE.encode(),
                proof_text(TAG, "extra AAEC", "index 3", HASH),
                CHECKPOINT.render().encode(),
                KEY.encode(),
                str(LOG).encode(),
            ]
        )
        | st.binary(max_size=200)
    )
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    damaged = whole[:begin] + data.draw(st.binary(max_size=5)) + whole[end:]

    for reader in READERS:
        with suppress(NoteError):
            reader(damaged)
