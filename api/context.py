"""The services of the current app."""

from dataclasses import dataclass

from flask import current_app
from services.auth_service import AuthService

from services.attempt_service import AttemptService
from services.grade_service import GradeService
from services.health_service import HealthService
from services.proctor_actions import ProctorActions


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    attempts: AttemptService
    auth: AuthService
    grades: GradeService
    health: HealthService
    proctor_actions: ProctorActions


def services() -> Services:
    found: Services = current_app.extensions["services"]
    return found
