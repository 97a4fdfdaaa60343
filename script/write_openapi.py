"""What script/openapi runs: the API's description, for whoever reads the repository."""

from pathlib import Path

from api import openapi
from app import create_app
from config import Settings

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def main() -> None:
    # Describing opens no connection, so it does not matter where the database is.
    environment = {"FLASK_ENV": "testing", "SWEEPER_INTERVAL_SECONDS": "0"}
    settings = Settings.from_env(environment)
    DOCUMENT.write_text(openapi.text(create_app(settings)), encoding="utf-8")


if __name__ == "__main__":
    main()
