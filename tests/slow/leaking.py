"""The application with a leak: each report of events leaves something behind."""

import os

from flask import Flask, request

from app import create_app
from config import Settings

# Several times what counts as none: a slow machine does half of the work in the minute.
LEAKED_BYTES = 150_000
REPORTS_A_DESCRIPTOR = 4
_kept: list[bytes] = []
_descriptors: list[int] = []


def make_app() -> Flask:
    application = create_app(Settings.from_env(os.environ))
    application.before_request(_leak)
    return application


def _leak() -> None:
    if request.endpoint != "proctoring.record_events":
        return
    # Written to, or the kernel would not have to find the memory.
    _kept.append(os.urandom(LEAKED_BYTES))
    if len(_kept) % REPORTS_A_DESCRIPTOR == 0:
        _descriptors.append(os.open(os.devnull, os.O_RDONLY))
