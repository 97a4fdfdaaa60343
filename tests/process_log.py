"""What a test's own process has written to its log, which a thread of it writes."""

import logging

import pytest


def logged(capture: pytest.CaptureFixture[str]) -> str:
    """Return what came to standard output, after all of it has (`capfd`)."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    return capture.readouterr().out
