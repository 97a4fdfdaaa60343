"""Proofs for offline use, as c2sp.org/tlog-proof writes them."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from utils.checkpoint import Checkpoint
from utils.merkle import inclusion_proof, node_hash, root_at
from utils.signed_note import COSIGNATURE, ED25519, Note, NoteError, Signer, verified
from utils.tlog_proof import MAX_EXTRA_BYTES, MAX_PROOF_BYTES, TlogProof

LOG = Signer("exam.example/log", ED25519, b"\1" * 32)
WITNESS = Signer("witness.example/w", COSIGNATURE, b"\2" * 32)
LEAVES = tuple(sha256(b"%d" % number).digest() for number in range(7))


def _read(level: int, index: int) -> bytes:
    if level == 0:
        return LEAVES[index]
    return node_hash(_read(level - 1, 2 * index), _read(level - 1, 2 * index + 1))


TEXT = Checkpoint(LOG.name, 7, root_at(7, _read)).render()
NOTE = Note(TEXT, (LOG.sign(TEXT), WITNESS.cosign(TEXT, 1679315147))).render()
PROOF = TlogProof(3, tuple(inclusion_proof(3, 7, _read)), NOTE, b"any bytes")
WRITTEN = PROOF.render()
HEADER = "c2sp.org/tlog-proof@v1\n"
# The example of the specification, which leaves its signatures out: the checkpoint is
# the example of c2sp.org/tlog-checkpoint.
EXAMPLE = """\
c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URY\
N7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


def test_the_form_of_the_specification_is_read_and_written() -> None:
    proof = TlogProof.parse(EXAMPLE.encode())

    assert proof.index == 73894
    assert len(proof.proof) == 5
    assert proof.extra is not None
    assert proof.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz")
    assert proof.checkpoint().size == 20852163
    assert proof.render() == EXAMPLE


def test_a_proof_has_all_that_offline_verification_needs() -> None:
    proof = TlogProof.parse(WRITTEN.encode())

    assert proof == PROOF
    assert proof.includes(LEAVES[3])
    assert verified(proof.note(), LOG.verifier)
    found = verified(proof.note(), WITNESS.verifier)
    assert found is not None
    assert found.timestamp_seconds == 1679315147


def test_a_proof_is_for_one_leaf_at_one_place() -> None:
    assert not PROOF.includes(LEAVES[2])
    assert not PROOF.includes(b"")
    assert not replace(PROOF, index=2).includes(LEAVES[3])
    assert not replace(PROOF, index=2**63 - 1).includes(LEAVES[3])
    assert not replace(PROOF, proof=PROOF.proof[1:]).includes(LEAVES[3])
    assert not replace(PROOF, proof=PROOF.proof[::-1]).includes(LEAVES[3])
    assert not replace(PROOF, checkpoint_note=NOTE.replace("\n7\n", "\n3\n")).includes(
        LEAVES[3]
    )


def test_a_log_of_one_entry_needs_no_hashes() -> None:
    text = Checkpoint(LOG.name, 1, LEAVES[0]).render()
    note = Note(text, (LOG.sign(text),)).render()
    proof = TlogProof.parse(f"{HEADER}index 0\n\n{note}".encode())

    assert proof == TlogProof(0, (), note)
    assert proof.includes(LEAVES[0])
    assert not proof.includes(LEAVES[1])


def test_empty_extra_data_is_not_none() -> None:
    proof = replace(PROOF, extra=b"")

    assert "\nextra \n" in proof.render()
    assert TlogProof.parse(proof.render().encode()).extra == b""
    without = replace(PROOF, extra=None)
    assert "extra" not in without.render()
    assert TlogProof.parse(without.render().encode()).extra is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (HEADER, ""),
        (HEADER, "c2sp.org/tlog-proof@v2\n"),
        (HEADER, "c2sp.org/tlog-proof@v1 \n"),
        (HEADER, "\n" + HEADER),
        (HEADER, HEADER * 2),
        (HEADER, HEADER.replace("\n", "\r\n")),
        ("extra ", "extra"),
        ("extra ", "extra  "),
        ("extra ", "Extra "),
        ("extra ", "extra AAAA\nextra "),
        ("index 3\n", ""),
        ("index 3\n", "index\n"),
        ("index 3\n", "index \n"),
        ("index 3\n", "index 03\n"),
        ("index 3\n", "index -3\n"),
        ("index 3\n", "index  3\n"),
        ("index 3\n", "index 3 \n"),
        ("index 3\n", "Index 3\n"),
        ("index 3\n", "index 3\nindex 3\n"),
        ("index 3\n", "index 9223372036854775808\n"),
        ("index 3\n", "index 3\nextra AAAA\n"),
        ("index 3\n", "index 3\n\n"),
        ("index 3\n", "index 3\nAAAA\n"),
        ("index 3\n", "index 3\n \n"),
        ("=\n\n", "=\n\n\n"),
        ("=\n\n", "=\n"),
        ("=\n\nexam", "\n\nexam"),
        ("=\n\nexam", "= \n\nexam"),
        ("\n7\n", "\n07\n"),
        ("exam.example/log\n7\n", "7\n"),
        ("\u2014", "-"),
    ],
)
def test_what_is_no_proof_is_refused(old: str, new: str) -> None:
    bent = WRITTEN.replace(old, new, 1)

    assert bent != WRITTEN
    with pytest.raises(NoteError):
        TlogProof.parse(bent.encode())


def test_a_proof_without_its_end_is_refused() -> None:
    # Up to where the first signature line is complete.
    end = WRITTEN.index("\u2014 witness")
    for length in (*range(end), *range(end + 1, len(WRITTEN))):
        with pytest.raises(NoteError):
            TlogProof.parse(WRITTEN[:length].encode())
    assert TlogProof.parse(WRITTEN[:end].encode()).includes(LEAVES[3])


def test_what_no_tree_can_need_is_refused() -> None:
    assert len(replace(PROOF, proof=(bytes(32),) * 63).proof) == 63
    with pytest.raises(NoteError, match="63 hashes"):
        replace(PROOF, proof=(bytes(32),) * 64)
    more = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" * 61
    with pytest.raises(NoteError, match="63 hashes"):
        TlogProof.parse(WRITTEN.replace("index 3\n", f"index 3\n{more}").encode())


def test_what_no_proof_can_hold_is_refused() -> None:
    for wrong in (bytes(31), bytes(33), b""):
        with pytest.raises(NoteError, match="32 bytes"):
            replace(PROOF, proof=(wrong,))
    for index in (-1, 2**63):
        with pytest.raises(NoteError, match=r"2\*\*63"):
            replace(PROOF, index=index)
    for note in ("", TEXT, NOTE[:-1], "text\n\n" + NOTE.partition("\n\n")[2]):
        with pytest.raises(NoteError):
            replace(PROOF, checkpoint_note=note)
    with pytest.raises(NoteError, match="surrogate"):
        replace(PROOF, checkpoint_note="\ud800")


def test_a_proof_is_accepted_up_to_a_size() -> None:
    most = replace(PROOF, extra=bytes(MAX_EXTRA_BYTES))

    assert TlogProof.parse(most.render().encode()) == most
    with pytest.raises(NoteError, match="extra data"):
        replace(PROOF, extra=bytes(MAX_EXTRA_BYTES + 1))
    with pytest.raises(NoteError, match="bytes are more"):
        TlogProof.parse(b"a" * (MAX_PROOF_BYTES + 1))


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
    st.none() | st.binary(max_size=40),
)
def test_what_is_written_is_read_again(
    index: int, hashes: tuple[bytes, ...], extra: bytes | None
) -> None:
    proof = TlogProof(index, hashes, NOTE, extra)

    assert TlogProof.parse(proof.render().encode()) == proof


def _check_reading(raw: bytes) -> TlogProof | None:
    """Whatever is accepted is written as it was read; the rest is a NoteError."""
    try:
        proof = TlogProof.parse(raw)
    except NoteError:
        return None
    assert proof.render().encode() == raw
    return proof


@given(st.data())
def test_a_damaged_proof_proves_nothing_else(data: st.DataObject) -> None:
    raw = WRITTEN.encode()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(start + 3, len(raw))))
    damaged = raw[:start] + data.draw(st.binary(max_size=3)) + raw[end:]
    proof = _check_reading(damaged)

    if proof is not None and verified(proof.note(), LOG.verifier):
        # Extra data is the one part that nobody has signed or hashed.
        assert not proof.includes(LEAVES[3]) or (
            replace(proof, extra=None, checkpoint_note=NOTE)
            == replace(PROOF, extra=None)
        )


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
@example(b"index \xd9\xa3")
@example(b"extra ====")
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    _check_reading(raw)
    _check_reading(HEADER.encode() + raw)
    _check_reading(HEADER.encode() + raw + b"\n\n" + NOTE.encode())
    _check_reading(HEADER.encode() + b"index 3\n" + raw + b"\n\n" + NOTE.encode())
