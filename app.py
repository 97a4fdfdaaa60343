"""The application factory: the one place where everything is wired together.

`python app.py` serves on port 5000 for development; `gunicorn app:app` for real. The
module attribute `app` is made when it is first asked for, so importing opens nothing.
"""

import logging
import os
import sys

from dotenv import load_dotenv
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from api import cli, cli_users, idempotency, problems
from api.context import Services
from api.paths import CONVERTERS
from api.routes import (
    analysis,
    assignments,
    attempt_actions,
    attempts,
    auth,
    blockchain,
    docs,
    evidence,
    exams,
    health,
    metrics,
    proctoring,
    questions,
    receipts,
    results,
    transparency,
    users,
)
from config import ConfigError, Settings
from database.migrate import read_migrations
from middleware import (
    auth_middleware,
    inside,
    rate_limit,
    request_log,
    request_metrics,
    security_headers,
)
from models.database import Database
from services import background
from services.account_service import AccountService
from services.analysis_service import AnalysisService
from services.assignment_service import AssignmentService
from services.attempt_service import AttemptService
from services.auth_service import AuthService, DefaultPasswordError
from services.blockchain_service import BlockchainService
from services.evidence_service import EvidenceService
from services.exam_service import ExamService
from services.extra_time import ExtraTime
from services.grade_service import GradeService
from services.health_service import HealthService
from services.merkle_service import MerkleService
from services.passwords import PasswordHasher
from services.proctor_actions import ProctorActions
from services.proctoring_reads import ProctoringReads
from services.proctoring_service import ProctoringService
from services.question_service import QuestionService
from services.receipt_service import ReceiptService
from services.results_service import ResultsService
from services.review_service import ReviewService
from services.sitting_service import SittingService
from services.sweeper import Sweeper
from services.tokens import Tokens
from services.user_service import UserService
from utils.logger import configure_logging

logger = logging.getLogger(__name__)

# With this code of a worker gunicorn gives up; any other it starts again for ever.
BOOT_ERROR = 3
# The largest body that any route accepts, and one byte to tell that it was exceeded.
MAX_BODY_BYTES = 1024 * 1024 + 1


BLUEPRINTS = (
    auth.bp,
    users.bp,
    proctoring.bp,
    analysis.bp,
    attempt_actions.bp,
    attempts.bp,
    docs.bp,
    health.bp,
    metrics.bp,
    exams.bp,
    questions.bp,
    assignments.bp,
    receipts.bp,
    results.bp,
    blockchain.bp,
    evidence.bp,
    transparency.bp,
)


def create_app(settings: Settings) -> Flask:
    """Build the application. Reads no environment and opens no connection itself.

    With `sweeper_interval_seconds` above 0 it starts this process's background thread.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.converters.update(CONVERTERS)
    # Two slashes are another address, where there is nothing: no redirect.
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["TRUSTED_HOSTS"] = list(settings.trusted_hosts) or None
    database = Database(settings.database)
    app.extensions["database"] = database
    passwords = PasswordHasher(
        rounds=settings.bcrypt_rounds,
        concurrency=settings.hashing_concurrency,
        queue=settings.hashing_queue,
    )
    tokens = Tokens(
        settings.jwt_secret_key,
        settings.jwt_previous_secret_key,
        access_seconds=settings.access_token_seconds,
        refresh_seconds=settings.refresh_token_seconds,
    )
    services = Services(
        attempts=AttemptService(database),
        accounts=AccountService(database, passwords),
        auth=AuthService(database, settings, passwords, tokens),
        blockchain=BlockchainService(database),
        evidence=EvidenceService(database, settings.audit_log_vkeys),
        merkle=MerkleService(database, settings.audit_log_vkeys),
        extra_time=ExtraTime(database),
        users=UserService(database, passwords),
        grades=GradeService(database),
        health=HealthService(
            database,
            schema_version=read_migrations()[-1].version,
            drain_file=settings.drain_file,
        ),
        exams=ExamService(database),
        questions=QuestionService(database),
        assignments=AssignmentService(database),
        sittings=SittingService(database),
        receipts=ReceiptService(database, settings.audit_log_vkeys),
        results=ResultsService(database),
        proctor_actions=ProctorActions(database),
        proctoring=ProctoringService(database),
        proctoring_reads=ProctoringReads(database),
        analysis=AnalysisService(database),
        reviews=ReviewService(database),
    )
    app.extensions["services"] = services

    request_metrics.init_app(app)
    request_log.init_app(app)
    inside.init_app(
        app, settings.metrics_networks, trusted_proxies=settings.trusted_proxies
    )
    security_headers.init_app(app, settings.cors_origins)
    auth_middleware.init_app(app, services.auth)
    idempotency.init_app(app, settings.secret_key)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.cli.add_command(cli.audit)
    app.cli.add_command(cli_users.create_admin_command)
    rate_limit.init_app(app, settings.rate_limits, database)
    problems.init_app(app)
    if settings.sweeper_interval_seconds > 0:
        sweeper = Sweeper(background.jobs(database), settings.sweeper_interval_seconds)
        sweeper.start()
        app.extensions["sweeper"] = sweeper
    if hops := settings.trusted_proxies:
        proxied = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)
        app.wsgi_app = proxied  # type: ignore[method-assign]
    return app


def _configured_app() -> Flask:
    load_dotenv(override=False)
    try:
        settings = Settings.from_env(os.environ)
        configure_logging(settings.log_level)
        made = create_app(settings)
        signing_in: AuthService = made.extensions["auth"]
        signing_in.refuse_default_password()
    except (ConfigError, DefaultPasswordError) as error:
        sys.stderr.write(f"Not started: {error}\n")
        sys.exit(BOOT_ERROR)
    return made


def __getattr__(name: str) -> Flask:
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = made = _configured_app()
    return made


if __name__ == "__main__":
    _configured_app().run(host="127.0.0.1", port=int(os.environ.get("PORT", "5000")))
