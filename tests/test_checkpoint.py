"""Checkpoints, as c2sp.org/tlog-checkpoint has them, and what is almost one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from utils.checkpoint import Checkpoint
from utils.signed_note import Note, NoteError

ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
EXAMPLE = f"example.com/behind-the-sofa\n20852163\n{ROOT}\n"


def test_the_example_of_the_specification_is_read_and_written() -> None:
    checkpoint = Checkpoint.parse(EXAMPLE)

    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20852163
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")
    assert checkpoint.extensions == ()
    assert checkpoint.render() == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        f"an origin + spaces\n0\n{ROOT}\n",
        f"o\n9223372036854775807\n{ROOT}\n",
        f"o\n5\n{ROOT}\none\n two \n",
        f"\u00f6\u2028\x85\n5\n{ROOT}\n",
    ],
)
def test_what_the_specification_allows_is_read_and_written(text: str) -> None:
    assert Checkpoint.parse(text).render() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n\n",
        "o\n",
        "o\n5\n",
        f"o\n5\n{ROOT}",
        f"\n5\n{ROOT}\n",
        f"o\n5\n{ROOT}\n\n",
        f"o\n5\n{ROOT}\n\nextension\n",
        f"o\n5\n\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"\no\n5\n{ROOT}\n",
        f"o\r\n5\r\n{ROOT}\r\n",
        f"o\to\n5\n{ROOT}\n",
        f"o\x00\n5\n{ROOT}\n",
        f"o\ud800\n5\n{ROOT}\n",
        f"o\n5\n{ROOT}\next\x1fension\n",
        *(
            f"o\n{size}\n{ROOT}\n"
            for size in (
                "05",
                "00",
                "+5",
                "-5",
                "-0",
                " 5",
                "5 ",
                "5_0",
                "5.0",
                "5e3",
                "0x5",
                "\u0665",
                "\uff15",
                "9223372036854775808",
                "9" * 5000,
            )
        ),
        *(
            f"o\n5\n{root}\n"
            for root in (
                "AAAA",
                ROOT[:-1],
                f"{ROOT}=",
                f" {ROOT}",
                f"{ROOT} ",
                ROOT * 2,
                # The same bytes, with bits that are no part of them.
                ROOT.replace("I=", "J="),
                ROOT.replace("/", "_").replace("+", "-"),
                ROOT[:40] + "\u00e9" + ROOT[41:],
                "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==",
                "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2IA",
            )
        ),
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 5, bytes(32), ()),
        ("o\n", 5, bytes(32), ()),
        ("o\x00", 5, bytes(32), ()),
        ("o\ud800", 5, bytes(32), ()),
        ("o", -1, bytes(32), ()),
        ("o", 2**63, bytes(32), ()),
        ("o", 5, bytes(31), ()),
        ("o", 5, bytes(33), ()),
        ("o", 5, bytes(32), ("",)),
        ("o", 5, bytes(32), ("a\nb",)),
    ],
)
def test_what_no_checkpoint_can_hold_is_refused(
    origin: str, size: int, root: bytes, extensions: tuple[str, ...]
) -> None:
    with pytest.raises(NoteError):
        Checkpoint(origin, size, root, extensions)


LINES = st.text(
    st.characters(codec="utf-8", min_codepoint=0x20), min_size=1, max_size=20
)
CHECKPOINTS = st.builds(
    Checkpoint,
    LINES,
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(LINES, max_size=3).map(tuple),
)


@given(CHECKPOINTS)
def test_what_is_written_is_read_again(checkpoint: Checkpoint) -> None:
    text = checkpoint.render()

    assert Checkpoint.parse(text) == checkpoint
    # It is a text that can be signed, whatever is in it.
    assert Note(text, ()).text == text


@given(CHECKPOINTS, st.data())
def test_a_damaged_checkpoint_is_refused_or_another(
    checkpoint: Checkpoint, data: st.DataObject
) -> None:
    text = checkpoint.render()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 3, len(text))))
    damaged = text[:start] + data.draw(st.text(max_size=3)) + text[end:]

    try:
        found = Checkpoint.parse(damaged)
    except NoteError:
        return
    assert found.render() == damaged
    assert (found == checkpoint) == (damaged == text)


@given(st.text(max_size=100), st.integers(0, 3))
@example("o\n1\n====\n", 0)
@example("\u0661", 1)
def test_any_text_is_read_or_refused(text: str, line: int) -> None:
    lines = ["o", "1", ROOT, "extension"]
    lines[line] = text
    for tried in (text, "".join(f"{each}\n" for each in lines)):
        try:
            found = Checkpoint.parse(tried)
        except NoteError:
            continue
        assert found.render() == tried
