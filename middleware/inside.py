"""Who may look at the server itself: whoever sits in one of a few networks."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Flask, abort, current_app, request

from utils.addresses import IpNetwork, ip_address_of

# Set by proxies of which nobody has told us. (X-Forwarded-For is counted below.)
UNKNOWN_PROXY = ("Forwarded", "X-Real-IP", "Via")


@dataclass(frozen=True, slots=True)
class _Inside:
    networks: Sequence[IpNetwork]
    trusted_proxies: int


def init_app(
    app: Flask, networks: Sequence[IpNetwork], *, trusted_proxies: int
) -> None:
    app.extensions["inside"] = _Inside(tuple(networks), trusted_proxies)


def require_inside() -> None:
    """Raise NotFound, as for an address where nothing is, unless asked from inside.

    A proxy on this machine is inside as well, whoever asks it. So the address that
    counts is the one which the trusted proxies name, and where more have passed the
    request on than are trusted, nobody knows who asks.
    """
    inside: _Inside = current_app.extensions["inside"]
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    hops = len(forwarded.split(",")) if forwarded else 0
    caller = ip_address_of(request.remote_addr)
    if (
        hops > inside.trusted_proxies
        or any(header in request.headers for header in UNKNOWN_PROXY)
        or caller is None
        or not any(caller in network for network in inside.networks)
    ):
        abort(404)
