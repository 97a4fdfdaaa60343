"""Notes and keys, against the vectors of c2sp.org/signed-note."""

from utils.signed_note import (
    COSIGNATURE,
    ED25519,
    Note,
    Signer,
    Verified,
    VerifierKey,
    verified,
)

VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq"
    "6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def test_the_example_of_the_specification_is_verified() -> None:
    key = VerifierKey.parse(VKEY)
    note = Note.parse(NOTE.encode())

    assert key.key_id.hex() == "530d903a"
    assert verified(note, key) == Verified(key, None)
    assert str(key) == VKEY
    assert note.render() == NOTE


def test_what_a_signer_signs_its_key_verifies() -> None:
    signer = Signer.generate("exam.example/log", ED25519)
    witness = Signer.generate("witness.example", COSIGNATURE)
    text = "hello\n"
    note = Note(text, (signer.sign(text),)).with_signatures(witness.cosign(text, 7))

    assert Signer.parse(str(signer)) == signer
    assert verified(note, signer.verifier) == Verified(signer.verifier, None)
    assert verified(note, witness.verifier) == Verified(witness.verifier, 7)
