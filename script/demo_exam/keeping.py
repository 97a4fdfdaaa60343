"""After the end: the server stays up, to look around."""

import signal

from rich.console import Console

from script.demo_exam.preparation import ADMIN_PASSWORD
from script.demo_exam.stage import Stage
from script.serve import SEEDED_EMAIL


def keep(stage: Stage, console: Console) -> None:
    """Say how to get in, and wait for Ctrl-C."""
    body = f'{{"email": "{SEEDED_EMAIL}", "password": "{ADMIN_PASSWORD}"}}'
    console.print(
        f"""
The server stays up at {stage.url} until Ctrl-C.

  Login      {SEEDED_EMAIL} / {ADMIN_PASSWORD}
  Reference  {stage.url}/docs
  Database   psql "{stage.dsn}"

  TOKEN=$(curl -s {stage.url}/api/auth/login -H 'Content-Type: application/json' \\
    -d '{body}' | sed 's/.*"access_token":"\\([^"]*\\).*/\\1/')
  curl -H "Authorization: Bearer $TOKEN" {stage.url}/api/proctoring/suspicious
  curl -H "Authorization: Bearer $TOKEN" {stage.url}/api/blockchain/verify
""",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    while True:
        signal.pause()
