"""Trust policies, as c2sp.org/tlog-policy has them."""

import contextlib
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.public_checkpoint import LOG_KEY, WITNESS_KEYS, WITNESSED
from utils.checkpoint import Checkpoint
from utils.signed_note import COSIGNATURE, ED25519, Note, NoteError, Signature, Signer
from utils.tlog_policy import MAX_OF_A_KIND, MAX_POLICY_CHARACTERS, Policy

LOG = Signer("exam.example/log", ED25519, b"\1" * 32)
OTHER_LOG = Signer("other.example/log", ED25519, b"\2" * 32)
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
WITNESSES = {
    name: Signer(f"witness.example/{name}", COSIGNATURE, bytes([16 + number]) * 32)
    for number, name in enumerate(NAMES)
}
TEXT = Checkpoint(LOG.name, 5, bytes(32)).render()
SIGNED = Note(TEXT, (LOG.sign(TEXT),))

LOG_LINE = f"log {LOG.verifier}\n"
WITNESS_LINES = "".join(
    f"witness {name} {witness.verifier}\n" for name, witness in WITNESSES.items()
)
# The example of the specification.
EXAMPLE = f"""\
{LOG_LINE}{WITNESS_LINES}\
group X-witnesses 2 X1 X2 X3
group Y-witnesses any Y1 Y2 Y3
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def _cosigned(*names: str) -> Note:
    return SIGNED.with_signatures(
        *(
            WITNESSES[name].cosign(TEXT, 1000 + number)
            for number, name in enumerate(names)
        )
    )


def test_the_quorum_of_the_specification_s_example_is_asked_for() -> None:
    """Each of the 64 sets of witnesses, against the rule in plain words."""
    policy = Policy.parse(EXAMPLE)
    for count in range(len(NAMES) + 1):
        for names in itertools.combinations(NAMES, count):
            of_x = sum(name.startswith("X") for name in names)
            enough = of_x >= 2 and of_x < count
            result = policy.check(_cosigned(*names))
            assert result.is_satisfied == enough
            assert bool(result.missing) == (not enough)
            assert result.log == LOG.verifier
            assert [name for name, _ in result.witnesses] == list(names)


def test_the_times_of_the_witnesses_are_told() -> None:
    result = Policy.parse(EXAMPLE).check(_cosigned("X3", "Y1", "X2"))

    assert result.is_satisfied
    assert dict(result.witnesses) == {"X3": 1000, "Y1": 1001, "X2": 1002}
    assert result.missing == ""


def test_public_witnesses_satisfy_a_policy_that_names_them() -> None:
    witnesses = "".join(
        f"witness w{number} {vkey}\n" for number, vkey in enumerate(WITNESS_KEYS)
    )
    policy = Policy.parse(
        f"log {LOG_KEY}\n{witnesses}group all-four all w0 w1 w2 w3\nquorum all-four\n"
    )
    result = policy.check(Note.parse(WITNESSED.encode()))

    assert result.is_satisfied
    assert {time for _, time in result.witnesses} == {1779573024}
    grown = WITNESSED.replace("1432088532", "1432088533")
    assert not policy.check(Note.parse(grown.encode())).is_satisfied


@pytest.mark.parametrize(
    ("quorum", "names", "is_satisfied"),
    [
        ("quorum none\n", (), True),
        ("quorum X1\n", (), False),
        ("quorum X1\n", ("X2", "Y1"), False),
        ("quorum X1\n", ("X1",), True),
        ("group g any X1 X2\nquorum g\n", ("X2",), True),
        ("group g any X1 X2\nquorum g\n", ("X3",), False),
        ("group g all X1 X2\nquorum g\n", ("X2",), False),
        ("group g all X1 X2\nquorum g\n", ("X2", "X1"), True),
        ("group g 1 X1\nquorum g\n", ("X1",), True),
        ("group all all X1\nquorum all\n", ("X1",), True),
        # What is defined and not asked for does not count.
        ("group g any X1 X2\nquorum Y1\n", ("X1", "X2"), False),
        ("group g any X1 X2\ngroup h any g Y1\nquorum h\n", ("X1",), True),
        ("group g all X1 X2\ngroup h all g Y1\nquorum h\n", ("X1", "Y1"), False),
    ],
)
def test_quorums(quorum: str, names: tuple[str, ...], is_satisfied: bool) -> None:  # noqa: FBT001 - a column of the table
    policy = Policy.parse(f"{LOG_LINE}{WITNESS_LINES}{quorum}")

    assert policy.check(_cosigned(*names)).is_satisfied == is_satisfied


def test_without_a_log_s_signature_no_quorum_is_enough() -> None:
    cosignatures = tuple(witness.cosign(TEXT, 1) for witness in WITNESSES.values())
    result = Policy.parse(EXAMPLE).check(Note(TEXT, cosignatures))

    assert not result.is_satisfied
    assert result.log is None
    assert len(result.witnesses) == 6
    assert "exam.example/log" in result.missing


def test_a_policy_without_logs_believes_none() -> None:
    result = Policy.parse("quorum none\n").check(SIGNED)

    assert result.log is None
    assert not result.is_satisfied


def test_a_log_speaks_for_itself_only() -> None:
    """Two trusted logs: neither may sign a checkpoint of the other."""
    policy = Policy.parse(f"{LOG_LINE}log {OTHER_LOG.verifier}\nquorum none\n")
    of_other = TEXT.replace(LOG.name, OTHER_LOG.name)

    assert policy.check(SIGNED).log == LOG.verifier
    result = policy.check(Note(of_other, (OTHER_LOG.sign(of_other),)))
    assert result.log == OTHER_LOG.verifier
    result = policy.check(Note(TEXT, (OTHER_LOG.sign(TEXT),)))
    assert result.log is None
    assert not result.is_satisfied


def test_a_log_may_change_its_key() -> None:
    new = Signer(LOG.name, ED25519, b"\7" * 32)
    policy = Policy.parse(f"{LOG_LINE}log {new.verifier}\nquorum none\n")

    for signer in (LOG, new):
        result = policy.check(Note(TEXT, (signer.sign(TEXT),)))
        assert result.is_satisfied
        assert result.log == signer.verifier


def test_unknown_signatures_do_no_harm_and_no_good() -> None:
    stranger = Signer("witness.example/X1", COSIGNATURE, b"\x09" * 32)
    policy = Policy.parse(f"{LOG_LINE}{WITNESS_LINES}quorum X1\n")
    note = SIGNED.with_signatures(
        stranger.cosign(TEXT, 1), Signature("x", bytes(4), b"?")
    )

    assert not policy.check(note).is_satisfied
    note = note.with_signatures(WITNESSES["X1"].cosign(TEXT, 1))
    assert policy.check(note).is_satisfied


@pytest.mark.parametrize("who", [LOG, OTHER_LOG, WITNESSES["X1"], WITNESSES["Y3"]])
def test_a_wrong_signature_of_a_known_key_spoils_the_note(who: Signer) -> None:
    wrong = Signature(who.name, who.verifier.key_id, bytes(72))
    policy = Policy.parse(f"log {OTHER_LOG.verifier}\n{EXAMPLE}")
    right = _cosigned(*NAMES)

    assert policy.check(right).is_satisfied
    result = policy.check(right.with_signatures(wrong))
    assert not result.is_satisfied
    assert who.name in result.missing


def test_signatures_of_another_checkpoint_are_none() -> None:
    signatures = _cosigned(*NAMES).signatures
    result = Policy.parse(EXAMPLE).check(Note(TEXT.replace("5", "6", 1), signatures))

    assert not result.is_satisfied
    assert result.log is None
    assert result.witnesses == ()


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(NoteError, match="checkpoint"):
        Policy.parse(EXAMPLE).check(Note("text\n", (LOG.sign("text\n"),)))


def test_blanks_comments_urls_and_order_change_nothing() -> None:
    lines = EXAMPLE.splitlines()
    spaced = [f" \t {line} \t".replace(" ", " \t ") for line in lines]
    spaced += ["", "  \t", "# a comment \u00e4", "\t # quorum none", "#"]
    policy = Policy.parse("".join(f"{line}\n" for line in spaced))

    assert policy == Policy.parse(EXAMPLE)
    # The quorum may come before what it does not need.
    late = f"witness X1 {WITNESSES['X1'].verifier}\nquorum X1\n{LOG_LINE}"
    assert Policy.parse(late).check(_cosigned("X1")).is_satisfied
    with_urls = Policy.parse(
        f"log {LOG.verifier} https://exam.example/\n"
        f"witness w {WITNESSES['X1'].verifier} https://w.example/#a\nquorum w\n"
    )
    assert with_urls.logs == (LOG.verifier,)
    assert with_urls.witnesses[0].url == "https://w.example/#a"


def test_names_are_opaque() -> None:
    # A Kelvin sign is no K, and not UTF-8 is a name too.
    key, other = WITNESSES["X1"].verifier, WITNESSES["X2"].verifier
    lines = f"{LOG_LINE}witness K {key}\nwitness \u212a {other}\n"

    assert Policy.parse(f"{lines}quorum K\n").check(_cosigned("X1")).is_satisfied
    assert (
        not Policy.parse(f"{lines}quorum \u212a\n").check(_cosigned("X1")).is_satisfied
    )
    octets = f"{LOG_LINE}witness \udcff {key}\nquorum \udcff\n"
    result = Policy.parse(octets).check(SIGNED)
    assert not result.is_satisfied
    assert result.missing.encode()


X1 = f"witness X1 {WITNESSES['X1'].verifier}\n"
X2 = f"witness X2 {WITNESSES['X2'].verifier}\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has a quorum"),
        ("# quorum none\n", "has a quorum"),
        (f"{LOG_LINE}{X1}", "has a quorum"),
        ("quorum none", "no newline"),
        ("quorum none\nquorum none\n", "line 2 .* second quorum"),
        (f"{X1}quorum X1\nquorum X1\n", "second quorum"),
        ("quorum\n", "neither"),
        ("quorum none none\n", "neither"),
        ("quorum X1\n", "'X1' is not defined above"),
        (f"quorum X1\n{X1}", "line 1 .* not defined above"),
        ("Quorum none\n", "neither"),
        ("none\n", "neither"),
        ("quorum none # really\n", "neither"),
        ("log\n", "neither"),
        (f"log {LOG.verifier} a b\nquorum none\n", "neither"),
        ("log key\nquorum none\n", "separated by plus"),
        (f"{LOG_LINE}{LOG_LINE}quorum none\n", "defined already"),
        (f"log {WITNESSES['X1'].verifier}\nquorum none\n", "type 4"),
        ("witness X1\n", "neither"),
        (f"witness X1 {WITNESSES['X1'].verifier} a b\n", "neither"),
        (f"witness X1 {LOG.verifier}\nquorum none\n", "type 1"),
        (f"{X1}{X1}quorum X1\n", "defined already"),
        (f"{X1}{X1.replace('X1', 'Z', 1)}quorum X1\n", "defined already"),
        (f"{X1}{X2.replace('X2', 'X1', 1)}quorum X1\n", "is taken"),
        (X1.replace("X1", "none", 1) + "quorum none\n", "is taken"),
        (f"{X1}group none any X1\nquorum none\n", "is taken"),
        (f"{X1}group X1 any X1\nquorum X1\n", "is taken"),
        (f"{X1}{X2}group g any X1\ngroup g any X2\nquorum g\n", "is taken"),
        (f"{X1}group g any X1\n{X2.replace('X2', 'g', 1)}quorum g\n", "is taken"),
        (f"{X1}group g\nquorum g\n", "neither"),
        (f"{X1}group g any\nquorum g\n", "neither"),
        (f"{X1}group g any none\nquorum g\n", "'none' is not defined above"),
        (f"{X1}group g any g\nquorum g\n", "'g' is not defined above"),
        (f"{X1}group g any X1 X2\n{X2}quorum g\n", "'X2' is not defined above"),
        (f"{X1}group g any X1 X1\nquorum g\n", "member already"),
        (f"{X1}group g any X1\ngroup h any X1\nquorum h\n", "member already"),
        (f"{X1}group g any X1\ngroup h all g X1\nquorum h\n", "member already"),
        (f"{X1}group g 0 X1\nquorum g\n", "0 of 1"),
        (f"{X1}group g 2 X1\nquorum g\n", "2 of 1"),
        (f"{X1}group g -1 X1\nquorum g\n", "decimal"),
        (f"{X1}group g 01 X1\nquorum g\n", "decimal"),
        (f"{X1}group g +1 X1\nquorum g\n", "decimal"),
        (f"{X1}group g \u0661 X1\nquorum g\n", "decimal"),
        (f"{X1}group g most X1\nquorum g\n", "decimal"),
        (f"{X1}group g Any X1\nquorum g\n", "decimal"),
        (f"{X1}group g {'9' * 5000} X1\nquorum g\n", "decimal"),
        ("quorum none\r\n", "control character"),
        ("quorum\x0bnone\n", "control character"),
        ("# \x00\nquorum none\n", "control character"),
        ("# \x7f\nquorum none\n", "control character"),
        ("quorum\u00a0none\n", "neither"),
        ("\ufeffquorum none\n", "neither"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NoteError, match=reason):
        Policy.parse(text)


def test_policies_are_read_up_to_a_size() -> None:
    witnesses = [
        Signer(f"w{number}", COSIGNATURE, number.to_bytes(32, "big")).verifier
        for number in range(MAX_OF_A_KIND + 1)
    ]
    lines = [f"witness w{number} {key}\n" for number, key in enumerate(witnesses)]

    assert len(Policy.parse("".join(lines[:-1]) + "quorum w0\n").witnesses) == 256
    with pytest.raises(NoteError, match="256 of a kind"):
        Policy.parse("".join(lines) + "quorum w0\n")
    comment = "#" * (MAX_POLICY_CHARACTERS - 13)
    assert Policy.parse(f"{comment}\nquorum none\n")
    with pytest.raises(NoteError, match="characters"):
        Policy.parse(f"#{comment}\nquorum none\n")


def test_groups_of_groups_may_be_as_deep_as_they_are_many() -> None:
    groups = "".join(
        f"group g{number} all {'X1' if number == 0 else f'g{number - 1}'}\n"
        for number in range(MAX_OF_A_KIND)
    )
    policy = Policy.parse(f"{LOG_LINE}{X1}{groups}quorum g255\n")

    assert policy.check(_cosigned("X1")).is_satisfied
    assert not policy.check(SIGNED).is_satisfied


# --- properties


@st.composite
def _policies(draw: st.DrawFn) -> tuple[str, tuple[str, ...]]:
    """A policy of random groups, and who of its witnesses has cosigned."""
    lines = [LOG_LINE, WITNESS_LINES]
    free = list(NAMES)
    for number in range(draw(st.integers(0, 4))):
        if not free:
            break
        members = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = draw(
            st.integers(1, len(members)).map(str) | st.sampled_from(["any", "all"])
        )
        lines.append(f"group g{number} {threshold} {' '.join(members)}\n")
        free = [name for name in free if name not in members] + [f"g{number}"]
    lines.append(f"quorum {draw(st.sampled_from([*free, 'none']))}\n")
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return "".join(lines), tuple(names)


def _naive_has_witnessed(name: str, text: str, names: tuple[str, ...]) -> bool:
    """Read the lines anew for each name, and down instead of up."""
    if name in names or name == "none":
        return True
    for line in text.splitlines():
        match line.split():
            case ["group", group, threshold, *members] if group == name:
                votes = [_naive_has_witnessed(each, text, names) for each in members]
                match threshold:
                    case "any":
                        return any(votes)
                    case "all":
                        return all(votes)
                    case _:
                        return sum(votes) >= int(threshold)
    return False


@given(_policies())
def test_quorums_agree_with_a_naive_reading(case: tuple[str, tuple[str, ...]]) -> None:
    text, names = case
    policy = Policy.parse(text)
    quorum = text.splitlines()[-1].split()[1]

    assert policy.check(_cosigned(*names)).is_satisfied == _naive_has_witnessed(
        quorum, text, names
    )


WORDS = st.sampled_from(
    [
        *("log", "witness", "group", "quorum", "any", "all", "none", "1", "2", "#", ""),
        *("X1", "X2", "g", "\t", "\n", "\x00", str(LOG.verifier)),
        *(str(WITNESSES[name].verifier) for name in ("X1", "X2")),
    ]
)


@given(st.lists(WORDS | st.text(max_size=5), max_size=30).map(" ".join))
@example("group g \u0661 g")
@example("witness \ud800 a+b+=")
def test_any_text_is_read_or_refused(text: str) -> None:
    for tried in (
        text,
        f"{text}\n",
        f"{X1}{text}\nquorum none\n",
        f"{EXAMPLE}{text}\n",
    ):
        with contextlib.suppress(NoteError):
            Policy.parse(tried)


@given(st.data())
def test_a_truncated_policy_is_refused(data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(EXAMPLE) - 1))

    with pytest.raises(NoteError):
        Policy.parse(EXAMPLE[:length])
