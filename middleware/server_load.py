"""Tells every client how busy the server is: `Backoff: <seconds>`.

0 means that all is well. Otherwise a client leaves out for so many seconds what is not
essential (heartbeats, looking whether something is new) and sends events in larger
batches. Kinto's header, docs/decisions/0017-start-rush.md says why.
"""

from flask import Flask, Response, g

from services.server_load import ServerLoad


def init_app(app: Flask, load: ServerLoad) -> None:
    """Called first: what waits in another part is in flight too."""

    def begin() -> None:
        load.begin()
        g.is_in_flight = True

    def tell(response: Response) -> Response:
        response.headers["Backoff"] = str(load.backoff_seconds())
        return response

    def end(_: BaseException | None) -> None:
        if g.pop("is_in_flight", False):
            load.end()

    app.before_request(begin)
    app.after_request(tell)
    app.teardown_request(end)
