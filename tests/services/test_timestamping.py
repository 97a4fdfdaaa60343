"""A checkpoint of each day is stamped, beside the signing and never in its way."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificates
from psycopg2.extensions import connection

from checkpointer.loop import Loop
from models.connection_settings import ConnectionSettings
from models.database import Database
from services import timestamp_client
from services.checkpoint_files import Files
from services.checkpointer import Checkpointer
from services.log_watch import LogWatch
from services.timestamping import Timestamping
from services.witnessing import Witnessing
from tests import authorities
from tests.audit_trail import append, run
from tests.authorities import Authority, openssl, other_nonce, serving
from tests.checkpoints import program, published, sign
from tests.waiting import until

NOW_AND_THEN = 3600.0


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    with serving(authorities.settle(tmp_path / "authority")) as running:
        yield running


def trusted(authority: Authority) -> timestamp_client.Authority:
    roots = load_pem_x509_certificates(authority.roots.read_bytes())
    return timestamp_client.Authority(authority.url, roots)


def timestamping(
    database: Database,
    *asked: timestamp_client.Authority,
    interval_seconds: float = NOW_AND_THEN,
    pause_seconds: float = 0,
) -> Timestamping:
    return Timestamping(
        database,
        asked,
        interval_seconds=interval_seconds,
        pause_seconds=pause_seconds,
        look_seconds=0,
        timeout_seconds=20,
    )


def stamped(sql: connection) -> list[int]:
    return [size for (size,) in run(sql, "SELECT size FROM checkpoint_timestamps")]


def test_what_is_stored_can_be_verified_by_anybody(
    connection_settings: ConnectionSettings,
    signing: Database,
    sql: connection,
    files: Files,
    authority: Authority,
    tmp_path: Path,
) -> None:
    made = sign(connection_settings, files)
    assert made is not None

    timestamping(signing, trusted(authority)).stamp()

    ((size, note, url, response, is_verified),) = run(
        sql,
        "SELECT size, note, tsa_url, response, is_chain_verified"
        " FROM checkpoint_timestamps",
    )
    assert (size, note, url, is_verified) == (1, made.note, authority.url, True)
    (tmp_path / "it.txt").write_text(note)
    (tmp_path / "it.tsr").write_bytes(response)
    said = openssl(
        *("ts", "-verify", "-data", tmp_path / "it.txt", "-in", tmp_path / "it.tsr"),
        *("-CAfile", authority.roots),
    )
    assert "Verification: OK" in said


def test_it_is_done_once_in_the_interval_and_for_news_only(
    connection_settings: ConnectionSettings,
    database: Database,
    signing: Database,
    sql: connection,
    files: Files,
    authority: Authority,
) -> None:
    daily = timestamping(signing, trusted(authority))
    assert daily.stamp() == []
    sign(connection_settings, files)
    assert len(daily.stamp()) == 1
    append(database)
    sign(connection_settings, files)
    # Another process knows as well, from the table.
    assert timestamping(signing, trusted(authority)).stamp() == []

    always = timestamping(signing, trusted(authority), interval_seconds=0)
    assert len(always.stamp()) == 1
    assert always.stamp() == []

    assert stamped(sql) == [1, 2]
    assert len(authority.questions) == 2


def test_a_clock_that_was_ahead_once_does_not_end_it(
    connection_settings: ConnectionSettings,
    database: Database,
    signing: Database,
    sql: connection,
    files: Files,
    authority: Authority,
) -> None:
    daily = timestamping(signing, trusted(authority))
    sign(connection_settings, files)
    daily.stamp()
    run(
        sql,
        "ALTER TABLE checkpoint_timestamps DISABLE TRIGGER ALL;"
        " UPDATE checkpoint_timestamps SET received_at = '2090-01-01Z';"
        " ALTER TABLE checkpoint_timestamps"
        " ENABLE ALWAYS TRIGGER checkpoint_timestamps_no_change",
    )
    append(database)
    sign(connection_settings, files)

    assert [made.size for made in daily.stamp()] == [2]
    append(database)
    sign(connection_settings, files)
    assert daily.stamp() == []


def test_one_that_fails_is_left_alone_and_the_other_is_asked(
    connection_settings: ConnectionSettings,
    signing: Database,
    sql: connection,
    files: Files,
    authority: Authority,
    tmp_path: Path,
) -> None:
    sign(connection_settings, files)
    with serving(authorities.settle(tmp_path / "liar")) as liar:
        liar.ask = other_nonce
        both = timestamping(
            signing, trusted(liar), trusted(authority), pause_seconds=3600
        )

        (made,) = both.stamp()
        assert made.tsa_url == authority.url
        assert both.stamp() == []

        assert len(liar.questions) == 1
        ((url,),) = run(sql, "SELECT tsa_url FROM checkpoint_timestamps")
        assert url == authority.url
        # When its pause is over, and it has mended its ways, it is one of two.
        liar.ask = authorities.unchanged
        assert len(timestamping(signing, trusted(liar)).stamp()) == 1
    assert stamped(sql) == [1, 1]


def test_what_another_root_vouches_for_is_not_stored(
    connection_settings: ConnectionSettings,
    signing: Database,
    sql: connection,
    files: Files,
    authority: Authority,
    tmp_path: Path,
) -> None:
    sign(connection_settings, files)
    stranger = authorities.settle(tmp_path / "stranger")
    stranger.url = authority.url
    asked = trusted(stranger)

    assert timestamping(signing, asked).stamp() == []

    assert stamped(sql) == []


def test_signing_goes_on_while_an_authority_hangs(
    database: Database,
    signing: Database,
    sql: connection,
    files: Files,
    authority: Authority,
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        hanging = timestamp_client.Authority(
            f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        stamping = Timestamping(
            signing, [hanging, trusted(authority)], look_seconds=0, timeout_seconds=3
        )
        loop = Loop(
            Checkpointer(signing, files),
            Witnessing(signing, []),
            stamping,
            LogWatch(signing, [], []),
            interval_seconds=0,
            is_thorough=True,
        )
        began = time.monotonic()
        for _ in range(5):
            append(database)
            loop.step()
        assert time.monotonic() - began < 3
        assert len(published(sql)) == 5

        # The next one is asked when the first has had its time.
        until(lambda: stamped(sql) != [])
        stamping.close()
    assert stamped(sql)[0] in published(sql)


def test_what_nobody_expected_is_tried_again(
    connection_settings: ConnectionSettings,
    signing: Database,
    sql: connection,
    files: Files,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sign(connection_settings, files)
    stamping = timestamping(signing, trusted(authority))

    def have_ticked() -> bool:
        stamping.tick()
        return True

    run(sql, "ALTER TABLE checkpoint_timestamps RENAME TO away")
    until(lambda: have_ticked() and "no timestamps" in caplog.messages)
    assert authority.questions == []

    run(sql, "ALTER TABLE away RENAME TO checkpoint_timestamps")
    until(lambda: have_ticked() and stamped(sql) == [1])
    stamping.close()


def test_the_program_asks_its_authorities(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    authority: Authority,
) -> None:
    asked = ("once", "--tsa", authority.url, "--tsa-ca", authority.roots)

    first = program(connection_settings, files, *asked)
    second = program(connection_settings, files, *asked)

    assert (first.returncode, first.stderr) == (0, "")
    assert f"stamped by {authority.url} at 20" in first.stdout
    assert second.stdout == "nothing new: 1 entries are signed\n"
    ((is_verified,),) = run(sql, "SELECT is_chain_verified FROM checkpoint_timestamps")
    assert is_verified


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--tsa", "tsa.example"),
        ("--tsa", "http://user:word@tsa.example"),  # pragma: allowlist secret
        ("--tsa-ca", "/nowhere/at/all"),
        ("--tsa-ca", __file__),
    ],
    ids=range(4),
)
def test_the_program_refuses_what_it_can_not_use(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    option: str,
    text: str,
) -> None:
    done = program(connection_settings, files, "once", option, text)

    assert done.returncode == 2
    assert option in done.stderr
    assert published(sql) == {}
