"""Whatever is posted to a witness: it refuses as is specified, and never with a 500."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.witnesses import Log, Running, body, serving
from witness.submission import MAX_BODY_BYTES

LOG = Log.of_size(20)
NOTE = LOG.note(20)
GOOD = LOG.body(7, 20)
REFUSALS = {400, 403, 404, 409, 422}
PIECES = [
    *(b"old 7", b"old 0", b"old 20", b"old 21", b"old 07", b"old -1", b"old", b"\r"),
    *(b"\n", b"\n\n", b" ", b"\x00", b"\xff", b"\xe2\x80\x94", b"+", b"=", b"A" * 44),
    *(GOOD.splitlines(keepends=True)),
]


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("witness") / "state", LOG) as running:
        assert running.post(LOG.body(0, 7)).status == 200
        yield running


@given(st.binary(max_size=500))
def test_random_bytes_are_malformed(witness: Running, content: bytes) -> None:
    assert witness.post(content).status == 400


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_pieces_of_submissions_in_any_order_are_refused(
    witness: Running, content: bytes
) -> None:
    if content != GOOD:
        assert witness.post(content).status in REFUSALS


@given(st.integers(0, len(GOOD) - 1), st.integers(0, len(GOOD)), st.binary(max_size=3))
def test_a_submission_with_a_piece_exchanged_is_refused(
    witness: Running, start: int, length: int, piece: bytes
) -> None:
    changed = GOOD[:start] + piece + GOOD[start + length :]

    if changed != GOOD:
        assert witness.post(changed).status in REFUSALS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"old 7",
        b"old 7\n\n",
        GOOD[:-1],
        GOOD + b"\n",
        GOOD + b"x",
        GOOD.replace(b"\n", b"\r\n"),
        b"\n" + GOOD,
        GOOD.replace(b"old 7", b"old 07"),
        GOOD.replace(b"old 7", b"old +7"),
        GOOD.replace(b"old 7", b"old  7"),
        GOOD.replace(b"old 7", b"Old 7"),
        GOOD.replace(b"old 7", b"old 7 "),
        GOOD.replace(b"old 7", b"old \xd9\xa7"),
        GOOD.replace(b"old 7", b"old 9223372036854775808"),
        GOOD.replace(b"old 7", b"old " + b"9" * 5000),
        GOOD.replace(b"=\n", b"\n", 1),
        GOOD.replace(b"=\n", b"==\n", 1),
        body(7, [bytes(31)], NOTE),
        body(7, [bytes(33)], NOTE),
        body(7, [bytes(32)] * 64, NOTE),
        body(7, [], NOTE.replace("\n20\n", "\n020\n")),
        body(7, [], NOTE.replace("\n20\n", "\n18446744073709551615\n")),
        body(7, [], NOTE.replace("\n20\n", "\n-1\n")),
        body(7, [], NOTE.replace("\n20\n", "\n")),
        body(7, [], NOTE.rpartition("\n\n")[0] + "\n\n"),
        body(7, [], NOTE + NOTE.splitlines()[-1] * 100),
        body(7, [], NOTE).replace(b"exams", b"ex\xffms"),
        body(7, [], NOTE).replace(b"exams", b"ex\x00ms"),
    ],
)
def test_what_is_almost_a_submission_is_malformed(
    witness: Running, content: bytes
) -> None:
    answer = witness.post(content)

    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_63_lines_are_a_proof_though_a_wrong_one(witness: Running) -> None:
    assert witness.post(body(7, [bytes(32)] * 63, NOTE)).status == 422


@pytest.mark.parametrize("length", [MAX_BODY_BYTES + 1, MAX_BODY_BYTES + 2, 10**6])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_too_large_a_body_is_refused(
    witness: Running, length: int, *, is_chunked: bool
) -> None:
    content = b"old 7\n" + b"A" * (length - 6)

    answer = witness.post(iter([content]) if is_chunked else content)

    assert answer.status == 413


def test_as_large_a_body_as_is_accepted_is_read(witness: Running) -> None:
    # It ends in the middle of a note, which only the parser can know.
    assert witness.post(GOOD + b"x" * (MAX_BODY_BYTES - len(GOOD))).status == 400


def test_half_a_body_is_no_body(witness: Running) -> None:
    """What was promised and did not come could be a whole submission by itself."""
    host, port = witness.url.removeprefix("http://").split(":")
    promised = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(promised % (len(GOOD) + 1) + GOOD)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1000)

    assert b" 400 " in answer.splitlines()[0]
