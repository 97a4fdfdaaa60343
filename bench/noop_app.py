"""The application with one more route: an authenticated POST that does nothing.

It parses the same body, asks who is calling and counts the hit, as every route does.
What a real endpoint costs beyond that is what it does itself.
"""

import os

from flask import Blueprint, Flask

from api.contract import accepts, authenticated, returns
from api.schemas.base import ResponseModel
from app import create_app
from config import Settings
from models.principal import Principal, Role
from models.proctoring_report import NewEvent

bp = Blueprint("bench", __name__, url_prefix="/bench")


class NoopResponse(ResponseModel):
    status: str


@bp.post("/noop")
@returns(NoopResponse)
@authenticated(Role.STUDENT)
@accepts(NewEvent)
def noop(_: NewEvent, __: Principal) -> NoopResponse:
    """Do nothing, for whom it may concern."""
    return NoopResponse(status="ok")


def make_app() -> Flask:
    application = create_app(Settings.from_env(os.environ))
    application.register_blueprint(bp)
    return application
