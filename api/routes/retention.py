"""Endpoints through which admins say how long data are kept."""

from collections.abc import Mapping, Sequence

from flask import Blueprint

from api.context import services
from api.contract import accepts, authenticated, returns
from api.schemas.erasure import RetentionRulesResponse
from models.principal import Principal, Role
from models.retention import RetentionRule
from services.retention_service import RetentionRules

bp = Blueprint("retention", __name__, url_prefix="/api/retention-rules")


@bp.get("")
@returns(RetentionRulesResponse)
@authenticated(Role.ADMIN)
def list_rules(_: Principal) -> Mapping[str, Sequence[RetentionRule]]:
    """List for each class of data how long it is kept."""
    return {"rules": services().retention.list_rules()}


@bp.put("")
@returns(RetentionRulesResponse)
@authenticated(Role.ADMIN)
@accepts(RetentionRules)
def change_rules(
    rules: RetentionRules, admin: Principal
) -> Mapping[str, Sequence[RetentionRule]]:
    """Set how long each class of data is kept. It is applied within a day."""
    return {"rules": services().retention.change_rules(admin, rules)}
