"""How gunicorn runs the API, in production, in tests and in benchmarks alike.

    gunicorn --config deploy/gunicorn.conf.py app:app

Each value was measured or has its reason beside it; docs/exam-morning.md has the
figures. WEB_CONCURRENCY and GUNICORN_BIND change the two that depend on the machine.
"""

import os
import socket
from pathlib import Path
from typing import Any

# Only nginx of the same machine may speak to us: a unix socket, or loopback. systemd's
# socket activation comes before this. Gunicorn itself would take all of a text with
# commas for one path.
bind = os.environ.get("GUNICORN_BIND", "unix:/run/proctoring/gunicorn.sock").split(",")

# Threads, because bcrypt and libpq let go of the interpreter's lock, and an event loop
# would stand still while a password is hashed.
worker_class = "gthread"
# One per core: a process has one interpreter lock, and more of them only take the core
# away from PostgreSQL.
workers = int(os.environ.get("WEB_CONCURRENCY", os.cpu_count() or 2))
# A few more than DB_POOL_SIZE (10): hashing and rendering need no connection, and who
# waits for one at the pool is served in order.
threads = 12
# So few more than threads: a worker that has its hands full leaves the next connection
# to the other one. With 128, one had a queue while threads of the other were idle.
worker_connections = 16
backlog = 1024

# nginx opens a connection for each request (it says why); this is for others.
keepalive = 2
# The main loop's silence only: a slow request does not count. Every one is bounded by
# the database's timeouts.
timeout = 30
# The longest request that goes well; systemd's TimeoutStopSec is above it.
graceful_timeout = 25
# Against a leak that nobody has seen yet (memory was flat), and not both at once.
max_requests = 50_000
max_requests_jitter = 10_000

# Loading the application before the fork would leave its background thread behind in
# the parent, and a reload would go on with the old code. Connections are no obstacle:
# the pool knows in which process it was made.
preload_app = False

# Heartbeats of workers are files; on a disk that is busy they would be late.
# (gunicorn unlinks what it opens there.)
MEMORY = Path("/dev/shm")  # noqa: S108 # nosec B108
worker_tmp_dir = str(MEMORY) if MEMORY.is_dir() else None
# Nobody uses it, and it wants a home directory that can be written.
control_socket_disable = True

limit_request_line = 4094
limit_request_fields = 50
limit_request_field_size = 8190

# The API writes one line for each request, with the names that we chose.
accesslog = None
errorlog = "-"
loglevel = "warning"
proc_name = "proctoring"


def post_fork(_: object, worker: Any) -> None:  # Any: gunicorn has no types.
    """Tell the application how many threads it has, and where it is reached."""
    os.environ["SERVER_THREADS"] = str(worker.cfg.threads)
    # What systemd handed over counts, whatever `bind` says.
    kinds = {each.sock.family for each in worker.sockets}
    os.environ["BEHIND_UNIX_SOCKET"] = str(kinds == {socket.AF_UNIX})
