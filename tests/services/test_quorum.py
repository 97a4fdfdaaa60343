"""A checkpoint is witnessed once the quorum of the policy has cosigned."""

import logging
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg2.extensions import connection

from checkpointer.__main__ import ROLE
from models.connection_settings import ConnectionSettings
from models.database import Database
from services.checkpoint_files import Files
from services.witness_client import Cosigned
from services.witnessing import Witnessing
from tests.audit_trail import append, run
from tests.checkpoints import program, sign
from tests.houses import Houses, houses
from tests.old_copies import set_back, suspensions
from tests.witnesses import Log
from utils.signed_note import ED25519, Note, Signer


@pytest.fixture
def three(tmp_path: Path, files: Files) -> Iterator[Houses]:
    with houses(tmp_path, files) as running:
        yield running


@pytest.fixture
def witnessing(
    connection_settings: ConnectionSettings, three: Houses
) -> Iterator[Witnessing]:
    with closing(Database(replace(connection_settings, role=ROLE))) as signing:
        yield Witnessing(
            signing, three.configured, policy=three.policy, pause_seconds=0
        )


def witnessed(sql: connection) -> dict[int, bool]:
    """Say of each checkpoint whether it is found as a witnessed one."""
    rows = run(sql, "SELECT size, witnessed_at IS NOT NULL FROM checkpoints ORDER BY 1")
    return dict(rows)


def standing(sql: connection, three: Houses) -> set[str]:
    """Name the witnesses of the newest checkpoint, by the policy of whoever reads."""
    ((note,),) = run(
        sql,
        "SELECT coalesce(cosigned_note, note) FROM checkpoints"
        " ORDER BY size DESC LIMIT 1",
    )
    found = three.policy.judge(Note.parse(note.encode()))
    return {each.name for each in found.witnesses}


def test_two_of_three_are_enough_and_one_is_not(
    database: Database,
    sql: connection,
    files: Files,
    three: Houses,
    witnessing: Witnessing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    for down, expected in (
        ((), {"board", "union", "press"}),
        (("press",), {"board", "union"}),
        (("union", "board"), set()),
        ((), set()),
    ):
        three.stop(*down)
        append(database)
        made = sign(database.settings, files)
        assert made is not None

        assert witnessing.cosign(made) == len(expected)

        assert standing(sql, three) == expected
        assert witnessing.is_witnessed == (len(expected) >= 2)
    assert witnessed(sql) == {2: True, 3: True, 4: False, 5: False}

    # Nothing new is recorded, and they are back one after the other.
    three.start("press")
    assert witnessing.complete() == 1
    assert not witnessed(sql)[5]
    three.start("board")
    assert witnessing.complete() == 1
    assert witnessing.is_witnessed
    assert standing(sql, three) == {"board", "press"}
    assert witnessed(sql)[5]
    # The last one is no longer needed, and welcome all the same.
    three.start("union")
    assert witnessing.complete() == 1
    assert witnessing.complete() == 0
    assert standing(sql, three) == {"board", "union", "press"}
    append(database)
    made = sign(database.settings, files)
    assert made is not None
    assert witnessing.cosign(made) == 3
    # What has changed is said, and not what has not.
    assert Counter(caplog.messages) == {
        "a witness did not cosign": 3,
        "no quorum of witnesses": 1,
        "a witness cosigns again": 3,
        "there is a quorum of witnesses again": 1,
    }


def test_a_witness_that_saw_another_history_is_none_of_the_quorum(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    three: Houses,
    witnessing: Witnessing,
) -> None:
    """Whoever has the key showed the press a log of his own making."""
    fork = Log(signer=three.log.signer, origin=three.log.origin)
    fork.grow(2)
    assert isinstance(three.running["press"].push(fork, 0, 2), Cosigned)
    append(database, 3)
    made = sign(connection_settings, files)
    assert made is not None

    assert witnessing.cosign(made) == 2
    assert standing(sql, three) == {"board", "union"}

    three.stop("board")
    append(database)
    made = sign(connection_settings, files)
    assert made is not None
    assert witnessing.cosign(made) == 1
    assert not witnessing.is_witnessed
    assert standing(sql, three) == {"union"}
    assert witnessed(sql) == {4: True, 5: False}


def test_what_a_crash_left_unwitnessed_is_witnessed_after_the_next_start(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    three: Houses,
    witnessing: Witnessing,
) -> None:
    assert sign(connection_settings, files) is not None
    assert witnessed(sql) == {1: False}

    assert witnessing.resume() == 3

    assert witnessed(sql) == {1: True}
    assert standing(sql, three) == {"board", "union", "press"}


def test_one_that_hangs_costs_neither_the_quorum_nor_the_time(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    three: Houses,
    witnessing: Witnessing,
) -> None:
    three.stop("board")
    with closing(socket.create_server(("127.0.0.1", three.processes["board"].port))):
        for _ in range(2):
            append(database)
            made = sign(connection_settings, files)
            assert made is not None
            began = time.monotonic()

            assert witnessing.cosign(made) == 2

            assert time.monotonic() - began < 1.5
            assert standing(sql, three) == {"union", "press"}


def test_another_log_s_policy_is_satisfied_by_nothing(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    three: Houses,
    witnessing: Witnessing,
) -> None:
    other = Signer.generate(three.log.origin, ED25519).verifier
    text = three.policy.text.replace(str(three.log.key), str(other))
    strict = type(three.policy).parse(text)
    made = sign(connection_settings, files)
    assert made is not None
    assert strict.judge(Note.parse(made.note.encode())).missing is not None

    assert witnessing.cosign(made) == 3

    ((note,),) = run(sql, "SELECT cosigned_note FROM checkpoints")
    found = strict.judge(Note.parse(note.encode()))
    assert not found.is_witnessed
    assert len(found.witnesses) == 3
    assert found.missing == f"a signature for {three.log.origin} by a log of the policy"


def test_the_program_asks_the_witnesses_of_its_policy(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    three: Houses,
    tmp_path: Path,
) -> None:
    policy = tmp_path / "policy"
    policy.write_text(three.policy.text)

    # Whoever is named as well is asked once.
    named = f"{three.running['press'].key}={three.running['press'].url}"
    both = ("--policy", policy, "--witness", named)

    reached = program(connection_settings, files, "once", *both)
    three.stop("board", "union")
    append(database)
    missed = program(connection_settings, files, "once", "--policy", policy)
    three.start("board")
    again = program(connection_settings, files, "once", "--policy", policy)

    assert (reached.returncode, missed.returncode, again.returncode) == (0, 0, 0)
    assert reached.stdout.endswith("3 of 3 witnesses have cosigned\nwitnessed\n")
    assert missed.stdout.endswith(
        "1 of 3 witnesses have cosigned\nno quorum of witnesses\n"
    )
    assert again.stdout == (
        "nothing new: 2 entries are signed\n1 of 3 witnesses have cosigned\nwitnessed\n"
    )
    assert witnessed(sql) == {1: True, 2: True}


@pytest.mark.tampers
def test_the_witnesses_of_a_policy_stop_the_servers_of_an_old_copy(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    three: Houses,
    tmp_path: Path,
) -> None:
    """State and database were restored together: only they can tell."""
    policy = tmp_path / "policy"
    policy.write_text(three.policy.text)
    program(connection_settings, files, "once", "--policy", policy)
    state = files.state.read_text()
    append(database, 5)
    program(connection_settings, files, "once", "--policy", policy)
    files.state.write_text(state)
    set_back(sql, 1)

    done = program(connection_settings, files, "once", "--policy", policy)

    assert done.returncode == 3
    assert suspensions(sql) == [("board.example.edu/witness", 6, 1, True, None)]


@pytest.mark.parametrize("content", ["", "quorum none\n", "quorum two\n"])
def test_the_program_refuses_what_is_no_policy(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    tmp_path: Path,
    content: str,
) -> None:
    policy = tmp_path / "policy"
    policy.write_text(content)

    done = program(connection_settings, files, "once", "--policy", policy)

    assert done.returncode == 2
    assert "policy can not be used" in done.stderr
    assert run(sql, "SELECT FROM checkpoints") == []
