"""A witness that was away at the start contradicts the signer when it is back."""

from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from psycopg2.extensions import connection

from models.database import Database
from services.checkpoint_files import Files
from services.checkpointer import RefusedError
from services.witnessing import ConfiguredWitness, Witnessing
from tests.audit_trail import append, append_together
from tests.checkpoints import loop_of, published, sign
from tests.old_copies import set_back, suspensions
from tests.slow.running import free_port
from tests.witnesses import Log, Process
from utils.signed_note import COSIGNATURE, Signer


@pytest.fixture
def house(tmp_path: Path, files: Files) -> Iterator[Process]:
    made = Process(home=tmp_path / "house", log=Log.of(files), port=free_port())
    made.settle()
    yield made
    made.kill()


@pytest.mark.tampers
@pytest.mark.parametrize("more", [3, 40], ids=["shorter", "longer"])
def test_what_was_lost_with_the_state_is_missed_when_it_is_back(
    database: Database,
    sql: connection,
    files: Files,
    signing: Database,
    house: Process,
    more: int,
) -> None:
    """Database and state were set back together, and grew since."""
    running = house.start()
    witness = ConfiguredWitness(running.key, running.url)
    append(database, 3)
    sign(signing.settings, files)
    state = files.state.read_text()
    append_together(database, 20)
    made = sign(signing.settings, files)
    assert made is not None
    assert Witnessing(signing, [witness]).cosign(made) == 1
    house.kill()
    set_back(sql, 4)
    files.state.write_text(state)
    append_together(database, more)
    loop = loop_of(signing, files, witness)
    loop.step()
    assert max(published(sql)) == 4 + more

    house.start()
    with pytest.raises(RefusedError):
        for _ in range(3):
            loop.step()

    assert [found[:2] for found in suspensions(sql)] == [(running.key.name, 24)]


def test_one_that_only_says_so_stops_nothing(
    database: Database, sql: connection, files: Files, signing: Database
) -> None:
    asked: Counter[str] = Counter()

    class Liar(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked["POST"] += 1
            self.send_response(409)
            self.send_header("Content-Type", "text/x.tlog.size")
            self.end_headers()
            self.wfile.write(b"1000000\n")

        def do_GET(self) -> None:
            asked["GET"] += 1
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    key = Signer.generate("liar.example", COSIGNATURE).verifier
    with HTTPServer(("127.0.0.1", 0), Liar) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        loop = loop_of(signing, files, ConfiguredWitness(key, url))
        for _ in range(5):
            append(database)
            loop.step()
        server.shutdown()

    assert sorted(published(sql)) == [2, 3, 4, 5, 6]
    assert suspensions(sql) == []
    # What it has seen: at the start, and by both who compare when it had said so first.
    assert asked["GET"] == 3
    assert asked["POST"] >= 5
