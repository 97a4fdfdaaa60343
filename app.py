"""The application factory: the one place where everything is wired together.

`python app.py` serves on port 5000 for development; `gunicorn app:app` for real. The
module attribute `app` is made when it is first asked for, so importing opens nothing.
"""

import logging
import os
import sys

from dotenv import load_dotenv
from flask import Flask
from services.auth_service import AuthService

from api import problems
from api.context import Services
from config import ConfigError, Settings
from middleware import auth_middleware
from models.database import Database

logger = logging.getLogger(__name__)

# The largest body that any route accepts, and one byte to tell that it was exceeded.
MAX_BODY_BYTES = 1024 * 1024 + 1


def create_app(settings: Settings) -> Flask:
    """Build the application. Opens no connection and reads no environment."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["TRUSTED_HOSTS"] = list(settings.trusted_hosts) or None
    database = Database(settings.database)
    app.extensions["database"] = database
    services = Services(auth=AuthService(database, settings))
    app.extensions["services"] = services

    auth_middleware.init_app(app, services.auth)
    problems.init_app(app)
    return app


def _configured_app() -> Flask:
    load_dotenv(override=False)
    try:
        return create_app(Settings.from_env(os.environ))
    except ConfigError as error:
        sys.exit(f"Not started: {error}")


def __getattr__(name: str) -> Flask:
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = made = _configured_app()
    return made


if __name__ == "__main__":
    _configured_app().run(host="127.0.0.1", port=int(os.environ.get("PORT", "5000")))
