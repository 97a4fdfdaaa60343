"""What Prometheus reads. For those inside: to everybody else there is nothing here."""

import time
from collections.abc import Iterator
from typing import Final

from flask import Blueprint
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.context import services
from api.contract import Reply, may_fail, public, returns
from middleware.inside import require_inside
from models.operations import Operations
from services.health_service import VERSION
from utils import metrics as counted

bp = Blueprint("metrics", __name__)

# What comes after `proctoring_`, what it means, and the name in Operations. The same
# from every host: they ask one database.
GAUGES: Final = {
    "audit_unsigned_entries": (
        "Entries that no checkpoint covers.",
        "unsigned_entries",
    ),
    "audit_unsigned_age_seconds": (
        "Since when the first of them waits.",
        "unsigned_age",
    ),
    "audit_unwitnessed_entries": (
        "Entries that no witness has cosigned.",
        "unwitnessed_entries",
    ),
    "audit_unwitnessed_age_seconds": (
        "Since when the first of them waits.",
        "unwitnessed_age",
    ),
    "checkpoint_size": (
        "Entries that the newest checkpoint covers.",
        "checkpoint_size",
    ),
    "checkpoint_age_seconds": (
        "Since it was signed; without news there is no new one.",
        "checkpoint_age",
    ),
    "attempts_overdue": (
        "Attempts whose time is over and that nobody has ended yet.",
        "overdue_attempts",
    ),
    "attempts_overdue_age_seconds": (
        "How late the first of them is: the sweeper's lag.",
        "overdue_age",
    ),
    "analysis_waiting": (
        "Attempts with events that no analysis has seen.",
        "analysis_waiting",
    ),
    "analysis_waiting_age_seconds": (
        "Since when the first of them waits.",
        "analysis_age",
    ),
}


class DatabaseCollector(Collector):
    """The numbers that only the database knows, asked for when they are read."""

    def __init__(self, found: Operations | None) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        found = self._found
        yield GaugeMetricFamily(
            "proctoring_database_up",
            "Whether the database answered just now.",
            value=found is not None,
        )
        version = GaugeMetricFamily(
            "proctoring_version", "The release that runs here.", labels=["version"]
        )
        version.add_metric([VERSION], 1)
        yield version
        if found is None:
            return
        yield CounterMetricFamily(
            "proctoring_audit_entries",
            "Entries in the audit log; grows by what is written.",
            value=found.log_entries,
        )
        yield GaugeMetricFamily(
            "proctoring_clock_offset_seconds",
            "The database's clock, minus this host's.",
            value=found.clock - time.time(),
        )
        running = GaugeMetricFamily(
            "proctoring_attempts", "Attempts that have begun.", labels=["status"]
        )
        running.add_metric(["in_progress"], found.running_attempts)
        running.add_metric(["paused"], found.paused_attempts)
        yield running
        for name, (text, field) in GAUGES.items():
            yield GaugeMetricFamily(
                f"proctoring_{name}", text, value=getattr(found, field)
            )


@bp.get("/metrics")
@may_fail(404)
@returns(str, media_type="text/plain")
@public
def metrics() -> Reply:
    """Return counters and gauges in Prometheus' text format; 404 from outside."""
    require_inside()
    asked = CollectorRegistry()
    asked.register(DatabaseCollector(services().health.look()))
    text = generate_latest(counted.registry()) + generate_latest(asked)
    return Reply(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
