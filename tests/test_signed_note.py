"""Notes and keys, against published vectors and against texts that are not quite so.

The vectors are those of c2sp.org/signed-note, of Go's golang.org/x/mod/sumdb/note, and
a checkpoint that a Certificate Transparency log and four public witnesses have signed.
"""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import example, given
from hypothesis import strategies as st

from tests.public_checkpoint import LOG_KEY, WITNESS_KEYS, WITNESSED
from utils.canonical_text import to_base64
from utils.signed_note import (
    COSIGNATURE,
    ED25519,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Note,
    NoteError,
    Signature,
    Signer,
    Verified,
    VerifierKey,
    has_signature_of,
    verified,
)

SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq"
    "6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
GO_PRIVATE_KEY = (
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
)
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_OTHER_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TOO_LONG_GO_KEY = (
    "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="
)
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_SIGNATURE = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFY"
    "C2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
GO_OTHER_SIGNATURE = (
    "\u2014 EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGr"
    "Q5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)

TEXT = "exam.example/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
LOG = Signer("exam.example/log", ED25519, b"\1" * 32)
WITNESS = Signer("witness.example/w", COSIGNATURE, b"\2" * 32)
LATEST = 2**63 - 1


# --- vectors


def test_the_example_of_the_specification_is_verified() -> None:
    key = VerifierKey.parse(SPEC_KEY)
    note = Note.parse(SPEC_NOTE.encode())

    assert key.key_id.hex() == "530d903a"
    assert str(key) == SPEC_KEY
    assert verified(note, key) == Verified(key, None)
    assert note.render() == SPEC_NOTE


def test_we_sign_byte_for_byte_as_go_does() -> None:
    signer = Signer.parse(GO_PRIVATE_KEY)

    assert str(signer) == GO_PRIVATE_KEY
    assert str(signer.verifier) == GO_KEY
    assert Note(GO_TEXT, (signer.sign(GO_TEXT),)).render() == (
        f"{GO_TEXT}\n{GO_SIGNATURE}"
    )


def test_both_signatures_of_go_s_example_are_verified() -> None:
    note = Note.parse(f"{GO_TEXT}\n{GO_SIGNATURE}{GO_OTHER_SIGNATURE}".encode())

    for vkey in (GO_KEY, GO_OTHER_KEY):
        assert verified(note, VerifierKey.parse(vkey))
    assert verified(note, VerifierKey.parse(SPEC_KEY)) is None


def test_what_public_witnesses_cosign_is_verified() -> None:
    note = Note.parse(WITNESSED.encode())

    assert note.render() == WITNESSED
    log = VerifierKey.parse(LOG_KEY)
    assert verified(note, log) == Verified(log, None)
    for vkey in WITNESS_KEYS:
        witness = VerifierKey.parse(vkey)
        assert verified(note, witness) == Verified(witness, 1779573024)


# --- keys


def test_a_cosignature_is_over_the_time_and_the_text() -> None:
    signature = WITNESS.cosign(TEXT, 1679315147)
    public = Ed25519PublicKey.from_public_bytes(WITNESS.verifier.public)

    assert signature.value[:8].hex() == "00000000641850cb"
    public.verify(
        signature.value[8:], f"cosignature/v1\ntime 1679315147\n{TEXT}".encode()
    )
    with pytest.raises(InvalidSignature):
        public.verify(signature.value[8:], TEXT.encode())


@pytest.mark.parametrize("algorithm", [ED25519, COSIGNATURE])
def test_a_new_key_is_read_as_it_was_written(algorithm: int) -> None:
    signer = Signer.generate("exam.example/log", algorithm)
    key = signer.verifier
    hashed = b"exam.example/log\n" + bytes([algorithm]) + key.public

    assert key.key_id == sha256(hashed).digest()[:4]
    assert Signer.parse(str(signer)) == signer
    assert VerifierKey.parse(str(key)) == key
    assert Signer.generate("exam.example/log", algorithm) != signer


def test_a_signer_does_not_show_its_seed_by_accident() -> None:
    shown = repr(Signer.parse(GO_PRIVATE_KEY))

    assert "seed" not in shown
    assert "x81" not in shown
    assert "gQoUAtUU" not in shown


def test_a_key_makes_signatures_of_its_own_type_only() -> None:
    with pytest.raises(ValueError, match="type 4"):
        LOG.cosign(TEXT, 1)
    with pytest.raises(ValueError, match="type 1"):
        WITNESS.sign(TEXT)


@pytest.mark.parametrize("timestamp", [-1, LATEST + 1])
def test_a_time_that_no_cosignature_can_state_is_refused(timestamp: int) -> None:
    with pytest.raises(NoteError, match=r"2\*\*63"):
        WITNESS.cosign(TEXT, timestamp)


def _mangled(text: str) -> Iterator[str]:
    """Return all parts of the text, and all that differ in one character."""
    for start in range(len(text)):
        for end in range(start, len(text) + 1):
            if end - start < len(text):
                yield text[start:end]
    for at, character in enumerate(text):
        yield f"{text[:at]}{chr(ord(character) + 1)}{text[at + 1 :]}"
        yield f"{text[:at]}{character.swapcase()}{text[at + 1 :]}"
        yield f"{text[:at]} {text[at:]}"
    yield text + "\n"


def test_a_mangled_key_is_refused() -> None:
    for mangled in set(_mangled(GO_KEY)) - {GO_KEY}:
        with pytest.raises(NoteError):
            VerifierKey.parse(mangled)


def test_a_mangled_private_key_is_refused() -> None:
    for mangled in set(_mangled(GO_PRIVATE_KEY)) - {GO_PRIVATE_KEY}:
        with pytest.raises(NoteError):
            Signer.parse(mangled)


@pytest.mark.parametrize(
    ("vkey", "reason"),
    [
        # Of the right id both, as Go tries them.
        (TOO_LONG_GO_KEY, "base64"),
        (
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "type 101",
        ),
        ("PeterNeumann+c74f20a3+", "without a signature type"),
        ("PeterNeumann+c74f20a3", "separated by plus"),
        ("PeterNeumann+c74f20a4" + GO_KEY[21:], "key id"),
    ],
)
def test_what_is_no_key_is_refused(vkey: str, reason: str) -> None:
    with pytest.raises(NoteError, match=reason):
        VerifierKey.parse(vkey)


@pytest.mark.parametrize("algorithm", [0, 2, 3, 5, 6, 255])
def test_other_signature_types_are_refused(algorithm: int) -> None:
    with pytest.raises(NoteError, match="not supported"):
        VerifierKey("exam.example", algorithm, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(NoteError, match="32 bytes"):
        VerifierKey("exam.example", ED25519, bytes(length))
    with pytest.raises(NoteError, match="32 bytes"):
        Signer("exam.example", ED25519, bytes(length))


BAD_NAMES = (
    "",
    "a+b",
    "a b",
    "a\nb",
    "a\tb",
    "a\x00b",
    "a\x85b",
    "a\u00a0b",
    "a\u2003b",
    "a\u2028b",
    "a\u3000b",
    "\ud800",
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_a_line_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey(name, ED25519, bytes(32))
    with pytest.raises(NoteError):
        Signer.generate(name, ED25519)
    with pytest.raises(NoteError):
        Signature(name, bytes(4), b"x")


# --- notes

LINE = GO_SIGNATURE


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        f"text\n{LINE}",
        f"text{LINE}",
        f"\n{LINE}",
        LINE,
        f"text\n\n{LINE[:-1]}",
        f"text\n\n{LINE}\n",
        f"text\n\n{LINE}\n{LINE}\n",
        f"text\n\n{LINE}more",
        f"text\n\n{LINE}more\n",
        f"text\n\nmore\n{LINE}",
        f"text\r\n\r\n{LINE}",
        f"text\n\n{LINE[:-1]}\r\n",
        f"te\txt\n\n{LINE}",
        f"te\x00xt\n\n{LINE}",
        f"te\x1fxt\n\n{LINE}",
        f"text\n\n{LINE}".replace("\u2014", "-"),
        f"text\n\n{LINE}".replace("\u2014", "\u2013"),
        f"text\n\n{LINE}".replace("\u2014 ", "\u2014"),
        f"text\n\n{LINE}".replace("\u2014 ", "\u2014  "),
        f"text\n\n{LINE}".replace("\u2014 ", " \u2014 "),
        f"text\n\n{LINE}".replace("\u2014 ", "\u2014\u00a0"),
        f"text\n\n{LINE}".replace("Neumann ", "Neumann  "),
        f"text\n\n{LINE}".replace("Neumann ", "Neumann\u2003"),
        f"text\n\n{LINE}".replace("Peter", "Peter+"),
        f"text\n\n{LINE}".replace("=\n", "= \n"),
        f"text\n\n{LINE}".replace("=\n", "\n"),
        f"text\n\n{LINE}".replace("=\n", "==\n"),
        # The same bytes, with bits that are no part of them.
        f"text\n\n{LINE}".replace("AM=\n", "AN=\n"),
        f"text\n\n{LINE}".replace("x08go/", "x08go_"),
        f"text\n\n{LINE}".replace("x08go/", "x08g*/"),
        "text\n\n\u2014 name \n",
        "text\n\n\u2014 name AAAAAA==\n",
        "text\n\n\u2014 name\n",
        "text\n\n\u2014  AAAAAAE=\n",
        "text\n\n\u2014 AAAAAAE=\n",
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(NoteError):
        Note.parse(note.encode())


@pytest.mark.parametrize("raw", [b"te\xffxt", b"te\xc0\x80xt", b"te\xed\xa0\x80xt"])
def test_what_is_not_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(NoteError, match="UTF-8"):
        Note.parse(raw + b"\n\n" + LINE.encode())


@pytest.mark.parametrize(
    "text",
    ["", "text", "te\rxt\n", "te\x00xt\n", "te\ud800xt\n"],
)
def test_a_text_that_no_note_can_have_is_not_signed(text: str) -> None:
    with pytest.raises(NoteError):
        Note(text, ())
    with pytest.raises(NoteError):
        LOG.sign(text)
    with pytest.raises(NoteError):
        WITNESS.cosign(text, 1)


@pytest.mark.parametrize(
    "text", ["\n", "\n\n", "a\n\nb\n", "a\n\n", "\u00e4\u2028\x7f\x85\ufeff\n"]
)
def test_the_last_empty_line_ends_the_text(text: str) -> None:
    note = Note.parse(f"{text}\n{LOG.sign(text).render()}".encode())

    assert note.text == text
    assert verified(note, LOG.verifier)


def test_a_signature_line_has_its_five_bytes_at_least() -> None:
    note = Note.parse(b"text\n\n\xe2\x80\x94 name AAAAAAE=\n")

    assert note.signatures == (Signature("name", bytes(4), b"\1"),)
    for key_id, value in ((bytes(3), b"x"), (bytes(5), b"x"), (bytes(4), b"")):
        with pytest.raises(NoteError):
            Signature("name", key_id, value)


def test_signatures_are_accepted_up_to_a_number() -> None:
    line = "\u2014 name AAAAAAE=\n"

    assert MAX_SIGNATURES >= 16
    assert len(Note.parse(f"a\n\n{line * MAX_SIGNATURES}".encode()).signatures) == 64
    with pytest.raises(NoteError, match="64 signatures"):
        Note.parse(f"a\n\n{line * (MAX_SIGNATURES + 1)}".encode())
    with pytest.raises(NoteError, match="64 signatures"):
        Note("a\n", (Signature("name", bytes(4), b"x"),) * 65)


def test_a_note_is_accepted_up_to_a_size() -> None:
    ending = f"\n\n{LINE}"
    room = MAX_NOTE_BYTES - len(ending.encode())

    assert Note.parse(("a" * room + ending).encode()).render()
    with pytest.raises(NoteError, match="bytes are more"):
        Note.parse(("a" * (room + 1) + ending).encode())
    with pytest.raises(NoteError, match="more than"):
        Note("a" * (room + 1) + "\n", (Signature.parse(LINE[:-1]),)).render()


def test_sixteen_of_the_longest_signatures_fit() -> None:
    # ML-DSA-87, the longest that FIPS 204 has.
    signatures = tuple(
        Signature(f"w{number}.example", bytes(4), bytes(4627)) for number in range(16)
    )
    note = Note(TEXT, signatures)

    assert Note.parse(note.render().encode()) == note


def test_an_unsigned_note_is_not_written() -> None:
    with pytest.raises(NoteError, match="at least one"):
        Note(TEXT, ()).render()


def test_signatures_are_added_once() -> None:
    first, second = LOG.sign(TEXT), WITNESS.cosign(TEXT, 5)
    note = Note(TEXT, (first,))

    assert note.with_signatures(second).signatures == (first, second)
    assert note.with_signatures(second, first, second).signatures == (first, second)
    assert note.signatures == (first,)


# --- verification


def test_unknown_signatures_are_ignored_and_kept() -> None:
    signed = LOG.sign(TEXT)
    unknown = (
        # Neither the name nor the id alone is a key's.
        Signature(LOG.name, bytes(4), b"?"),
        Signature("other.example", signed.key_id, b"?"),
        Signature("other.example", b"\xff" * 4, bytes(2420)),
    )
    note = Note.parse(Note(TEXT, (*unknown, signed)).render().encode())

    assert note.signatures == (*unknown, signed)
    assert verified(note, LOG.verifier) == Verified(LOG.verifier, None)
    assert not has_signature_of(note, WITNESS.verifier)
    assert verified(note, WITNESS.verifier) is None


@pytest.mark.parametrize("length", [1, 63, 64, 65, 72])
def test_a_wrong_signature_of_a_known_key_spoils_the_right_one(length: int) -> None:
    right = LOG.sign(TEXT)
    wrong = Signature(right.name, right.key_id, bytes(length))

    for signatures in ((right, wrong), (wrong, right), (wrong,)):
        note = Note(TEXT, signatures)
        assert has_signature_of(note, LOG.verifier)
        assert verified(note, LOG.verifier) is None


@pytest.mark.parametrize(
    "value",
    [
        b"\0",
        bytes(64),
        bytes(71),
        bytes(72),
        bytes(73),
        # Longer by a byte, and another time.
        WITNESS.cosign(TEXT, 5).value + b"\0",
        WITNESS.cosign(TEXT, 5).value[8:],
        WITNESS.cosign(TEXT, 6).value[:8] + WITNESS.cosign(TEXT, 5).value[8:],
    ],
)
def test_a_wrong_cosignature_is_none(value: bytes) -> None:
    key_id = WITNESS.verifier.key_id
    note = Note(TEXT, (Signature(WITNESS.name, key_id, value),))

    assert verified(note, WITNESS.verifier) is None
    spoilt = note.with_signatures(WITNESS.cosign(TEXT, 5))
    assert verified(spoilt, WITNESS.verifier) is None


def test_a_time_beyond_63_bits_is_refused_although_it_is_signed() -> None:
    # Signed by hand, since a signer refuses to.
    late = (LATEST + 1).to_bytes(8, "big")
    plain = Signer(WITNESS.name, ED25519, WITNESS.seed)
    signed = plain.sign(f"cosignature/v1\ntime {LATEST + 1}\n{TEXT}").value
    note = Note(
        TEXT, (Signature(WITNESS.name, WITNESS.verifier.key_id, late + signed),)
    )

    assert verified(note, WITNESS.verifier) is None
    latest = Note(TEXT, (WITNESS.cosign(TEXT, LATEST),))
    assert verified(latest, WITNESS.verifier) == Verified(WITNESS.verifier, LATEST)


def test_the_newest_cosignature_counts() -> None:
    times = (7, 9, 8)
    note = Note(TEXT, tuple(WITNESS.cosign(TEXT, time) for time in times))

    assert verified(note, WITNESS.verifier) == Verified(WITNESS.verifier, 9)


def test_a_signature_is_for_one_text() -> None:
    other = TEXT.replace("\n1\n", "\n2\n")
    note = Note(other, (LOG.sign(TEXT), WITNESS.cosign(TEXT, 5)))

    assert verified(note, LOG.verifier) is None
    assert verified(note, WITNESS.verifier) is None


def test_one_key_s_two_types_do_not_stand_for_each_other() -> None:
    """A log's signature over a cosignature's message is not a cosignature."""
    log = Signer(WITNESS.name, ED25519, WITNESS.seed)
    note = Note(TEXT, (WITNESS.cosign(TEXT, 5),))

    assert log.verifier.key_id != WITNESS.verifier.key_id
    assert not has_signature_of(note, log.verifier)
    relabelled = Signature(log.name, log.verifier.key_id, note.signatures[0].value[8:])
    assert verified(Note(TEXT, (relabelled,)), log.verifier) is None


# --- properties

CHARACTERS = st.characters(
    codec="utf-8", min_codepoint=0x20, categories=None
) | st.just("\n")
TEXTS = st.text(CHARACTERS, max_size=40).map(lambda text: f"{text}\n")
NAMES = (
    st.text(CHARACTERS, min_size=1, max_size=10)
    .map(lambda text: "".join(text.split()).replace("+", ""))
    .filter(bool)
)
SIGNATURES = st.builds(
    Signature,
    NAMES,
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=1, max_size=90),
)
NOTES = st.builds(Note, TEXTS, st.lists(SIGNATURES, min_size=1, max_size=4).map(tuple))
SIGNED = Note(TEXT, (LOG.sign(TEXT), WITNESS.cosign(TEXT, 5))).render()


@given(NOTES)
def test_what_is_written_is_read_again(note: Note) -> None:
    assert Note.parse(note.render().encode()) == note


def _check_reading(raw: bytes) -> Note | None:
    """Whatever is accepted is written as it was read; the rest is a NoteError."""
    try:
        note = Note.parse(raw)
    except NoteError:
        return None
    assert note.render().encode() == raw
    return note


@given(
    st.binary(max_size=80)
    | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@example(b"\n\n\xe2\x80\x94 a AAAAAAE=\n")
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    _check_reading(raw)
    _check_reading(raw + b"\n\n" + LINE.encode())
    _check_reading(b"text\n\n" + raw)
    _check_reading(b"text\n\n\xe2\x80\x94 " + raw + b"\n")


@given(st.data())
def test_a_damaged_note_is_refused_or_not_verified(data: st.DataObject) -> None:
    raw = SIGNED.encode()
    start = data.draw(st.integers(0, len(raw) - 1))
    end = data.draw(st.integers(start, min(start + 3, len(raw))))
    damaged = raw[:start] + data.draw(st.binary(max_size=3)) + raw[end:]
    note = _check_reading(damaged)

    for signer in (LOG, WITNESS):
        if note is not None and verified(note, signer.verifier):
            assert note.text == TEXT


@given(st.text(max_size=60) | st.sampled_from([GO_KEY, GO_PRIVATE_KEY]))
@example("a+b+====")
@example("a+\u00e9+\u00e9")
def test_any_text_is_a_key_or_refused(text: str) -> None:
    for parse in (VerifierKey.parse, Signer.parse):
        try:
            key = parse(text)
        except NoteError:
            continue
        assert str(key) == text


@given(
    NAMES, st.sampled_from([ED25519, COSIGNATURE]), st.binary(min_size=32, max_size=32)
)
def test_keys_are_read_as_they_are_written(
    name: str, algorithm: int, secret: bytes
) -> None:
    signer = Signer(name, algorithm, secret)

    assert Signer.parse(str(signer)) == signer
    assert VerifierKey.parse(str(signer.verifier)) == signer.verifier
    assert to_base64(secret) not in repr(signer)
