"""What machines ask to see how this one does: balancers, health checks, Prometheus."""

from typing import Final

# Endpoints that are asked all the time, before anybody is known, and by whatever name
# or number leads here. What they say depends on none of it.
MONITORING: Final = frozenset(
    {"health.live", "health.health", "health.ready", "metrics.metrics"}
)
