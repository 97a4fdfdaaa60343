"""The services of the current app."""

from dataclasses import dataclass

from flask import current_app
from services.auth_service import AuthService

from services.health_service import HealthService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    auth: AuthService
    health: HealthService


def services() -> Services:
    found: Services = current_app.extensions["services"]
    return found
