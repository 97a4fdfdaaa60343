"""The application factory: the one place where everything is wired together.

`python app.py` serves on port 5000 for development; `gunicorn app:app` for real. The
module attribute `app` is made when it is first asked for, so importing opens nothing.
"""

import logging
import os
import sys
from dataclasses import replace

import click
from dotenv import load_dotenv
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from api import cli, cli_erasure, cli_users, cli_verify, idempotency, problems
from api.context import Services
from api.paths import CONVERTERS
from api.routes import (
    analysis,
    appeals,
    assignments,
    attempt_actions,
    attempts,
    auth,
    blockchain,
    data_exports,
    docs,
    erasures,
    evidence,
    exams,
    health,
    legal_holds,
    metrics,
    proctoring,
    questions,
    receipts,
    results,
    retention,
    timestamps,
    transparency,
    users,
    verifications,
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
    server_load,
    trusted_hosts,
)
from models.database import Database
from services import background
from services.account_service import AccountService
from services.analysis_service import AnalysisService
from services.appeal_service import AppealService
from services.assignment_service import AssignmentService
from services.attempt_service import AttemptService
from services.audit_anchors import Trust
from services.auth_service import AuthService, DefaultPasswordError
from services.blockchain_service import BlockchainService
from services.data_export import DataExports
from services.epoch_service import EpochService
from services.erasure_service import ErasureService
from services.evidence_service import EvidenceService
from services.evidence_views import EvidenceViews
from services.exam_service import ExamService
from services.extra_time import ExtraTime
from services.grade_service import GradeService
from services.health_service import HealthService
from services.hold_service import HoldService
from services.log_watch import LogWatch
from services.merkle_service import MerkleService
from services.passwords import PasswordHasher
from services.proctor_actions import ProctorActions
from services.proctoring_reads import ProctoringReads
from services.proctoring_service import ProctoringService
from services.question_service import QuestionService
from services.receipt_service import ReceiptService
from services.results_service import ResultsService
from services.retention_service import RetentionService
from services.review_service import ReviewService
from services.server_load import ServerLoad
from services.sitting_service import SittingService
from services.sweeper import Job, Sweeper
from services.timestamp_service import TimestampService
from services.tokens import Tokens
from services.user_service import UserService
from services.verification_service import VerificationService
from utils.log_lines import STANDARD_ERROR, STANDARD_OUTPUT
from utils.logger import configure_logging
from utils.signed_note import VerifierKey

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
    appeals.bp,
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
    data_exports.bp,
    timestamps.bp,
    erasures.bp,
    legal_holds.bp,
    retention.bp,
    transparency.bp,
    verifications.bp,
)


def _is_serving() -> bool:
    """Say whether this process answers requests.

    `flask audit verify` on a database that was just restored looks at it, and does not
    end its attempts or apply its retention.
    """
    if os.environ.get("FLASK_RUN_FROM_CLI") != "true":
        return True
    command = click.get_current_context(silent=True)
    return command is not None and command.info_name == "run"


def create_app(settings: Settings) -> Flask:
    """Build the application. Reads no environment and opens no connection itself.

    With `sweeper_interval_seconds` above 0 it starts this process's background threads,
    unless it runs a command of the terminal.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.converters.update(CONVERTERS)
    # Two slashes are another address, where there is nothing: no redirect.
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
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
    log_keys = tuple(map(VerifierKey.parse, settings.audit_log_vkeys))
    watch = LogWatch(database, settings.witnesses, log_keys)
    app.extensions["log_watch"] = watch
    trust = Trust(log_keys=log_keys, witnesses=settings.witnesses)
    blockchain = BlockchainService(database, trust)
    load = ServerLoad(settings.server_threads, database.is_waited_for)
    app.extensions["server_load"] = load
    services = Services(
        attempts=AttemptService(database),
        accounts=AccountService(database, passwords),
        auth=AuthService(database, settings, passwords, tokens),
        blockchain=blockchain,
        epochs=EpochService(database, watch),
        erasures=ErasureService(database),
        evidence=EvidenceService(
            database, settings.audit_log_vkeys, settings.witness_policy
        ),
        extra_time=ExtraTime(database),
        holds=HoldService(database),
        retention=RetentionService(database),
        views=EvidenceViews(database, settings.secret_key),
        data_exports=DataExports(database, settings.secret_key),
        merkle=MerkleService(
            database, settings.audit_log_vkeys, settings.witness_policy
        ),
        users=UserService(database, passwords),
        verifications=VerificationService(database, blockchain),
        grades=GradeService(database),
        health=HealthService(
            database,
            watch,
            schema_version=read_migrations()[-1].version,
            drain_file=settings.drain_file,
        ),
        exams=ExamService(database),
        questions=QuestionService(database),
        appeals=AppealService(database),
        assignments=AssignmentService(database),
        sittings=SittingService(database),
        receipts=ReceiptService(
            database, settings.audit_log_vkeys, settings.witness_policy
        ),
        results=ResultsService(database),
        timestamps=TimestampService(database),
        proctor_actions=ProctorActions(database),
        proctoring=ProctoringService(database, load),
        proctoring_reads=ProctoringReads(database),
        analysis=AnalysisService(database),
        reviews=ReviewService(database),
    )
    app.extensions["services"] = services

    server_load.init_app(app, load)
    request_metrics.init_app(app)
    request_log.init_app(app)
    inside.init_app(
        app, settings.metrics_networks, trusted_proxies=settings.trusted_proxies
    )
    security_headers.init_app(app, settings.cors_origins)
    trusted_hosts.init_app(app, settings.trusted_hosts)
    auth_middleware.init_app(app, services.auth)
    idempotency.init_app(app, settings.secret_key)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    cli.audit.add_command(cli_verify.verify_command)
    app.cli.add_command(cli.audit)
    app.cli.add_command(cli_users.create_admin_command)
    app.cli.add_command(cli_erasure.erasure)
    app.cli.add_command(cli_erasure.hold)
    app.cli.add_command(cli_erasure.retention)
    rate_limit.init_app(app, settings.rate_limits, database, tokens)
    problems.init_app(app)
    if settings.sweeper_interval_seconds > 0 and _is_serving():
        groups = background.groups(database)
        if watch.is_configured:
            # By itself: deadlines do not wait for a witness that is slow.
            groups.append([Job("compare with witnesses", watch.check_if_due)])
        sweepers = [Sweeper(each, settings.sweeper_interval_seconds) for each in groups]
        for sweeper in sweepers:
            sweeper.start()
        app.extensions["sweepers"] = sweepers
    if hops := settings.trusted_proxies:
        proxied = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)
        app.wsgi_app = proxied  # type: ignore[method-assign]
    return app


def _configured_app() -> Flask:
    load_dotenv(override=False)
    try:
        settings = Settings.from_env(os.environ)
        if "--check-config" in sys.argv:
            # gunicorn only tries whether it could be made (script/check-start).
            return create_app(replace(settings, sweeper_interval_seconds=0))
        # What a command prints may be read by another program.
        output = STANDARD_OUTPUT if _is_serving() else STANDARD_ERROR
        configure_logging(settings.log_level, output)
        made = create_app(settings)
        signing_in: AuthService = made.extensions["auth"]
        signing_in.refuse_default_password()
        watch: LogWatch = made.extensions["log_watch"]
        watch.check_at_start()
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
    _configured_app().run(host="127.0.0.1", port=int(os.environ.get("PORT") or "5000"))
