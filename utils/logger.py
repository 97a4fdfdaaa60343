"""Logging: one JSON object a line, on standard output if nothing else is there."""

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime

from utils.log_lines import STANDARD_OUTPUT, LineHandler

# What every LogRecord has; anything else was passed as `extra` and is data.
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}

# What every line says that is written on behalf of one request: its names.
log_context: ContextVar[Mapping[str, str]] = ContextVar("log_context")


class JsonFormatter(logging.Formatter):
    """Write a record and its extra fields as one line.

    json.dumps escapes control characters, so nobody's name can forge a second line.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= log_context.get({})
        line |= {k: v for k, v in record.__dict__.items() if k not in STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: str, descriptor: int = STANDARD_OUTPUT) -> None:
    """Log to an open file as JSON. Calling it again changes level and file."""
    handler = LineHandler(descriptor)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Our own line says more than werkzeug's.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
