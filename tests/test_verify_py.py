"""verifier/verify.py: its arithmetic, against vectors and against others.

What it says of whole bundles is in test_verify_bundles.py, and how a panel runs it in
test_verify_run.py.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.bundles import (
    BOARD,
    LOG_KEY,
    ORIGIN,
    POLICY,
    PRESS,
    UNION,
    Key,
    as_json,
    tree_consistency,
    tree_path,
    tree_root,
)
from utils import blockchain_hasher, merkle, tlog_policy
from utils.signed_note import Note, NoteError, Signature
from verifier import verify as verifier

# RFC 8032 section 7.1, tests 1 to 3: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_ed25519_agrees_with_rfc_8032(
    public: str, message: str, signature: str
) -> None:
    key, text, signed = map(bytes.fromhex, (public, message, signature))

    assert verifier.verify_ed25519(key, text, signed)
    assert not verifier.verify_ed25519(key, text + b"!", signed)
    assert not verifier.verify_ed25519(key, text, signed[:-1])
    assert not verifier.verify_ed25519(key, text, signed + b"\0")
    assert not verifier.verify_ed25519(key[:-1], text, signed)


def is_accepted_elsewhere(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=300),
    st.integers(0, 64 * 8 + 32 * 8 - 1),
)
def test_ed25519_agrees_with_another_implementation(
    seed: bytes, message: bytes, bit: int
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    flipped = bytearray(signature + public)
    flipped[bit // 8] ^= 1 << bit % 8
    other_signature, other_public = bytes(flipped[:64]), bytes(flipped[64:])

    assert verifier.verify_ed25519(public, message, signature)
    assert verifier.verify_ed25519(
        other_public, message, other_signature
    ) == is_accepted_elsewhere(other_public, message, other_signature)


def test_a_number_that_is_written_in_another_way_is_refused() -> None:
    public, _, signature = (bytes.fromhex(each) for each in RFC_8032[0])
    scalar = int.from_bytes(signature[32:], "little") + verifier.ORDER

    malleable = signature[:32] + scalar.to_bytes(32, "little")

    assert not verifier.verify_ed25519(public, b"", malleable)


P = 2**255 - 19


@pytest.mark.parametrize(
    "encoded",
    [
        # y = 1 as p + 1, y = 0 as p, and the largest that fits.
        (P + 1).to_bytes(32, "little"),
        P.to_bytes(32, "little"),
        (2**255 - 1).to_bytes(32, "little"),
        # x = 0 has no negative.
        (1 | 1 << 255).to_bytes(32, "little"),
        ((P - 1) | 1 << 255).to_bytes(32, "little"),
        # On no curve.
        (2).to_bytes(32, "little"),
    ],
)
def test_a_point_has_one_encoding(encoded: bytes) -> None:
    assert verifier.decode_point(encoded) is None


def small_points() -> list[bytes]:
    """Compute the eight points that eight times themselves are nothing."""
    found = {verifier.encode_point(verifier.IDENTITY)}
    number = 2
    while len(found) < 8:
        number += 1
        point = verifier.decode_point(number.to_bytes(32, "little"))
        if point is None:
            continue
        # What is left of a point when the large prime order is taken out of it.
        left = verifier.IDENTITY
        for bit in f"{verifier.ORDER:b}":
            left = verifier.double_point(left)
            if bit == "1":
                left = verifier.add_points(left, point)
        found.add(verifier.encode_point(left))
    return sorted(found)


def test_points_of_small_order_sign_nothing() -> None:
    """With such a key, R = S * B would fit any message whose digest is right."""
    scalar = 7
    point = verifier.IDENTITY
    for _ in range(scalar):
        point = verifier.add_points(point, verifier.BASE)
    signature = verifier.encode_point(point) + scalar.to_bytes(32, "little")

    for public in small_points():
        assert verifier.decode_point(public) is not None
        for number in range(16):
            assert not verifier.verify_ed25519(public, bytes([number]), signature)


# The bytes of an entry.

hashes = st.binary(min_size=32, max_size=32)
texts = st.text(st.characters(exclude_categories=["Cs"]))
extremes = texts | st.sampled_from(
    ["", "\x00", "\U0010ffff" * 9, "a\u0301", "\u00e1", "\ufeff", "\u2028", "\\", '"']
)


entries = st.builds(
    blockchain_hasher.Entry,
    log_id=st.binary(min_size=16, max_size=16),
    seq=st.integers(0, 2**63 - 1),
    previous_hash=hashes,
    recorded_at_us=st.integers(-(2**63), 2**63 - 1),
    xid=st.integers(0, 2**64 - 1),
    flags=st.integers(0, 2**16 - 1),
    schema_version=st.integers(0, 2**32 - 1),
    payload_hash=hashes,
    state_hash=hashes,
    attempt_id=st.none() | extremes,
    actor_id=st.none() | extremes,
    event_type=extremes,
    entity_type=extremes,
    entity_id=extremes,
)


@given(entries, hashes, extremes)
def test_entries_have_the_bytes_that_the_application_has(
    entry: blockchain_hasher.Entry, salt: bytes, payload: str
) -> None:
    line = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in asdict(entry).items()
        if name not in {"log_id", "stream"}
    }
    line |= {"payload": payload, "payload_salt": salt.hex(), "hash": bytes(32).hex()}
    expected = blockchain_hasher.entry_bytes(entry)

    ((_, read),) = verifier.read_lines(as_json(line))
    found = verifier.read_entry(read)

    assert verifier.entry_bytes(found, entry.log_id) == expected
    assert verifier.entry_hash(found, entry.log_id) == blockchain_hasher.leaf_hash(
        expected
    )
    assert verifier.payload_commitment(
        salt, payload.encode()
    ) == blockchain_hasher.payload_commitment(salt, payload.encode())


# The tree.

# The leaves of the certificate-transparency test data.
CT_LEAVES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]


def leaves_of(size: int) -> list[bytes]:
    return [
        hashlib.sha256(b"\0" + number.to_bytes(4)).digest() for number in range(size)
    ]


def test_the_tree_agrees_with_the_vector_of_rfc_6962() -> None:
    leaves = [
        hashlib.sha256(b"\0" + bytes.fromhex(leaf)).digest() for leaf in CT_LEAVES
    ]
    root = bytes.fromhex(
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    )

    assert tree_root(leaves) == root
    for index, leaf in enumerate(leaves):
        path = tree_path(index, leaves)
        assert verifier.verify_inclusion(index, 8, leaf, path, root)


def changed(proof: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield proofs that are not the one given."""
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]
    for place in range(len(proof)):
        yield [*proof[:place], *proof[place + 1 :]]
        flipped = bytes([proof[place][0] ^ 1]) + proof[place][1:]
        yield [*proof[:place], flipped, *proof[place + 1 :]]
        yield [*proof[:place], proof[place][:-1], *proof[place + 1 :]]


def test_inclusion_is_proven_by_nothing_but_the_proof() -> None:
    for size in range(1, 34):
        leaves = leaves_of(size)
        root = tree_root(leaves)
        for index, leaf in enumerate(leaves):
            path = tree_path(index, leaves)
            assert verifier.verify_inclusion(index, size, leaf, path, root)
            assert not verifier.verify_inclusion(index, size, leaf, path, leaf[::-1])
            assert not verifier.verify_inclusion(index, size, root[::-1], path, root)
            for other in {index ^ 1, index + 1, index - 1, size, -1} - {index}:
                assert not verifier.verify_inclusion(other, size, leaf, path, root)
            for wrong in changed(path):
                assert not verifier.verify_inclusion(index, size, leaf, wrong, root)


def test_consistency_is_proven_by_nothing_but_the_proof() -> None:
    for size in range(1, 34):
        leaves = leaves_of(size)
        root = tree_root(leaves)
        for old in range(1, size + 1):
            old_root = tree_root(leaves[:old])
            proof = tree_consistency(old, leaves)
            check = verifier.verify_consistency
            assert check(old, size, old_root, root, proof)
            assert not check(old, size, old_root[::-1], root, proof)
            assert not check(old, size, old_root, root[::-1], proof)
            assert old == size or not check(size, old, root, old_root, proof)
            for wrong in changed(proof):
                assert not check(old, size, old_root, root, wrong)
        assert verifier.verify_consistency(0, size, tree_root([]), root, [])
        assert not verifier.verify_consistency(0, size, root, root, [])
        assert not verifier.verify_consistency(0, size, tree_root([]), root, [root])
        assert not verifier.verify_consistency(0, 0, tree_root([]), root, [])


@st.composite
def claims(draw: st.DrawFn) -> tuple[int, int, list[bytes], list[bytes]]:
    """A place or size in a tree, the tree's size, its leaves, and a proof or almost."""
    size = draw(st.integers(1, 70))
    place = draw(st.integers(0, size))
    leaves = leaves_of(size)
    proof = (
        tree_path(place, leaves)
        if draw(st.booleans()) and place < size
        else tree_consistency(place, leaves)
        if place
        else []
    )
    if draw(st.booleans()):
        proof = draw(st.sampled_from(list(changed(proof))))
    place += draw(st.sampled_from([0, 0, 0, 1, -1]))
    return place, size + draw(st.sampled_from([0, 0, 0, 1, -1, size])), leaves, proof


@given(claims())
def test_proofs_are_judged_as_the_application_judges_them(
    claim: tuple[int, int, list[bytes], list[bytes]],
) -> None:
    place, size, leaves, proof = claim
    root = tree_root(leaves)
    leaf = leaves[min(max(place, 0), len(leaves) - 1)]
    old_root = tree_root(leaves[: max(place, 0)])

    assert verifier.verify_inclusion(
        place, size, leaf, proof, root
    ) == merkle.verify_inclusion(place, size, leaf, proof, root)
    assert verifier.verify_consistency(
        place, size, old_root, root, proof
    ) == merkle.verify_consistency(place, size, old_root, root, proof)


# Notes and policies.

# The example of C2SP's signed-note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tn"
    "agv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def test_the_example_of_the_note_format_is_signed() -> None:
    key = verifier.parse_verifier_key(EXAMPLE_KEY)
    note = verifier.parse_note(EXAMPLE_NOTE.encode())

    assert note.text == "This is an example message.\n"
    assert verifier.is_signed(note, key)
    changed = verifier.parse_note(EXAMPLE_NOTE.replace("an ex", "no ex").encode())
    with pytest.raises(verifier.ChangedError):
        verifier.is_signed(changed, key)


def test_a_signature_of_an_unknown_key_is_passed_over() -> None:
    text = "anything\n"
    stranger = Key("example.com/foo", 0x01)
    note = verifier.parse_note(f"{text}\n{stranger.sign(text)}".encode())

    assert not verifier.is_signed(note, verifier.parse_verifier_key(EXAMPLE_KEY))
    assert verifier.is_signed(note, verifier.parse_verifier_key(stranger.text))


GOOD = LOG_KEY.sign("a\n").encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"a\n",
        b"a\n\n",
        b"a\n" + GOOD,
        b"a\n\n" + GOOD[:-1],
        b"a\n\n" + GOOD + b"\n",
        b"a\r\n\n" + GOOD,
        b"a\0\n\n" + GOOD,
        b"\xff\n\n" + GOOD,
        b"a\n\n" + GOOD.replace(b"\xe2\x80\x94", b"-"),
        b"a\n\n" + GOOD.replace(b" ", b"  ", 1),
        b"a\n\n" + GOOD.replace(ORIGIN.encode(), b"a+b"),
        b"a\n\n" + GOOD.replace(ORIGIN.encode(), "a\u2003b".encode()),
        b"a\n\n" + GOOD.replace(b"=\n", b"\n"),
        b"a\n\n" + GOOD.replace(b"=\n", b"=x\n"),
        b"a\n\n\xe2\x80\x94 name AAAA\n",
        b"a\n\n" + GOOD * 65,
        b"a" * verifier.MAX_NOTE_BYTES + b"\n\n" + GOOD,
    ],
)
def test_what_is_no_note_is_refused(raw: bytes) -> None:
    with pytest.raises(verifier.MalformedError):
        verifier.parse_note(raw)


@pytest.mark.parametrize(
    "text",
    [
        "origin\n1\n",
        "origin\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "origin\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "origin\n\u0661\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        f"origin\n{2**63}\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "origin\n1\nAAAA\n",
        "origin\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
        "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "origin\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nmore\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(verifier.MalformedError):
        verifier.parse_checkpoint(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("quorum two\n", ""),
        ("quorum two\n", "quorum two\nquorum two\n"),
        ("quorum two\n", "quorum two"),
        ("quorum two\n", "quorum three\n"),
        ("group two 2", "group two 4"),
        ("group two 2", "group two 0"),
        ("group two 2", "group two some"),
        ("group two 2 board", "group two 2 board board"),
        ("group two 2 board", "group two 2 none"),
        ("witness union", "witness board"),
        ("witness union", "witness none"),
        (UNION.text, BOARD.text),
        (UNION.text, UNION.text.replace("+", "+0", 1)),
        (UNION.text, UNION.text[:-1]),
        ("witness union ", "witness "),
        ("# Whose", "what # Whose"),
        ("\n", "\r\n"),
        ("Whose", "\x01"),
    ],
)
def test_what_is_no_policy_is_refused(old: str, new: str) -> None:
    assert old in POLICY
    with pytest.raises(verifier.MalformedError):
        verifier.parse_policy(POLICY.replace(old, new).encode())


def judged(policy: str, *signatures: str) -> verifier.Judgement:
    text = "proctoring/test\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    note = verifier.parse_note(f"{text}\n{''.join(signatures)}".encode())
    return verifier.judge(verifier.parse_policy(policy.encode()), note, ORIGIN)


TEXT = "proctoring/test\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
NESTED = f"""\tlog {LOG_KEY.text}
witness b {BOARD.text}
witness u {UNION.text}
group offices any b u

witness \u00fc {PRESS.text} https://press.example/
  group all-of-them all offices \u00fc
quorum all-of-them
"""


@pytest.mark.parametrize(
    ("policy", "who", "is_met"),
    [
        (POLICY, [], False),
        (POLICY, [BOARD], False),
        (POLICY, [BOARD, BOARD], False),
        (POLICY, [BOARD, PRESS], True),
        (NESTED, [BOARD, UNION], False),
        (NESTED, [UNION, PRESS], True),
        (f"log {LOG_KEY.text}\nquorum none\n", [], True),
        (f"witness b {BOARD.text}\nquorum b\n", [BOARD], True),
        (f"witness b {BOARD.text}\nquorum b\n", [UNION], False),
    ],
)
def test_a_quorum_is_as_the_policy_has_it(
    policy: str,
    who: list[Key],
    is_met: bool,  # noqa: FBT001 - pytest's.
) -> None:
    found = judged(policy, LOG_KEY.sign(TEXT), *(key.cosign(TEXT) for key in who))

    assert found.is_quorum_met is is_met
    assert found.is_log_known == found.is_log_signed == ("log" in policy)


@pytest.mark.parametrize(
    "line",
    [
        BOARD.cosign(TEXT + "x"),
        BOARD.cosign(TEXT)[:-8] + "AAAA" + BOARD.cosign(TEXT)[-4:],
        # Signed without its time, as a log signs.
        BOARD.sign(TEXT),
        LOG_KEY.sign(TEXT + "x"),
    ],
)
def test_a_wrong_signature_of_a_known_key_is_no_missing_one(line: str) -> None:
    with pytest.raises(verifier.ChangedError):
        judged(POLICY, line)


@given(
    st.lists(st.sampled_from([LOG_KEY, BOARD, UNION, PRESS]), max_size=5),
    st.sampled_from([POLICY, NESTED, f"log {LOG_KEY.text}\nquorum none\n"]),
)
def test_policies_are_applied_as_the_application_applies_them(
    who: list[Key], policy: str
) -> None:
    lines = [key.sign(TEXT) if key is LOG_KEY else key.cosign(TEXT) for key in who]
    if not lines:
        lines = [Key("nobody", 0x01).sign(TEXT)]
    raw = f"{TEXT}\n{''.join(lines)}".encode()

    expected = tlog_policy.Policy.parse(policy).check(Note.parse(raw))
    found = judged(policy, *lines)

    assert expected.is_satisfied == (found.is_log_signed and found.is_quorum_met)
    assert {seconds for _, seconds in expected.witnesses} == set(found.times.values())
    assert len(expected.witnesses) == len(found.times)


@given(st.data())
def test_notes_are_refused_as_the_application_refuses_them(data: st.DataObject) -> None:
    raw = f"{TEXT}\n{LOG_KEY.sign(TEXT)}{BOARD.cosign(TEXT)}".encode()
    start = data.draw(st.integers(0, len(raw)))
    end = min(len(raw), start + data.draw(st.integers(0, 3)))
    middle = data.draw(
        st.binary(max_size=3)
        | st.sampled_from([b"\n", b"\n\n", b" ", b"+", b"=", "\u2014".encode(), b"\t"])
    )
    raw = raw[:start] + middle + raw[end:]

    try:
        expected = [(each.name, each.key_id, each.value) for each in parsed(raw)]
    except NoteError:
        with pytest.raises(verifier.MalformedError):
            verifier.parse_note(raw)
    else:
        found = verifier.parse_note(raw).signatures
        assert [(each.name, each.key_id, each.value) for each in found] == expected


def parsed(raw: bytes) -> tuple[Signature, ...]:
    return Note.parse(raw).signatures
