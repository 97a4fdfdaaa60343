"""Who may look at the server itself: whoever sits in one of a few networks."""

from collections.abc import Sequence

from flask import Flask, abort, current_app, request

from utils.addresses import IpNetwork, ip_address_of

# A reverse proxy sits inside as well, and says with one of these that it asks for
# somebody else. Those that say nothing are not to pass on what is for the inside.
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")


def init_app(app: Flask, networks: Sequence[IpNetwork]) -> None:
    app.extensions["inside"] = tuple(networks)


def require_inside() -> None:
    """Raise NotFound, as for an address where nothing is, unless asked from inside.

    What counts is the other end of the socket, whatever a header says of it.
    """
    # ProxyFix, if it is there, has put the header's word in its place.
    original = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    peer = ip_address_of(original.get("REMOTE_ADDR"))
    networks: tuple[IpNetwork, ...] = current_app.extensions["inside"]
    if (
        any(header in request.headers for header in FORWARDED)
        or peer is None
        or not any(peer in network for network in networks)
    ):
        abort(404)
